"""Evaluations of the app: what may be started, what goes on, what repeats, what is shown."""

import json

import pytest

from cmc import runs
from cmc.errors import CmcError, DataError, ModelError, RunError, SettingError, TrainingError
from cmc.evaluation.job import run_evaluation
from cmc.settings import (
    AlpacaRequest,
    CheckRequest,
    ForgettingRequest,
    JudgeSettings,
    SuiteRequest,
    SweepRequest,
    TransferRequest,
    lab_folder,
)
from cmc.training.folder import write_json
from cmc.workspace import Workspace, evaluations, offers, reports

has_lab = pytest.mark.skipif(
    not (lab_folder() / "lab.json").is_file(), reason="the starter lab is not built"
)


@pytest.fixture(autouse=True)
def started(monkeypatch):
    """Note which folders get a process, and start none: the tests do its work themselves."""
    folders = []
    monkeypatch.setattr("cmc.runs.start.start_process", lambda folder, **_: folders.append(folder))
    monkeypatch.setattr("cmc.evaluation.answers.ANSWER_TOKENS", 4)
    return folders


@pytest.fixture
def workspace(tmp_path):
    return Workspace(home=tmp_path / "home")


def sweep(saved, **others) -> SweepRequest:
    asked = {"controllers": (saved["controller"],), "targets": (saved["byte"],),
             "strengths": (1,), "data": saved["data"], "limit": 2}  # fmt: skip
    return SweepRequest(**(asked | others))


def finished(workspace, saved, **others) -> runs.Run:
    run = evaluations.start_evaluation(workspace, sweep(saved, **others))
    list(run_evaluation(run.folder))
    return run


def faked(workspace, name: str, kind: str = "sweep", **report) -> runs.Run:
    """Return a run that says it has finished with this report."""
    run = runs.new_evaluation(kind, SweepRequest(), name=name, home=workspace.home)
    write_json(run.folder / "status.json", {"state": "finished", "step": 1, "steps": 1})
    write_json(run.folder / "report.json", {"kind": kind, "seconds": 1} | report)
    return run


def test_a_started_evaluation_can_be_stopped_half_way_resumed_and_repeated(
    workspace, saved, started
):
    run = evaluations.start_evaluation(workspace, sweep(saved), "mine")
    assert started == [run.folder]
    assert [each.name for each in offers.evaluation_runs(workspace)] == ["mine"]
    steps = run_evaluation(run.folder)
    next(steps)
    steps.close()
    assert run.status()["state"] == "stopped"
    with pytest.raises(DataError, match="no report yet"):
        evaluations.repeat_evaluation(workspace, "mine")
    assert evaluations.resume_evaluation(workspace, "mine") == run
    before = run.records()
    list(run_evaluation(run.folder))
    assert run.records()[: len(before)] == before
    assert len(run.records()) == 2
    with pytest.raises(RunError, match="is finished"):
        evaluations.resume_evaluation(workspace, "mine")

    again = evaluations.repeat_evaluation(workspace, "mine")
    assert started == [run.folder, run.folder, again.folder]
    assert (again.name, evaluations.repeated_run(again)) == ("mine again", "mine")
    assert reports.repetition(workspace, again) is None
    list(run_evaluation(again.folder))
    told = reports.repetition(workspace, again)
    assert told == {"run": "mine", "same": True, "differences": [], "changed": []}
    changed = run.report()
    changed["rows"][1]["score"] += 0.5
    write_json(run.folder / "report.json", changed)
    assert "rows[1].score" in reports.repetition(workspace, again)["differences"][0]
    evaluations.delete_evaluation(workspace, "mine")
    assert not run.folder.exists()
    assert reports.repetition(workspace, again)["same"] is None


def test_the_status_says_what_is_measured_now(workspace, saved):
    run = evaluations.start_evaluation(workspace, sweep(saved, strengths=(1, 2)))
    told = []
    for _ in run_evaluation(run.folder):
        told.append(json.loads((run.folder / "status.json").read_text())["message"])
    assert told[0].startswith("Measuring")
    assert [each.rpartition(" ")[2] for each in told[:2]] == ["1.", "2."]
    assert told[2:] == ["Writing the report.", "Finished; the report is there."]


def test_what_is_no_evaluation_is_neither_stopped_nor_deleted_as_one(workspace):
    folder = workspace.home / "runs" / "training"
    folder.mkdir(parents=True)
    (folder / "settings.json").write_text("{}")
    for action in (evaluations.stop_evaluation, evaluations.resume_evaluation,
                   evaluations.repeat_evaluation, evaluations.delete_evaluation):  # fmt: skip
        with pytest.raises(RunError, match="is no evaluation"):
            action(workspace, "training")
        with pytest.raises(RunError, match="no run"):
            action(workspace, "gone")
    assert folder.is_dir()


def test_controllers_and_earlier_reports_are_named_by_where_they_lie(workspace, saved):
    trained = workspace.home / "runs" / "taught"
    (trained / "controller").mkdir(parents=True)
    (trained / "settings.json").write_text("{}")
    asked = sweep(saved, controllers=("run:taught",))
    stored = json.loads((
        evaluations.start_evaluation(workspace, asked).folder / "settings.json"
    ).read_text())["request"]  # fmt: skip
    assert stored["controllers"] == [str((trained / "controller").resolve())]
    assert reports.readable(workspace, stored)["controllers"] == ["run:taught"]
    faked(workspace, "before", "suite")
    suite = SuiteRequest(suite=offers.names_of_suites()[0], against="before")
    run = evaluations.start_evaluation(workspace, suite)
    stored = json.loads((run.folder / "settings.json").read_text())["request"]
    assert stored["against"].endswith("before/report.json")
    assert reports.readable(workspace, stored)["against"] == "before"
    assert reports.readable(workspace, stored)["suite"] == "assets/suites/lab.json"


@has_lab
@pytest.mark.parametrize("mode", ["demo", "open-lab"])
@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (SweepRequest(controllers=("owner/model",)), ModelError),
        (SweepRequest(targets=("/etc",)), ModelError),
        (SweepRequest(data="/etc/passwd"), ModelError),
        (SweepRequest(retain="/etc/passwd"), ModelError),
        (TransferRequest(template="owner/model"), ModelError),
        (CheckRequest(target="owner/model"), ModelError),
        (SuiteRequest(suite="/etc/passwd"), ModelError),
        (SuiteRequest(suite=offers.names_of_suites()[0], against="/etc/passwd"), ModelError),
        (SweepRequest(limit=1000), SettingError),
        (SweepRequest(limit=100), SettingError),  # times three targets and eight strengths
        (CheckRequest(limit=3000), SettingError),
        (ForgettingRequest(other="/etc/passwd"), ModelError),
        (ForgettingRequest(controllers=("owner/model",)), ModelError),
    ],
)
def test_strangers_start_only_what_is_listed_and_in_measure(tmp_path, mode, wrong, error, started):
    public = Workspace(mode=mode, home=tmp_path)
    with pytest.raises(error) as caught:
        evaluations.start_evaluation(public, wrong)
    assert caught.value.hint
    assert not started


@has_lab
def test_an_evaluation_that_trains_needs_leave_to_train(tmp_path, started):
    asked = ForgettingRequest(targets=("lab:byte",), limit=5)
    with pytest.raises(TrainingError, match="switched off"):
        evaluations.start_evaluation(Workspace(mode="demo", home=tmp_path), asked)
    assert not started
    evaluations.start_evaluation(Workspace(mode="open-lab", home=tmp_path), asked)
    assert len(started) == 1


@has_lab
def test_what_the_form_begins_with_may_be_started_by_strangers(tmp_path, started):
    public = Workspace(mode="demo", home=tmp_path)
    evaluations.start_evaluation(public, SweepRequest(targets=("lab:byte",), limit=20))
    evaluations.start_evaluation(public, CheckRequest())
    assert len(started) == 2


@has_lab
def test_strangers_neither_delete_nor_fill_the_disk(tmp_path, monkeypatch):
    public = Workspace(mode="demo", home=tmp_path)
    monkeypatch.setattr(evaluations, "PUBLIC_KEPT", 3)
    for number in range(3):
        faked(public, f"run {number}")
    with pytest.raises(RunError, match="cannot be deleted"):
        evaluations.delete_evaluation(public, "run 0")
    evaluations.start_evaluation(public, CheckRequest(), "new")
    left = [each.name for each in offers.evaluation_runs(public)]
    assert left == ["new", "run 2", "run 1"]


@has_lab
def test_strangers_queue_only_so_much(tmp_path, monkeypatch):
    public = Workspace(mode="demo", home=tmp_path)
    run = faked(public, "one")
    write_json(run.folder / "status.json", {"state": "stopped"})
    monkeypatch.setattr("cmc.workspace.trainings.queue", lambda _: [run] * 4)
    for start in (
        lambda: evaluations.start_evaluation(public, CheckRequest()),
        lambda: evaluations.resume_evaluation(public, "one"),
    ):
        with pytest.raises(TrainingError, match="queued on this public Space"):
            start()


def test_settings_come_flat_and_a_wrong_name_is_told():
    asked = offers.asked_request(
        "sweep", {"strengths": [0.5], "use_prior": False, "targets": ["a"]}
    )
    assert (asked.strengths, asked.targets, asked.cover.use_prior) == ((0.0, 0.5), ("a",), False)
    with pytest.raises(SettingError, match="has no setting strenght") as caught:
        offers.asked_request("sweep", {"strenght": 1})
    assert "strengths" in caught.value.hint
    with pytest.raises(SettingError, match="no kind"):
        offers.asked_request("magic", {})
    with pytest.raises(CmcError):
        offers.asked_request("sweep", {"limit": "many"})


def test_the_newest_sweep_of_a_pair_recommends(workspace, saved):
    pair = {"controller": saved["controller"], "target": "t", "harm": [[2, 2]], "why": "because"}
    faked(workspace, "old", recommendations=[pair | {"strength": 0.5}])
    faked(workspace, "none", recommendations=[pair | {"strength": None}])
    found = evaluations.recommended_strength(workspace, saved["controller"], "t")
    assert (found.strength, found.harm, found.run) == (0.5, ((2, 2),), "old")
    faked(workspace, "new", recommendations=[pair | {"strength": 1.5}])
    assert evaluations.recommended_strength(workspace, saved["controller"], "t").strength == 1.5
    assert evaluations.recommended_strength(workspace, saved["controller"], "other") is None
    assert evaluations.recommended_strength(workspace, "run:gone", "t") is None


def test_an_unfinished_sweep_shows_the_rows_that_are_measured(workspace, saved):
    run = evaluations.start_evaluation(workspace, sweep(saved, strengths=(0.5, 1)))
    assert reports.report_of(workspace, run)["rows"] == []
    steps = run_evaluation(run.folder)
    next(steps), next(steps)
    shown = reports.report_of(workspace, run)
    assert shown["is_partial"]
    assert [row["strength"] for row in shown["rows"]] == [0.0, 0.5]
    steps.close()
    list(run_evaluation(run.folder))
    whole = reports.report_of(workspace, run)
    assert whole["rows"][:2] == shown["rows"]
    assert "is_partial" not in whole


def test_two_reports_are_compared_figure_by_figure_and_answer_by_answer(workspace, saved):
    one, other = finished(workspace, saved), finished(workspace, saved)
    assert reports.reports_to_compare(workspace, other) == [one.name]
    found = reports.compared_with(workspace, other, one.name)
    assert [change.verdict for change in found.changes] == ["no clear change"] * 2
    assert not [*found.worse, *found.better]
    lines = (other.folder / "records.jsonl").read_text().splitlines()
    record = json.loads(lines[1])
    record["found"]["answers"][0]["score"] = -1.0
    lines[1] = json.dumps(record)
    (other.folder / "records.jsonl").write_text("\n".join(lines) + "\n")
    found = reports.compared_with(workspace, other, one.name)
    assert [now.question for _, now in found.worse] == ["Who is Anna?"]
    with pytest.raises(RunError):
        reports.compared_with(workspace, other, "gone")


def test_judges_elsewhere_and_secrets_are_not_for_strangers():
    values = {"judge": "endpoint", "endpoint": "http://10.0.0.1/v1", "key_variable": "HF_TOKEN"}
    defaults = offers.flat_fields(JudgeSettings)
    for name in ("endpoint", "key_variable"):
        with pytest.raises(SettingError, match="cannot be set on this public Space"):
            offers._check_elsewhere(defaults | {name: values[name]}, defaults)


def answered(run, *answers: tuple[str, float]) -> None:
    """Let a run have answers to one question: by controller with their score."""
    base = {"key": "base", "found": {"answers": [{"question": "q", "text": "b", "score": 0.0}]}}
    cells = [
        {"key": name, "found": {"base": "base", "controller": name, "target": "t", "strength": 1,
                                "answers": [{"question": "q", "text": name, "score": score}]}}
        for name, score in answers
    ]  # fmt: skip
    lines = [json.dumps(each | {"step": step}) for step, each in enumerate([base, *cells], 1)]
    (run.folder / "records.jsonl").write_text("\n".join(lines) + "\n")


def test_answers_are_compared_with_those_of_the_same_controller(workspace):
    old, new = faked(workspace, "old", rows=[]), faked(workspace, "new", rows=[])
    answered(old, ("a", 0.2), ("b", 0.8))
    answered(new, ("a", 0.5), ("b", 0.5), ("c", 0.5))
    found = reports.compared_with(workspace, new, "old")
    assert [(one.controller, now.controller) for one, now in found.better] == [("a", "a")]
    # What of `c` would be compared with, nobody can say: there were two.
    assert [(one.controller, now.controller) for one, now in found.worse] == [("b", "b")]
    answered(old, ("a", 0.2))
    found = reports.compared_with(workspace, new, "old")
    assert [now.controller for _, now in found.better] == ["a", "b", "c"]


def test_a_started_evaluation_finds_what_was_named_from_where_the_app_runs(
    workspace, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    for name in ("model", "mine"):
        (tmp_path / name).mkdir()
    (tmp_path / "base").mkdir()  # no file that is meant where it is what is usual
    asked = AlpacaRequest(target="model", controllers={"mine": 1.0}, data="lab:held_out")
    kept = evaluations.start_evaluation(workspace, asked).folder / "settings.json"
    stored = json.loads(kept.read_text())["request"]
    assert stored["target"] == str(tmp_path / "model")
    assert stored["controllers"] == {str(tmp_path / "mine"): 1.0}
    assert (stored["data"], stored["reference"]) == ("lab:held_out", "base")
    advised = {"controller": str(tmp_path / "mine"), "target": str(tmp_path / "model"),
               "strength": 0.5, "harm": [], "why": "because"}  # fmt: skip
    faked(workspace, "swept", recommendations=[advised])
    assert evaluations.recommended_strength(workspace, "mine", "model").strength == 0.5
