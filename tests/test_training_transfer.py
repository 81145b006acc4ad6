"""What is done in training for the sake of transfer: strengths, templates in turn, and so on."""

import copy
import itertools
from dataclasses import replace

import pytest
import torch

from cmc.data import token_batch
from cmc.errors import SettingError, VocabMismatch
from cmc.models import load_language_model
from cmc.training import beside, run_training, train_controller
from cmc.training.material import load_material
from cmc.training.rows import SteeredScores
from cmc.training.template import FrozenTemplate
from tests.test_training import (
    PAD,
    controller_of,
    data,  # noqa: F401
    llama,
    plain_scores,
    settings_for,
    template_of,
)
from tests.test_training_job import read, settings_in, template  # noqa: F401
from tests.test_training_options import curve

# --- strengths --------------------------------------------------------------------------------


def plain_loss(template, delta, examples, strengths):  # noqa: F811
    """Return the cross entropy of template + strength x delta, one example at a time."""
    found = []
    for each, strength in zip(examples, strengths, strict=True):
        ids = torch.tensor([each.prompt_ids + each.response_ids])
        with torch.no_grad():
            both = template(input_ids=ids).logits + strength * delta(input_ids=ids).logits
        picked = both[0, len(each.prompt_ids) - 1 : -1].log_softmax(-1)
        found += picked.gather(1, torch.tensor(each.response_ids)[:, None]).flatten().tolist()
    return -sum(found) / len(found)


def test_a_fixed_strength_is_the_plain_formula_with_it(data):  # noqa: F811
    model, controller = template_of(llama(1)), controller_of()
    settings = settings_for(
        data, strength_low=0.5, strength_high=0.5, batch_size=64, held_out_fraction=0
    )
    examples = load_material(settings, model, controller).train
    expected = plain_loss(model.model, controller.delta, examples, [0.5] * len(examples))
    record = next(train_controller(controller, model, settings))
    assert record.loss == pytest.approx(expected, rel=1e-5)


def test_drawn_strengths_differ_by_example_and_step_and_not_by_how_a_batch_is_shared_out(
    data,  # noqa: F811
    monkeypatch,
):
    drawn = []
    forward = SteeredScores.forward

    def seen(self, batch, frozen, *rest):
        if frozen.strengths is not None:
            drawn.append(dict(zip(batch.examples, frozen.strengths.tolist(), strict=True)))
        return forward(self, batch, frozen, *rest)

    monkeypatch.setattr(SteeredScores, "forward", seen)
    options = {"strength_low": 0.5, "strength_high": 1.5, "batch_size": 6, "max_steps": 6}
    whole, _, _ = curve(settings_for(data, **options))
    once = list(drawn)
    drawn.clear()
    parts, _, _ = curve(settings_for(data, accumulation=2, **options))
    assert parts == pytest.approx(whole, rel=1e-5)
    assert [one | two for one, two in zip(drawn[::2], drawn[1::2], strict=True)] == once
    values = [value for each in once for value in each.values()]
    assert len(set(values)) == len(values)
    assert 0.5 <= min(values) < 0.8
    assert 1.2 < max(values) <= 1.5


def test_strengths_in_the_wrong_order_are_refused(data):  # noqa: F811
    with pytest.raises(SettingError, match=r"strength low 1\.5 is above"):
        settings_for(data, strength_low=1.5)


# --- for transfer -------------------------------------------------------------------------------


def test_two_templates_take_turns_batch_by_batch(tmp_path, template):  # noqa: F811
    model = load_language_model(str(template))
    second = tmp_path / "second"
    other = llama(5, vocab=model.vocabulary.size)
    other.config, other.generation_config = model.model.config, model.model.generation_config
    other.save_pretrained(second)
    model.vocabulary.tokenizer.save_pretrained(second)
    settings = settings_in(
        tmp_path, template, second_template=str(second), batch_size=64, held_out_fraction=0,
        max_steps=4, warmup_fraction=1,
    )  # fmt: skip
    both = [model.model, load_language_model(str(second)).model]
    controller = beside.first_controller(settings, model)
    delta = copy.deepcopy(controller.delta)
    examples = load_material(settings, model, controller).train
    expected = [plain_loss(each, delta, examples, [1.0] * len(examples)) for each in both]
    # The rate of a first step is 0: its successor learns from the same weights.
    first, then = itertools.islice(train_controller(controller, model, settings), 2)
    assert [first.loss, then.loss] == pytest.approx(expected, rel=1e-5)
    assert abs(expected[0] - expected[1]) > 0.01
    list(run_training(settings, tmp_path / "run"))
    about = read(tmp_path / "run" / "controller" / "controller.json")
    assert about["settings"]["second_template"] == "second"


def test_templates_of_two_vocabularies_do_not_take_turns(tmp_path, template, saved):  # noqa: F811
    settings = settings_in(tmp_path, template, second_template=saved["byte"])
    with pytest.raises(VocabMismatch, match="different vocabularies"):
        list(run_training(settings, tmp_path / "run"))
    with pytest.raises(SettingError, match="no template takes turns"):
        settings_in(tmp_path, template, second_template="x", objective="reverse", retain="y")


def test_restraint_adds_the_divergence_and_keeps_control_near_the_template(data):  # noqa: F811
    model, controller = template_of(llama(1)), controller_of()
    plain = settings_for(data, batch_size=64, held_out_fraction=0)
    batch = token_batch(load_material(plain, model, controller).train, PAD)
    expected, _, kl = plain_scores(model.model, controller.delta, batch)
    found = next(train_controller(controller_of(), model, replace(plain, restraint=0.3))).loss
    assert found == pytest.approx((expected.mean() + 0.3 * kl.mean()).item(), rel=1e-5)
    gains = []
    for weight in (0.0, 5.0):
        _, _, records = curve(settings_for(data, max_steps=30, restraint=weight))
        gains.append(records[-1].held_out_template - records[-1].held_out_controlled)
    assert 0 < gains[1] < 0.8 * gains[0]


def test_noise_moves_the_templates_features_by_a_part_of_their_spread(data, monkeypatch):  # noqa: F811
    seen = []
    forward = SteeredScores.forward

    def noted(self, batch, frozen, *rest):
        if torch.is_grad_enabled():
            seen.append((batch, frozen.rows))
        return forward(self, batch, frozen, *rest)

    monkeypatch.setattr(SteeredScores, "forward", noted)
    options = {"max_steps": 4, "batch_size": 6, "warmup_fraction": 0}
    first, _, _ = curve(settings_for(data, noise=0.1, **options))
    whole = list(seen)
    seen.clear()
    again, _, _ = curve(settings_for(data, noise=0.1, accumulation=2, **options))
    assert again == pytest.approx(first, rel=1e-5)
    exact, _, _ = curve(settings_for(data, **options))
    assert first[0] == pytest.approx(exact[0], rel=0.1)
    assert first != exact
    frozen = FrozenTemplate(template_of(llama(1)))
    moved = torch.cat([(rows - frozen.rows(batch)).flatten() for batch, rows in whole])
    spread = torch.cat([frozen.rows(batch) for batch, _ in whole]).std(-1).mean()
    assert (moved.std() / spread).item() == pytest.approx(0.1, rel=0.1)
    assert abs(moved.mean() / moved.std()) < 0.05
