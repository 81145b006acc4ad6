"""Probes tell what a controller says as it learns, and change nothing of what it learns."""

import pytest

from cmc.controller import load_controller
from cmc.data import read_records
from cmc.generation import ControlledModel, Row
from cmc.models import load_language_model
from cmc.runs import Run
from cmc.settings import Sampling
from cmc.training import run_training
from cmc.training.probes import TOKENS, Probes, asked_records
from tests.test_training_job import settings_in, template, weights_in

__all__ = ["template"]  # a fixture


def test_probes_are_what_the_controller_says_and_leave_training_as_it_was(
    tmp_path, template, monkeypatch
):
    settings = settings_in(tmp_path, template, max_steps=6, evaluate_every=4)
    list(run_training(settings, tmp_path / "run"))
    probes = Run(tmp_path / "run").probes()
    asked = asked_records(settings)
    assert sorted({each["step"] for each in probes}) == [1, 4, 6]
    assert len(probes) == 3 * len(asked) > 0
    controller = load_controller(str(tmp_path / "run" / "controller"))
    model = ControlledModel(load_language_model(str(template)), [controller])
    sampling = Sampling(max_new_tokens=TOKENS, temperature=0.0)
    for (part, record), probe in zip(asked, probes[-len(asked) :], strict=True):
        prompt = model.prompt(record.instruction, record.input)
        said = model.generate([Row(prompt, (0.0,)), Row(prompt, (1.0,))], sampling)
        assert [probe["base"], probe["controlled"]] == [each.text for each in said]
        assert (probe["part"], probe["expected"]) == (part, record.output)

    monkeypatch.setattr(Probes, "after", lambda *_: None)
    list(run_training(settings, tmp_path / "without"))
    assert not Run(tmp_path / "without").probes()
    assert weights_in(tmp_path / "run").equal(weights_in(tmp_path / "without"))


def test_a_resumed_run_asks_no_step_twice(tmp_path, template):
    settings = settings_in(tmp_path, template, max_steps=6, evaluate_every=2, save_every=3)
    training = run_training(settings, tmp_path / "run")
    for record in training:
        if record.step == 4:
            break
    training.close()
    (tmp_path / "run" / "probes.jsonl").open("a").write('{"step": 6, "torn": ')
    list(run_training(settings, tmp_path / "run"))
    steps = [each["step"] for each in Run(tmp_path / "run").probes()]
    assert steps == sorted(steps)
    count = len(asked_records(settings))
    assert [steps.count(step) for step in (1, 2, 4, 6)] == [count] * 4


@pytest.mark.parametrize(("objective", "parts"), [
    ("sft", {"held out"}), ("grad_ascent", {"to forget"}), ("npo", {"to forget", "to retain"}),
])  # fmt: skip
def test_every_objective_asks_what_it_is_about(saved, objective, parts):
    from cmc.settings import TrainSettings

    retain = saved["retain"] if objective == "npo" else ""
    settings = TrainSettings(data=saved["data"], retain=retain, objective=objective)
    asked = asked_records(settings)
    assert {part for part, _ in asked} == parts
    sources = {"to forget": read_records(saved["data"]), "held out": read_records(saved["data"])}
    sources["to retain"] = read_records(saved["retain"])
    assert all(record in sources[part] for part, record in asked)
