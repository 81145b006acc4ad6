"""Accumulation, precision, strengths, skipped batches and early stopping, each as it says."""

import itertools
import json
import math

import pytest
import torch

from cmc.errors import DataError, SettingError, TrainingError
from cmc.training import losses, run_training, train_controller
from cmc.training.guard import SETTLING, Guard, Progress
from cmc.training.losses import LOSSES
from cmc.training.rows import SteeredScores
from tests.test_training import (
    controller_of,
    data,  # noqa: F401
    llama,
    settings_for,
    template_of,
    write_data,
)
from tests.test_training_checkpoints import trained, untimed, weights
from tests.test_training_job import read, settings_in, template, weights_in  # noqa: F401


def curve(settings, **options):
    controller = controller_of(**options)
    records = list(train_controller(controller, template_of(llama(1)), settings))
    return [each.loss for each in records], weights(controller), records


# --- accumulation and precision ---------------------------------------------------------------


@pytest.mark.parametrize("objective", ["sft", "npo", "grad_diff"])
def test_parts_of_a_batch_change_neither_loss_nor_weights(tmp_path, data, objective, monkeypatch):  # noqa: F811
    retain = write_data(tmp_path / "retain.jsonl", 9)
    more = {} if objective == "sft" else {"objective": objective, "retain": str(retain)}
    largest = []
    forward = SteeredScores.forward

    def seen(self, batch, *rest):
        if torch.is_grad_enabled():
            largest.append(len(batch.examples))
        return forward(self, batch, *rest)

    monkeypatch.setattr(SteeredScores, "forward", seen)
    ends = []
    for parts in (1, 3):
        largest.clear()
        settings = settings_for(data, batch_size=6, accumulation=parts, max_steps=5, **more)
        ends.append((*curve(settings)[:2], max(largest)))
    assert ends[1][0] == pytest.approx(ends[0][0], rel=1e-5, abs=1e-6)
    torch.testing.assert_close(ends[1][1], ends[0][1], rtol=1e-3, atol=1e-5)
    assert (ends[0][2], ends[1][2]) == (6, 2)


def test_bf16_computes_in_bf16_and_keeps_weights_in_fp32(data):  # noqa: F811
    settings = {"max_steps": 20, "learning_rate": 1e-2}
    exact, _, _ = curve(settings_for(data, **settings))
    rough, half, _ = curve(settings_for(data, precision="bf16", **settings))
    assert half.dtype == torch.float32
    assert rough != exact
    assert rough == pytest.approx(exact, rel=0.05)
    # Weights in bf16 would lie on its coarse grid.
    assert not torch.equal(half, half.bfloat16().float())
    with pytest.raises(SettingError, match="fp16"):
        settings_for(data, precision="fp16")


# --- skipped batches --------------------------------------------------------------------------


def test_a_jump_is_skipped_once_and_a_new_usual_is_accepted():
    guard = Guard(spike=10.0)
    assert all(not guard.harm(1.0, norm) for norm in [9.0, 500.0, *[1.0] * SETTLING])
    usual = guard.usual
    assert "jumped to 200 times its norm" in guard.harm(1.0, 200 * usual)
    assert not guard.harm(1.0, usual)
    answers = [bool(guard.harm(1.0, 20 * usual)) for _ in range(6)]
    assert answers[0]
    assert not any(answers[2:])
    assert not any(Guard(spike=0).harm(1.0, norm) for norm in [*[1.0] * 30, 1e9])


@pytest.mark.parametrize(
    ("loss", "norm", "told"),
    [(math.nan, 1.0, "loss became NaN"), (1.0, math.inf, "the gradient became infinite")],
)
def test_what_is_not_finite_counts_in_a_row(loss, norm, told):
    guard = Guard(spike=10.0)
    assert guard.harm(loss, norm) == told
    assert guard.harm(loss, norm)
    assert guard.in_a_row == 2
    assert not guard.harm(1.0, 1.0)
    assert guard.in_a_row == 0


def poisoned(monkeypatch, batches):
    """Make the loss of some batches, counted from 1, NaN."""
    plain, count = losses._sft, itertools.count(1)

    def loss(state, step_batches):
        found = plain(state, step_batches)
        return found * math.nan if next(count) in batches else found

    monkeypatch.setitem(LOSSES, "sft", loss)


def test_a_batch_that_gives_nan_is_skipped_and_told_and_the_run_goes_on(data, monkeypatch):  # noqa: F811
    settings = settings_for(data, max_steps=6)
    poisoned(monkeypatch, {3, 4})
    found, last, records = curve(settings)
    assert [each.step for each in records] == [1, 2, 3, 4, 5, 6]
    assert all(math.isfinite(each) for each in found)
    assert last.isfinite().all()
    assert records[2].message.count("A batch was skipped at step 3: loss became NaN.") == 2
    assert not records[3].message
    assert records[3].learning_rate < records[2].learning_rate  # the schedule counts steps


def test_too_many_in_a_row_end_the_run_with_the_last_good_controller(
    tmp_path,
    template,  # noqa: F811
    monkeypatch,
):
    settings = settings_in(tmp_path, template, max_skips=1)
    poisoned(monkeypatch, {4, 5})
    with pytest.raises(TrainingError, match="loss became NaN at step 4"):
        list(run_training(settings, tmp_path / "run"))
    status = read(tmp_path / "run" / "status.json")
    assert "Last good checkpoint: step 2" in status["message"]
    assert weights_in(tmp_path / "run").isfinite().all()


def test_a_run_that_skipped_a_batch_resumes_as_if_uninterrupted(tmp_path, data, monkeypatch):  # noqa: F811
    settings = settings_for(data, max_steps=9, save_every=100, strength_low=0.5)
    poisoned(monkeypatch, {3})
    whole, expected = trained(tmp_path / "whole", settings, 9)
    poisoned(monkeypatch, {3})
    _, first = trained(tmp_path / "parts", settings, 5)
    part, rest = trained(tmp_path / "parts", settings, 4, resume=True)
    assert untimed([*first, *rest]) == untimed(expected)
    assert torch.equal(weights(part), weights(whole))


# --- early stopping ---------------------------------------------------------------------------


def overfitting(folder):
    """Return settings whose held-out loss falls first and then rises for good."""
    path = folder / "noise.jsonl"
    lines = [
        json.dumps({"instruction": f"{number}?", "output": "ab" + chr(97 + number * 7 % 26) * 3})
        for number in range(20)
    ]
    path.write_text("\n".join(lines))
    return settings_for(
        path, max_steps=300, batch_size=10, evaluate_every=2, learning_rate=2e-2, patience=3,
        held_out_fraction=0.5, save_every=1000, warmup_fraction=0,
    )  # fmt: skip


def test_progress_counts_measurements_since_the_least():
    progress = Progress(patience=2)
    told = [progress.is_new_least(loss, step) for step, loss in enumerate([3, 2, 2, 1, 4, 5])]
    assert told == [True, True, False, True, False, False]
    assert (progress.least, progress.step, progress.is_over) == (1, 3, True)
    assert not Progress(patience=0, stale=99).is_over


def test_training_stops_early_with_the_weights_of_the_least_held_out_loss(tmp_path):
    settings = overfitting(tmp_path)
    controller, records = trained(tmp_path / "run", settings, 301)
    last, curve_ = records[-1], [each.held_out_controlled for each in records]
    measured = {each.step: each.held_out_controlled for each in records if each.held_out_controlled}
    best = min(measured, key=measured.get)
    assert last.step == best + 2 * 3 < 300
    assert curve_[-1] > measured[best]
    assert f"The weights of step {best} are kept" in last.message
    again, _ = trained(tmp_path / "again", settings, best)
    assert torch.equal(weights(controller), weights(again))


def test_early_stopping_resumes_as_if_uninterrupted_even_after_its_last_step(tmp_path):
    settings = overfitting(tmp_path)
    whole, expected = trained(tmp_path / "whole", settings, 301)
    stop = len(expected) - 3  # past the best step
    _, first = trained(tmp_path / "parts", settings, stop)
    part, rest = trained(tmp_path / "parts", settings, 301, resume=True)
    assert untimed([*first, *rest]) == untimed(expected)
    assert torch.equal(weights(part), weights(whole))
    once_more, none = trained(tmp_path / "parts", settings, 301, resume=True)
    assert none == []
    assert torch.equal(weights(once_more), weights(whole))


def test_a_run_that_stopped_early_is_finished_and_says_which_step_it_kept(tmp_path, template):  # noqa: F811
    path = overfitting(tmp_path).data
    settings = settings_in(
        tmp_path, template, data=path, max_steps=200, evaluate_every=1, patience=2,
        held_out_fraction=0.5, learning_rate=0.1, hidden_size=32,
    )  # fmt: skip
    records = list(run_training(settings, tmp_path / "run"))
    status = read(tmp_path / "run" / "status.json")
    assert status["state"] == "finished"
    assert status["step"] == records[-1].step < 200
    kept = status["held_out"]["step"]
    assert (
        f"Stopped early after {records[-1].step} steps; the controller of step {kept}"
        in (status["message"])
    )
    assert kept == records[-1].step - 2
    told = read(tmp_path / "run" / "controller" / "controller.json")
    assert told["metrics"]["held_out"]["step"] == kept


def test_a_run_that_is_stopped_keeps_its_last_weights_and_tells_their_loss(tmp_path, template):  # noqa: F811
    settings = settings_in(
        tmp_path, template, data=overfitting(tmp_path).data, max_steps=200, evaluate_every=1,
        patience=50, held_out_fraction=0.5, learning_rate=0.1, hidden_size=32,
    )  # fmt: skip
    training = run_training(settings, tmp_path / "run")
    losses = [next(training).held_out_controlled for _ in range(12)]
    training.close()
    assert losses[-1] > min(losses)
    told = read(tmp_path / "run" / "controller" / "controller.json")["metrics"]["held_out"]
    assert (told["step"], told["controlled"]) == (12, losses[-1])


def test_early_stopping_needs_a_loss_that_can_fall(tmp_path, data):  # noqa: F811
    with pytest.raises(SettingError, match="nothing is held out"):
        settings_for(data, patience=2, held_out_fraction=0)
    with pytest.raises(SettingError, match="npo does not lower"):
        settings_for(data, patience=2, objective="npo", retain="x")
    one = tmp_path / "one.jsonl"
    one.write_text('{"instruction": "a", "output": "b"}\n')
    with pytest.raises(DataError, match="no record is held out"):
        next(
            train_controller(controller_of(), template_of(llama(1)), settings_for(one, patience=1))
        )


def test_the_loss_watched_on_a_target_is_the_held_out_loss_where_the_target_is_the_template(
    tmp_path,
    template,  # noqa: F811
):
    settings = settings_in(tmp_path, template, watch=str(template), patience=5)
    records = list(run_training(settings, tmp_path / "run"))
    measured = [each for each in records if each.held_out_controlled]
    assert len(measured) == 2
    for each in measured:
        assert each.held_out_target == pytest.approx(each.held_out_controlled, rel=1e-4)
    about = read(tmp_path / "run" / "controller" / "controller.json")
    assert about["metrics"]["held_out"]["target"] in [each.held_out_target for each in measured]
    assert about["settings"]["watch"] == template.name


def test_a_target_with_another_vocabulary_can_be_watched(tmp_path, template, saved):  # noqa: F811
    settings = settings_in(tmp_path, template, watch=saved["byte"], max_steps=2, init=str(template))
    records = list(run_training(settings, tmp_path / "run"))
    assert records[-1].held_out_target > 0
    assert records[-1].held_out_target != pytest.approx(records[-1].held_out_controlled, rel=1e-3)


# --- what a controller recommends --------------------------------------------------------------


def test_reverse_recommends_to_subtract(tmp_path, template, saved):  # noqa: F811
    settings = settings_in(
        tmp_path, template, objective="reverse", retain=saved["retain"], init=str(template),
        max_steps=1,
    )  # fmt: skip
    list(run_training(settings, tmp_path / "run"))
    about = read(tmp_path / "run" / "controller" / "controller.json")
    assert about["recommended_strength"] == -1
    assert about["strength_range"] == [-2, 1]


def test_a_controller_tells_the_strengths_it_was_trained_at(tmp_path, template):  # noqa: F811
    settings = settings_in(tmp_path, template, max_steps=1, strength_low=0.25, strength_high=3)
    list(run_training(settings, tmp_path / "run"))
    about = read(tmp_path / "run" / "controller" / "controller.json")
    assert (about["settings"]["strength_low"], about["settings"]["strength_high"]) == (0.25, 3)
    assert about["strength_range"] == [-1, 3]
