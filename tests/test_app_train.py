"""The Train tab says what is so, and its form is the command it shows."""

import html
import json
import shlex
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cmc import runs
from cmc.__main__ import _parser
from cmc.arguments import as_options, filled_request
from cmc.data import prompt_text
from cmc.errors import ModelError, RunError, TrainingError
from cmc.settings import OBJECTIVES, ON_DATA_ALONE, PROMPT_FORMATS, TrainSettings, lab_folder
from cmc.training.folder import write_json
from cmc.training.preview import DataPreview, Row, Source
from cmc.ui.sentences import next_steps, status_line
from cmc.ui.tabs.train import words
from cmc.ui.tabs.train.choices import (
    MEANINGS,
    TrainChoices,
    chosen_prompt,
    command_line,
    lab_set,
    objective_choices,
)
from cmc.workspace import Workspace, trainings

HOSTILE = "<img src=x onerror=alert(1)>"
has_lab = pytest.mark.skipif(
    not (lab_folder() / "models" / "byte").is_dir(), reason="the starter lab is not built"
)


def made(home, name="old", **status):
    folder = home / "runs" / name
    folder.mkdir(parents=True)
    write_json(folder / "settings.json", {"name": name})
    write_json(folder / "status.json", {"state": "finished", "step": 5, "steps": 9} | status)
    return runs.Run(folder)


def parsed(command):
    python, dash_m, package, *arguments = shlex.split(command)
    assert (python, dash_m, package) == ("python", "-m", "cmc")
    return filled_request(TrainSettings, _parser().parse_args(arguments))


# --- the command ----------------------------------------------------------------------------

TEXTS = st.text(min_size=1, max_size=30).filter(lambda text: "\x00" not in text)


@given(
    st.fixed_dictionaries({}, optional={
        "data": TEXTS.filter(str.strip),
        "init": TEXTS, "columns": TEXTS, "name": TEXTS, "template": TEXTS,
        "prompt_format": st.one_of(st.sampled_from(PROMPT_FORMATS), TEXTS.filter(
            lambda text: "{" not in text and "}" not in text
        ).map(lambda text: text + "{instruction}\n")),
        "objective": st.sampled_from(ON_DATA_ALONE), "max_steps": st.integers(1, 10**7),
        "learning_rate": st.floats(1e-8, 1), "seed": st.integers(0, 2**32),
    })
)  # fmt: skip
def test_the_command_line_reads_back_as_the_settings_it_was_made_from(wanted):
    settings = TrainSettings(**wanted)
    assert parsed(command_line(settings)) == settings


def test_what_has_its_default_is_left_out():
    assert as_options(TrainSettings()) == []
    assert as_options(TrainSettings(seed=3, prompt_format="qa")) == [
        "--prompt-format=qa", "--seed=3",
    ]  # fmt: skip


def test_the_command_shown_is_what_the_app_starts(tmp_path, monkeypatch, saved):
    started = []
    monkeypatch.setattr(runs, "start_training", lambda settings, _: started.append(settings))
    workspace = Workspace(home=tmp_path / "home")
    run = made(workspace.home)
    (run.folder / "controller").mkdir()
    upload = tmp_path / "up" / "mine one's.jsonl"
    upload.parent.mkdir()
    upload.write_text(json.dumps({"instruction": "Who?", "output": "I."}))
    choices = TrainChoices(
        template=saved["model"], data="lab:instruct", upload=str(upload), size="small",
        init="run:old", prompt="Ask: {instruction}\nSay: {output}", objective="sft",
        retain="lab:retain", max_steps=7,
    )  # fmt: skip
    shown = trainings.placed(workspace, choices.settings(workspace, keep=False))
    assert not (workspace.home / "uploads").exists()  # showing it keeps nothing
    trainings.start_training(workspace, choices.settings(workspace))
    assert parsed(command_line(shown)) == started[0]
    assert started[0].init == str((run.folder / "controller").resolve())
    assert started[0].retain == ""  # sft has none
    assert started[0].prompt_format == "Ask: {instruction}\nSay: {output}"
    assert (workspace.home / "uploads").is_dir()


# --- the form -------------------------------------------------------------------------------


def test_a_prompt_that_nobody_edited_is_its_formats_name():
    for name in PROMPT_FORMATS:
        assert chosen_prompt(name, prompt_text(name)) == name
        assert chosen_prompt(name, prompt_text("qa")) == name  # set through the API
    assert chosen_prompt("chat", "") == "chat"
    assert chosen_prompt("qa", "Q {instruction}") == "Q {instruction}"


def test_every_objective_has_its_meaning_and_the_labs_sets_follow_it():
    assert set(MEANINGS) == set(OBJECTIVES)
    assert [each for _, each in objective_choices()] == list(OBJECTIVES)
    assert lab_set("npo", "lab:instruct")[:3] == ("lab:forget", "lab:retain", "plain")
    assert lab_set("sft", "lab:forget")[:3] == ("lab:instruct", "", "qa")
    assert lab_set("sft", "lab:instruct") is None
    assert lab_set("npo", "my/data.json") is None


def test_every_choice_is_a_setting_or_becomes_one():
    own = {"upload", "size", "prompt"}
    names = {each.name for each in fields(TrainChoices)} - own
    assert names <= {each.name for each in fields(TrainSettings)}


# --- what is said ---------------------------------------------------------------------------


def preview(**changes):
    about = {
        "sources": (Source(f"/a/{HOSTILE}", 3, {"instruction": HOSTILE}, (HOSTILE,)),),
        "prompt": "", "rows": (Row("train", HOSTILE, HOSTILE + "\n", 5),), "parts": {"train": 3},
        "lengths": (5, 6, 7), "limit": 6, "cut": 1, "skipped": 0, "repeated": 0, "near": 0,
        "measured": 3, "warnings": (HOSTILE,),
    }  # fmt: skip
    return DataPreview(**about | changes)


def test_everything_a_file_says_is_shown_as_text():
    run = runs.Run.__new__(runs.Run)
    object.__setattr__(run, "folder", __import__("pathlib").Path(f"/nowhere/{HOSTILE}"))
    probe = {"step": 1, "part": HOSTILE, "instruction": HOSTILE, "expected": HOSTILE,
             "base": HOSTILE, "controlled": HOSTILE}  # fmt: skip
    said = preview()
    shown = [
        words.data_summary(said), words.warnings(said), words.row_table(said.rows),
        words.probe_table([probe, probe | {"step": 2}]), words.queue_line([run, run], ""),
    ]  # fmt: skip
    assert all("<img" not in each for each in shown)
    assert all(html.escape(HOSTILE) in each for each in shown[:4])


def test_the_summary_says_what_is_cut_and_left_out():
    told = words.data_summary(preview(skipped=2, measured=2))
    assert "the answers of 1 are cut; 2 are left out" in told
    assert "of the first 2 records" in told
    assert "all fit" in words.data_summary(preview(cut=0))
    assert "No repeats and no leaks" in words.warnings(preview(warnings=()))


def test_probes_show_the_first_and_the_newest_answer():
    def probe(step, text):
        return {"step": step, "part": "held out", "instruction": "Who?", "expected": "Anna",
                "base": "The", "controlled": text}  # fmt: skip

    table = words.probe_table([probe(1, "no"), probe(50, "nearly"), probe(100, "Anna")])
    assert "step 1<" in table
    assert "step 100<" in table
    assert "nearly" not in table
    assert table.count("<td>") == 4
    assert "first step" in words.probe_table([])


def test_the_queue_is_told_where_it_matters(tmp_path):
    first, second = made(tmp_path, "a"), made(tmp_path, "b")
    assert words.queue_line([], "a") == ""
    assert words.queue_line([first], "a") == ""
    assert words.queue_line([first], "b") == "In progress: <b>a</b>"
    assert words.queue_line([first, second], "a") == "In progress: <b>a</b> · waiting: 1. b"


def test_the_status_says_what_is_saved_and_what_to_do_next(tmp_path):
    failed = made(tmp_path, state="failed", message="Out of memory.")
    assert "Nothing was saved yet. Do what the message says" in status_line(failed, [])
    (failed.folder / "checkpoints" / "ckpt-00000040").mkdir(parents=True)
    told = status_line(failed, [])
    assert "last checkpoint: step 40" in told
    assert "Nothing before step 40 is lost" in told
    assert "Press Resume" in next_steps("stopped", 3)[0]
    assert next_steps("running", 3) == next_steps("finished", 3) == []


# --- what may be done -----------------------------------------------------------------------


def test_a_run_is_deleted_by_its_owner_only(tmp_path):
    made(tmp_path)
    for mode in ("demo", "open-lab"):
        with pytest.raises(TrainingError, match="not deleted by visitors"):
            trainings.delete_training(Workspace(mode=mode, home=tmp_path), "old")
    trainings.delete_training(Workspace(home=tmp_path), "old")
    assert not runs.list_runs(tmp_path)
    with pytest.raises(RunError, match="no run is chosen"):
        trainings.delete_training(Workspace(home=tmp_path), "")


def test_strangers_look_only_at_what_is_listed_and_queue_only_a_few(tmp_path, monkeypatch):
    public = Workspace(mode="open-lab", home=tmp_path)
    with pytest.raises(ModelError, match="not offered"):
        trainings.preview_training(public, TrainSettings(data="/etc/passwd"))
    monkeypatch.setattr(trainings, "queue", lambda _: [None] * trainings.QUEUED_MOST)
    with pytest.raises(TrainingError, match="in progress or queued"):
        trainings.check_room_in_queue(public)
    trainings.check_room_in_queue(Workspace(home=tmp_path))


@has_lab
def test_the_labs_data_can_be_looked_at(tmp_path):
    workspace = Workspace(home=tmp_path)
    choices = TrainChoices(
        template="lab:template", data="lab:forget", retain="lab:retain", objective="npo"
    )
    found = trainings.preview_training(workspace, choices.settings(workspace))
    assert found.parts == {"train": 40, "retain": 540, "held out": 60}
