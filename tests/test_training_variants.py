"""Several runs side by side: each as it would be alone, the template read once."""

import itertools
import json
import os
import signal
from dataclasses import replace

import pytest
import torch

from cmc.__main__ import main
from cmc.errors import ModelError, SettingError
from cmc.settings import TrainSettings, varied_settings
from cmc.training import run_together, run_training
from cmc.training.folder import read_lines
from cmc.training.split import SplitModel
from tests.test_training_job import read, settings_in, template, weights_in  # noqa: F401

VARIANTS = ["learning_rate=3e-3", "hidden_size=32,layers=2,name=wide", "objective=grad_ascent"]


@pytest.fixture
def varied(tmp_path, template):  # noqa: F811
    settings = settings_in(tmp_path, template, cache_gigabytes=0, evaluate_every=100)
    return varied_settings(settings, VARIANTS)


def losses_in(folder):
    return [each["loss"] for each in read_lines(folder / "records.jsonl")]


def reads_of_the_template(monkeypatch):
    """Count the texts that the frozen template reads."""
    whole, texts = SplitModel.features, []

    def counted(self, input_ids, attention_mask):
        is_frozen = not next(self.model.parameters()).requires_grad
        if is_frozen and input_ids.shape[1] > 1:
            texts.append(input_ids)
        return whole(self, input_ids, attention_mask)

    monkeypatch.setattr(SplitModel, "features", counted)
    return texts


def test_each_variant_is_the_run_it_would_be_alone_to_the_bit(tmp_path, varied):
    folders = [tmp_path / each.name for each in varied]
    records = list(run_together(dict(zip(folders, varied, strict=True))))
    for settings, folder in zip(varied, folders, strict=True):
        alone = [each.loss for each in run_training(settings, tmp_path / "alone" / settings.name)]
        assert [each.loss for place, each in records if place == folder] == alone
        assert losses_in(folder) == alone
        assert torch.equal(weights_in(folder), weights_in(tmp_path / "alone" / settings.name))
        assert read(folder / "status.json")["state"] == "finished"
        assert read(folder / "settings.json")["learning_rate"] == settings.learning_rate


@pytest.mark.parametrize("has_room", [True, False])
def test_the_template_reads_every_text_as_often_as_for_one_controller(
    tmp_path, varied, monkeypatch, has_room
):
    if not has_room:
        monkeypatch.setattr("cmc.training.template.MAX_CACHE", 0)
    same = [replace(varied[0], name=f"a{number}", layers=number) for number in (1, 2, 3)]
    texts = reads_of_the_template(monkeypatch)
    list(run_training(same[0], tmp_path / "alone"))
    alone = len(texts)
    texts.clear()
    list(run_together({tmp_path / each.name: each for each in same}))
    assert len(texts) == alone > 0


def test_one_that_fails_leaves_the_others_alone(tmp_path, varied):
    broken = replace(varied[1], init="no/such/folder", name="broken")
    folders = {tmp_path / each.name: each for each in (varied[0], broken, varied[2])}
    with pytest.raises(ModelError):
        list(run_together(folders))
    states = [read(folder / "status.json")["state"] for folder in folders]
    assert states == ["finished", "failed", "finished"]


@pytest.mark.parametrize("way", ["close", "signal"])
def test_stopped_together_and_resumed_together_ends_as_if_uninterrupted(tmp_path, varied, way):
    whole = {tmp_path / "whole" / each.name: each for each in varied}
    list(run_together(whole))
    parts = {tmp_path / "parts" / each.name: each for each in varied}
    training = run_together(parts)
    list(itertools.islice(training, 7))  # one of three is a step ahead
    if way == "close":
        training.close()
    else:
        os.kill(os.getpid(), signal.SIGTERM)
        list(training)
    assert {read(each / "status.json")["state"] for each in parts} == {"stopped"}
    list(run_together(parts))
    for one, other in zip(whole, parts, strict=True):
        assert losses_in(one) == losses_in(other)
        assert torch.equal(weights_in(one), weights_in(other))


@pytest.mark.parametrize(
    ("variant", "told"),
    [
        ("template=lab:byte", "template cannot differ"),
        ("max_length=9", "max_length cannot differ"),
        ("colour=red", '"colour=red" is no setting'),
        ("layers", '"layers" is no setting'),
        ("layers=many", "no number"),
    ],
)
def test_what_is_no_variant_is_refused_with_a_remedy(variant, told):
    with pytest.raises(SettingError, match=told) as caught:
        varied_settings(TrainSettings(), ["layers=2", variant])
    assert caught.value.hint


def test_the_command_trains_variants_and_goes_on_with_them(
    tmp_path,
    template,  # noqa: F811
    monkeypatch,
    capsys,
):
    monkeypatch.setenv("CMC_HOME", str(tmp_path / "home"))
    settings = settings_in(tmp_path, template)
    command = ["train", "--template", settings.template, "--data", settings.data, "--json"]
    command += ["--max-steps", "2", "--hidden-size", "16", "--layers", "1", "--name", "mine"]
    command += ["--variant", "learning_rate=1e-3", "--variant", "hidden-size=32,name=wide"]
    assert main(command) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert [each["run"].rpartition("/")[2] for each in runs] == ["mine-v1", "wide"]
    assert all(each["steps"] == 2 and each["version"] for each in runs)
    assert main(["train", "--resume", "mine-v1", "wide", "--json"]) == 0
    again = json.loads(capsys.readouterr().out)["runs"]
    assert [each["run"] for each in again] == [each["run"] for each in runs]
    assert main([*command, "--out", str(tmp_path / "out")]) == 1
    assert "Leave out --out" in capsys.readouterr().err
