"""A whole run: what lies in its folder, whatever the end."""

import itertools
import json
import os
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from cmc.controller import load_controller
from cmc.errors import DataError, ModelError, RunError, TrainingError
from cmc.models import load_language_model
from cmc.settings import TrainSettings
from cmc.training import beside, job, run_training, train_controller
from cmc.training.folder import append_record, drop_lines_from, lock_held, read_lines
from tests.conftest import shared, tiny_tokenizer, tiny_vocabulary
from tests.test_training import llama, write_data


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A random template in a folder, with its tokenizer."""
    folder = tmp_path_factory.mktemp("template")
    vocabulary = tiny_vocabulary("sentencepiece")
    model = llama(1, vocab=vocabulary.size)
    for config in (model.config, model.generation_config):
        config.bos_token_id, config.eos_token_id = vocabulary.bos_id, vocabulary.eos_id
    model.save_pretrained(folder)
    tiny_tokenizer("sentencepiece").save_pretrained(folder)
    return folder


def settings_in(folder, template, **options):
    defaults = {
        "template": str(template),
        "data": str(write_data(folder / "data.jsonl")),
        "prompt_format": "qa",
        "max_steps": 6,
        "batch_size": 4,
        "max_length": 96,
        "learning_rate": 1e-2,
        "evaluate_every": 3,
        "save_every": 2,
        "hidden_size": 16,
        "layers": 1,
    }
    return TrainSettings(**(defaults | options))


def read(path):
    return json.loads(path.read_text())


def weights_in(folder):
    delta = load_controller(str(folder / "controller")).delta
    return torch.cat([each.flatten().cpu() for each in delta.parameters()])


def test_a_finished_run_has_all_its_files_and_a_loadable_controller(tmp_path, template):
    settings = settings_in(tmp_path, template)
    records = list(run_training(settings, tmp_path / "run"))
    status = read(tmp_path / "run" / "status.json")
    assert (status["state"], status["step"], status["steps"]) == ("finished", 6, 6)
    assert status["loss_first"] == records[0].loss
    assert status["loss_last"] == records[-1].loss
    assert status["held_out"] == {
        "template": records[-1].held_out_template,
        "controlled": records[-1].held_out_controlled,
        "step": 6,
    }
    stored = read_lines(tmp_path / "run" / "records.jsonl")
    assert [(each["step"], each["loss"]) for each in stored] == [
        (each.step, each.loss) for each in records
    ]
    controller = load_controller(status["controller"])
    about = controller.settings
    assert about["template_fingerprint"] == tiny_vocabulary("sentencepiece").fingerprint
    assert about["prompt_format"] == "qa"
    assert about["metrics"]["held_out"] == status["held_out"]
    assert "Finished" in (tmp_path / "run" / "log.txt").read_text()


def test_the_saved_controller_is_the_trained_one(tmp_path, template):
    settings = settings_in(tmp_path, template)
    list(run_training(settings, tmp_path / "run"))
    model = load_language_model(str(template))
    controller = beside.first_controller(settings, model)
    list(train_controller(controller, model, settings))
    expected = torch.cat([each.detach().flatten() for each in controller.delta.parameters()])
    assert torch.equal(weights_in(tmp_path / "run"), expected)


def test_the_controller_tells_no_path_of_this_machine(tmp_path, template):
    list(run_training(settings_in(tmp_path, template, max_steps=1), tmp_path / "run"))
    for name in ("controller.json", "README.md"):
        assert str(tmp_path.parent) not in (tmp_path / "run" / "controller" / name).read_text()


@pytest.mark.parametrize("way", ["close", signal.SIGTERM, signal.SIGINT])
def test_a_stop_keeps_a_usable_controller_and_resume_ends_as_if_uninterrupted(
    tmp_path, template, way
):
    settings = settings_in(tmp_path, template)
    expected = list(run_training(settings, tmp_path / "whole"))
    before = signal.getsignal(signal.SIGTERM)
    training = run_training(settings, tmp_path / "run")
    list(itertools.islice(training, 3))
    if way == "close":
        training.close()
    else:
        os.kill(os.getpid(), way)
        assert list(training) == []
    assert signal.getsignal(signal.SIGTERM) is before
    status = read(tmp_path / "run" / "status.json")
    assert status["state"] == "stopped"
    assert status["message"] == "stopped at step 3, controller saved, usable now"
    assert load_controller(status["controller"]).settings["metrics"]["steps"] == 3
    list(run_training(settings, tmp_path / "run"))
    stored = read_lines(tmp_path / "run" / "records.jsonl")
    assert [each["loss"] for each in stored] == [each.loss for each in expected]
    assert read(tmp_path / "run" / "status.json")["state"] == "finished"
    assert torch.equal(weights_in(tmp_path / "run"), weights_in(tmp_path / "whole"))


def test_records_past_the_last_checkpoint_of_a_killed_run_come_once(tmp_path, template):
    settings = settings_in(tmp_path, template, save_every=2)
    training = run_training(settings, tmp_path / "run")
    expected = list(itertools.islice(training, 3))
    shutil.copytree(tmp_path / "run", tmp_path / "killed")  # as it lies there at step 3
    training.close()
    again = list(run_training(settings, tmp_path / "killed"))
    assert [each.step for each in again] == [3, 4, 5, 6]
    stored = read_lines(tmp_path / "killed" / "records.jsonl")
    assert [each["step"] for each in stored] == [1, 2, 3, 4, 5, 6]
    assert [each["loss"] for each in stored[:3]] == [each.loss for each in expected]


def test_a_loss_that_is_not_finite_fails_the_run_and_keeps_the_last_good_controller(
    tmp_path, template, monkeypatch
):
    settings = settings_in(tmp_path, template)
    made = []
    first = beside.first_controller

    def remembered(*args):
        made.append(first(*args))
        return made[-1]

    monkeypatch.setattr(job, "first_controller", remembered)
    training = run_training(settings, tmp_path / "run")
    list(itertools.islice(training, 3))
    with torch.no_grad():
        next(iter(made[0].delta.parameters()))[:] = float("nan")
    with pytest.raises(TrainingError, match="NaN at step 4"):
        next(training)
    status = read(tmp_path / "run" / "status.json")
    assert status["state"] == "failed"
    assert "Last good checkpoint: step 2" in status["message"]
    assert weights_in(tmp_path / "run").isfinite().all()
    assert load_controller(status["controller"]).settings["metrics"]["steps"] == 2


@pytest.mark.parametrize(
    ("options", "error"),
    [({"init": "no/such/folder/anywhere"}, ModelError), ({"data": "none.json"}, DataError)],
)
def test_what_cannot_be_loaded_fails_the_run_with_its_sentence(tmp_path, template, options, error):
    settings = settings_in(tmp_path, template, **options)
    with pytest.raises(error) as caught:
        next(run_training(settings, tmp_path / "run"))
    status = read(tmp_path / "run" / "status.json")
    assert (status["state"], status["message"]) == ("failed", caught.value.sentence())


def test_an_error_nobody_foresaw_leaves_its_trace_in_the_log(tmp_path, template, monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(job, "train_controller", broken)
    with pytest.raises(ZeroDivisionError):
        next(run_training(settings_in(tmp_path, template), tmp_path / "run"))
    assert read(tmp_path / "run" / "status.json")["state"] == "failed"
    assert "in broken" in (tmp_path / "run" / "log.txt").read_text()


def test_too_little_room_is_told_before_anything_is_trained(tmp_path, template, monkeypatch):
    usage = SimpleNamespace(free=1000)
    monkeypatch.setattr(job.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(TrainingError, match="GB are free"):
        next(run_training(settings_in(tmp_path, template), tmp_path / "run"))


def test_a_run_is_not_trained_twice_at_once_nor_resumed_with_other_settings(tmp_path, template):
    settings = settings_in(tmp_path, template)
    (tmp_path / "run").mkdir()
    with lock_held(tmp_path / "run"), pytest.raises(RunError, match="already running"):
        next(run_training(settings, tmp_path / "run"))
    list(itertools.islice(training := run_training(settings, tmp_path / "run"), 2))
    training.close()
    other = settings_in(tmp_path, template, learning_rate=1e-3)
    with pytest.raises(RunError, match="other settings"):
        next(run_training(other, tmp_path / "run"))


def test_a_plain_language_model_to_start_from_becomes_the_prior(tmp_path, template):
    settings = settings_in(tmp_path, template, init=str(template), max_steps=2)
    list(run_training(settings, tmp_path / "run"))
    controller = load_controller(str(tmp_path / "run" / "controller"))
    begun = load_language_model(str(template)).model
    for found, expected in zip(controller.prior.parameters(), begun.parameters(), strict=True):
        assert torch.equal(found, expected)
    head = controller.delta.get_output_embeddings().weight
    assert not torch.equal(head, begun.get_output_embeddings().weight)


def test_relative_paths_become_absolute_and_names_stay(tmp_path, monkeypatch):
    write_data(tmp_path / "data.jsonl")
    monkeypatch.chdir(tmp_path)
    settings = job.with_absolute_paths(TrainSettings(data="data.jsonl"))
    assert settings.data == str(tmp_path / "data.jsonl")
    assert settings.template == "lab:template"


def test_a_torn_last_line_is_left_out_and_dropped_on_resume(tmp_path):
    path = tmp_path / "records.jsonl"
    for step in (1, 2, 3):
        append_record(path, {"step": step})
    with path.open("a") as file:
        file.write('{"step": 4, "lo')
    assert [each["step"] for each in read_lines(path)] == [1, 2, 3]
    assert [each["step"] for each in read_lines(path, since=2)] == [3]
    drop_lines_from(path, 3)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n'
    assert read_lines(tmp_path / "none.jsonl") == []


def test_real_weights_learn_from_real_records(tmp_path):
    settings = TrainSettings(
        template=str(shared("models", "stories260K")),
        data=str(shared("alpaca", "alpaca_en_demo.json")),
        max_steps=25,
        limit=400,
        max_length=160,
        batch_size=16,
        prompt_format="qa",
        learning_rate=1e-2,
        hidden_size=64,
        layers=1,
    )
    list(run_training(settings, tmp_path / "run"))
    held_out = read(tmp_path / "run" / "status.json")["held_out"]
    assert held_out["controlled"] < held_out["template"] - 0.2
    assert (
        Path(settings.template).name
        == load_controller(str(tmp_path / "run" / "controller")).settings["template"]
    )
