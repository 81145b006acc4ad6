"""Features of a template on disk: exact, checked, under a limit, used again by whoever comes."""

import itertools

import pytest
import torch

from cmc.data import Example, token_batch
from cmc.models import LanguageModel
from cmc.settings import TrainSettings
from cmc.training import features, run_training
from cmc.training.features import FeatureStore, template_fingerprint
from cmc.training.split import SplitModel
from cmc.training.template import FrozenTemplate
from tests.test_training import PAD, byte_vocabulary, examples, llama
from tests.test_training_job import read, settings_in, template  # noqa: F401

PLENTY = 10**9


def model_of(seed=1, dtype=torch.float32):
    return LanguageModel("template", llama(seed, hidden=32).to(dtype), byte_vocabulary())


def opened(root, model, limit=PLENTY):
    store = FeatureStore.open(root, model, limit)
    store.make_room(0)
    return store


def filled(root, model, which):
    """Compute the features of some examples and keep them on disk."""
    store = opened(root, model)
    rows = FrozenTemplate(model, store=store).rows(token_batch(which, PAD))
    assert store.flush() == ""
    return rows


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_features_come_back_from_disk_bit_for_bit_in_any_order(tmp_path, dtype, monkeypatch):
    model, these = model_of(dtype=dtype), examples(7)
    filled(tmp_path, model, these[:4])
    filled(tmp_path, model, these[4:])  # another run, another shard
    asked = token_batch(these[::-1], PAD)
    expected = FrozenTemplate(model, cache_bytes=0).rows(asked)
    frozen = FrozenTemplate(model, cache_bytes=0, store=opened(tmp_path, model))
    monkeypatch.setattr(SplitModel, "features", None)  # whatever comes now comes from the disk
    found = frozen.rows(asked)
    assert torch.equal(found, expected)
    assert found.dtype == dtype


def test_every_weight_the_vocabulary_and_the_precision_have_features_of_their_own():
    names = {template_fingerprint(model_of(dtype=each)) for each in (torch.float32, torch.bfloat16)}
    changed = model_of()
    with torch.no_grad():
        changed.model.lm_head.weight[3, 3] += 1e-3
    other = LanguageModel("template", llama(1, hidden=32), byte_vocabulary("others"))
    names |= {template_fingerprint(each) for each in (changed, other)}
    assert len(names) == 4
    renamed = LanguageModel("another name", llama(1, hidden=32), byte_vocabulary())
    assert template_fingerprint(renamed) == template_fingerprint(model_of())


def test_the_same_text_with_other_labels_is_another_example(tmp_path):
    model, one = model_of(), examples(1)[0]
    filled(tmp_path, model, [one])
    ids = one.prompt_ids + one.response_ids
    moved = Example(ids[: len(one.prompt_ids) + 1], ids[len(one.prompt_ids) + 1 :])
    store = opened(tmp_path, model)
    assert one in store
    assert moved not in store
    assert store.get(moved) is None


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "half"])
def test_what_is_damaged_is_computed_once_more(tmp_path, damage):
    model, these = model_of(), examples(3)
    expected = filled(tmp_path, model, these)
    (path,) = tmp_path.rglob("*.safetensors")
    data = bytearray(path.read_bytes())
    if damage == "flip":
        at = path.read_bytes().index(expected.numpy().tobytes()[:32])
        data[at] ^= 1
        path.write_bytes(data)
    elif damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "remove":
        path.unlink()
    else:
        path.rename(path.with_name(".tmp-999999999"))
    frozen = FrozenTemplate(model, cache_bytes=0, store=opened(tmp_path, model))
    assert torch.equal(frozen.rows(token_batch(these, PAD)), expected)
    assert not list(tmp_path.rglob(".tmp-*"))


def test_the_limit_holds_and_is_told_and_the_oldest_template_makes_room(tmp_path):
    first, second, these = model_of(1), model_of(2), examples(20)
    filled(tmp_path, first, these)
    taken = sum(each.stat().st_size for each in tmp_path.rglob("*.safetensors"))
    # Both do not fit; the second alone does.
    store = FeatureStore.open(tmp_path, second, int(1.2 * taken))
    frozen = FrozenTemplate(second, cache_bytes=0, store=store)
    assert frozen.expect(these) == []
    assert not list(tmp_path.rglob("*.safetensors"))
    frozen.rows(token_batch(these, PAD))
    frozen.flush()
    del store, frozen  # what is in use stays
    # A limit that takes half of what is needed takes half, and says so.
    third = model_of(3)
    limit = taken // 2
    frozen = FrozenTemplate(third, cache_bytes=0, store=FeatureStore.open(tmp_path, third, limit))
    (note,) = frozen.expect(these)
    assert "Raise cache_gigabytes" in note
    frozen.rows(token_batch(these, PAD))
    frozen.flush()
    kept = opened(tmp_path, third)
    assert 0 < sum(each in kept for each in these) < len(these)
    assert sum(rows.stat().st_size for rows in tmp_path.rglob("*.safetensors")) < 1.5 * limit


def test_what_another_run_uses_makes_no_room(tmp_path):
    first, second, these = model_of(1), model_of(2), examples(20)
    filled(tmp_path, first, these)
    used = opened(tmp_path, first)
    FeatureStore.open(tmp_path, second, 1).make_room(10**6)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1
    del used
    FeatureStore.open(tmp_path, second, 1).make_room(10**6)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_full_disk_costs_the_cache_and_not_the_training(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    model, these = model_of(), examples(4)
    store = opened(tmp_path, model)
    frozen = FrozenTemplate(model, store=store)
    rows = frozen.rows(token_batch(these, PAD))
    monkeypatch.setattr(features, "save_file", full)
    assert "No space left on device" in frozen.flush()
    assert torch.equal(frozen.rows(token_batch(these, PAD)), rows)


def test_a_full_disk_is_told_in_the_log_and_the_run_ends_well(tmp_path, template, monkeypatch):  # noqa: F811
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("CMC_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(features, "save_file", full)
    list(run_training(settings_in(tmp_path, template, max_steps=2), tmp_path / "run"))
    told = "The template's features could not be kept on disk (No space left on device)."
    assert told in (tmp_path / "run" / "log.txt").read_text()
    assert read(tmp_path / "run" / "status.json")["state"] == "finished"


def test_a_batch_without_room_in_memory_is_at_hand_for_the_next_controller(monkeypatch):
    batch = token_batch(examples(3), PAD)
    frozen = FrozenTemplate(model_of(), cache_bytes=0)
    rows = frozen.rows(batch)
    monkeypatch.setattr(SplitModel, "features", None)
    assert torch.equal(frozen.rows(batch), rows)


def test_a_later_run_with_another_controller_never_runs_the_template(
    tmp_path,
    template,  # noqa: F811
    monkeypatch,
):
    monkeypatch.setenv("CMC_HOME", str(tmp_path / "home"))
    settings = settings_in(tmp_path, template)
    list(run_training(settings, tmp_path / "first"))
    whole = SplitModel.features
    read = itertools.count()

    def counted(self, input_ids, attention_mask):
        if next(self.model.parameters()).requires_grad is False and input_ids.shape[1] > 1:
            next(read)
        return whole(self, input_ids, attention_mask)

    monkeypatch.setattr(SplitModel, "features", counted)
    other = TrainSettings(**(vars_of(settings) | {"hidden_size": 32, "name": "other"}))
    again = [each.loss for each in run_training(other, tmp_path / "second")]
    assert next(read) == 0
    monkeypatch.setenv("CMC_HOME", str(tmp_path / "empty"))
    plain = TrainSettings(**(vars_of(other) | {"cache_gigabytes": 0}))
    assert [each.loss for each in run_training(plain, tmp_path / "third")] == again
    assert next(read) > 1
    assert not (tmp_path / "empty" / "features").exists()


def vars_of(settings):
    return {name: getattr(settings, name) for name in settings.__dataclass_fields__}
