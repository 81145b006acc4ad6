"""TOFU and AlpacaEval in the background: started by command, stopped, resumed; no key is told."""

import json
import time

import pytest

from cmc import runs
from cmc.__main__ import main
from cmc.evaluation.kinds import kind_of, stored_request
from cmc.evaluation.places import with_places
from cmc.settings import AlpacaRequest, JudgeSettings, SweepRequest, TofuRequest, as_plain
from cmc.training import process
from tests.judge_server import KEY, chat, ranking


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CMC_HOME", str(tmp_path))
    yield tmp_path
    for run in runs.list_runs(tmp_path):
        if run.is_running() and (child := process.find_process(run.folder)):
            child.kill()


def wait(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.1)


def printed(capsys, *arguments: str) -> dict:
    assert main(["evaluate", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.usefixtures("home")
def test_a_judges_key_reaches_the_process_and_stands_nowhere(saved, serve, capsys):
    server = serve((200, {}, chat(ranking(1) + f" said {KEY}")), (500, {}, KEY.encode()))
    started = printed(
        capsys, "alpaca", "--target", saved["byte"], "--controller", saved["controller"], "--data",
        saved["data"], "--max-new-tokens", "3", "--judge", "endpoint", "--endpoint", server.url,
        "--attempts", "1", "--background", "--name", "judged",
    )  # fmt: skip
    assert started == {"run": "judged", "kind": "alpaca", "state": "running"}
    run = runs.open_run("judged")
    wait(lambda: not run.is_running())
    assert run.status()["state"] == "stopped", run.log_tail()
    told = printed(capsys, "show", "judged")
    assert (told["n_total"], told["n_missing"]) == (1, 2)
    assert "status 500" in told["stopped"]
    # In the app the same goes on with what is missing, and nothing else.
    server.replies = [(200, {}, chat(ranking(1)))]
    runs.resume(run)
    wait(lambda: run.status()["state"] == "finished")
    assert run.report()["n_total"] == 3
    assert [each[1]["Authorization"] for each in server.requests] == [f"Bearer {KEY}"] * 4
    assert [each["key"].split()[0] for each in run.records()][-3:] == ["verdict"] * 3
    for path in run.folder.rglob("*"):
        if path.is_file():
            assert KEY not in path.read_text("utf-8"), path
    assert KEY not in json.dumps(told) + capsys.readouterr().err


def test_only_the_key_of_an_endpoint_that_is_asked_leaves_this_process(tmp_path, monkeypatch):
    for name in ("OPENAI_API_KEY", "GROQ_API_KEY", "HF_TOKEN"):
        monkeypatch.setenv(name, KEY)
    given = []
    monkeypatch.setattr(
        process.subprocess, "Popen", lambda *_, env, **__: given.append(env) or _Ended()
    )
    for request in (
        AlpacaRequest(judging=JudgeSettings(judge="endpoint", key_variable="GROQ_API_KEY")),
        SweepRequest(judging=JudgeSettings(judge="endpoint")),
        AlpacaRequest(), TofuRequest(),
    ):  # fmt: skip
        runs.start_evaluation(kind_of(request), request, home=tmp_path)
    found = [sorted(name for name in env if env[name] == KEY) for env in given]
    assert found == [["GROQ_API_KEY"], ["OPENAI_API_KEY"], [], []]
    # Settings that somebody wrote by hand cannot ask for another secret.
    run = runs.new_evaluation("alpaca", AlpacaRequest(), home=tmp_path)
    stored = json.loads((run.folder / "settings.json").read_text())
    stored["request"]["judging"] |= {"judge": "endpoint", "key_variable": "HF_TOKEN"}
    (run.folder / "settings.json").write_text(json.dumps(stored))
    runs.resume(run)
    assert KEY not in given[-1].values()


class _Ended:
    pid = 2**22 + 1

    def wait(self):
        return 0


@pytest.mark.usefixtures("home")
def test_tofu_runs_in_the_background_and_is_shown_and_cannot_be_stopped_twice(saved, capsys):
    started = printed(
        capsys, "tofu", "--target", saved["byte"], "--controller", saved["controller"], "--limit",
        "2", "--max-new-tokens", "3", "--background",
    )  # fmt: skip
    run = runs.open_run(started["run"])
    wait(lambda: not run.is_running())
    assert run.status()["state"] == "finished", run.log_tail()
    told = printed(capsys, "show", started["run"])
    assert told["model_utility"] is not None
    assert told["forget_quality"] is None
    assert set(told["differences"]["splits"]) == set(told["splits"])
    assert {"TOFU_EVAL.json", "TOFU_SUMMARY.json"} <= {path.name for path in run.folder.iterdir()}
    assert main(["evaluate", "stop", started["run"]]) == 1
    assert "not running but finished" in capsys.readouterr().err
    assert main(["evaluate", "show", started["run"]]) == 0
    assert "difference to the base" in capsys.readouterr().out


@pytest.mark.parametrize(
    "asked",
    [
        TofuRequest(controllers={"a": 1.0, "b": -0.5}, limit=3, compare_base=False),
        AlpacaRequest(judging=JudgeSettings(judge="local", judge_model="lab:twin")),
    ],
)
def test_a_request_survives_being_stored(asked):
    stored = json.loads(json.dumps(as_plain(asked)))
    assert stored_request(kind_of(asked), stored) == asked


def test_what_a_request_names_holds_in_another_folder(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    (tmp_path / "gold.jsonl").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CMC_HOME", str(tmp_path))
    asked = AlpacaRequest(
        target="lab:byte", controllers={"mine": 0.5}, data="owner/name",
        judging=JudgeSettings(gold="gold.jsonl"),
    )  # fmt: skip
    found = with_places(asked)
    assert (found.target, found.data) == ("lab:byte", "owner/name")
    assert found.controllers == {str(tmp_path / "mine"): 0.5}
    assert found.judging.gold == str(tmp_path / "gold.jsonl")
    sweep = with_places(SweepRequest(controllers=("mine", "lab:style")))
    assert sweep.controllers == (str(tmp_path / "mine"), "lab:style")


@pytest.mark.parametrize("name", ["HF_TOKEN", "PATH", ""])
def test_a_judge_may_read_its_key_from_few_variables_only(name):
    with pytest.raises(ValueError, match="key variable"):
        JudgeSettings(key_variable=name)
