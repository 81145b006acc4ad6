"""A prior from plain text: learned, resumed to the bit, and what a controller starts from."""

import itertools
import json

import pytest
import torch

from cmc.__main__ import main
from cmc.controller import load_controller
from cmc.data.plain_texts import read_texts
from cmc.errors import DataError, RunError, SettingError, TrainingError
from cmc.models import load_language_model
from cmc.settings import SHAPES, PriorSettings, TrainSettings
from cmc.training import prior, run_training
from cmc.training.folder import read_lines
from cmc.training.prior import pretrain_prior, token_windows
from tests.conftest import tiny_vocabulary


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "story.txt"
    lines = [f"Anna met Hugo on day {n}. Hugo gave Anna {n} figs." for n in range(200)]
    path.write_text("\n<|endoftext|>\n".join(lines))
    return path


def asked(saved, text, **others) -> PriorSettings:
    named = {"data": (str(text),), "template": saved["model"], "size": "0.26M", "window": 16,
             "batch_size": 4, "max_steps": 6, "save_every": 2, "evaluate_every": 3}  # fmt: skip
    return PriorSettings(**(named | others))


def weights_in(folder):
    model = load_language_model(str(folder)).model
    return torch.cat([each.flatten() for each in model.parameters()])


def test_it_learns_and_is_what_a_controller_starts_from(saved, text, tmp_path):
    records = list(pretrain_prior(asked(saved, text, max_steps=30), tmp_path / "a"))
    assert records[-1].loss < 0.7 * records[0].loss
    assert records[-1].held_out < records[0].loss
    assert read_lines(tmp_path / "a" / "records.jsonl")[-1]["loss"] == records[-1].loss
    model = tmp_path / "a" / "model"
    loaded = load_language_model(str(model))
    assert loaded.vocabulary.fingerprint == tiny_vocabulary("sentencepiece").fingerprint
    settings = TrainSettings(template=saved["model"], init=str(model), data=saved["data"],
                             prompt_format="qa", max_steps=1, batch_size=2)  # fmt: skip
    list(run_training(settings, tmp_path / "run"))
    controller = load_controller(str(tmp_path / "run" / "controller"))
    first = torch.cat([each.flatten() for each in controller.prior.parameters()])
    assert torch.equal(first, weights_in(model))


def test_a_resumed_one_equals_the_uninterrupted_one_to_the_bit(saved, text, tmp_path):
    settings = asked(saved, text)
    expected = list(pretrain_prior(settings, tmp_path / "whole"))
    stopped = pretrain_prior(settings, tmp_path / "parts")
    list(itertools.islice(stopped, 3))
    stopped.close()
    assert (tmp_path / "parts" / "model").is_dir()  # usable although it was stopped
    rest = list(pretrain_prior(settings, tmp_path / "parts"))
    assert [each.step for each in rest] == [4, 5, 6]
    losses = [each["loss"] for each in read_lines(tmp_path / "parts" / "records.jsonl")]
    assert losses == [each.loss for each in expected]
    assert torch.equal(weights_in(tmp_path / "parts/model"), weights_in(tmp_path / "whole/model"))
    with pytest.raises(RunError, match="other settings"):
        next(pretrain_prior(asked(saved, text, seed=1), tmp_path / "parts"))


def test_scored_in_parts_a_batch_has_the_same_loss(saved, text, tmp_path, monkeypatch):
    settings = asked(saved, text, max_steps=2)
    expected = [each.loss for each in pretrain_prior(settings, tmp_path / "whole")]
    monkeypatch.setattr(prior, "LOGITS_AT_ONCE", 1)
    found = [each.loss for each in pretrain_prior(settings, tmp_path / "parts")]
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_loss_that_is_not_finite_ends_it_and_keeps_the_model(saved, text, tmp_path, monkeypatch):
    training = pretrain_prior(asked(saved, text), tmp_path / "a")
    list(itertools.islice(training, 2))
    monkeypatch.setattr(prior._Pretraining, "_mean_loss", lambda *_, **__: float("nan"))
    with pytest.raises(TrainingError, match="nan at step 3"):
        next(training)
    assert (tmp_path / "a" / "checkpoints" / "ckpt-00000002").is_dir()


def test_windows_hold_every_text_with_its_end(saved, text):
    settings, vocabulary = asked(saved, text, window=8), tiny_vocabulary("sentencepiece")
    rows = token_windows(settings, vocabulary)
    expected = [each for part in text.read_text().split("<|endoftext|>\n")
                for each in (*vocabulary.encode_prompt(part), vocabulary.eos_id)]  # fmt: skip
    assert rows.flatten().tolist() == expected[: rows.numel()]
    assert len(expected) - rows.numel() < 8
    assert token_windows(asked(saved, text, window=8, most_tokens=40), vocabulary).shape == (5, 8)
    (text.parent / "short.txt").write_text("Too short.")
    with pytest.raises(DataError, match="two windows"):
        token_windows(asked(saved, text.parent / "short.txt", window=512), vocabulary)


def test_texts_come_from_files_columns_and_records(tmp_path):
    files = {
        "a.jsonl": [{"text": "one"}, {"text": "two"}],
        "b.jsonl": [{"prompt": "Who?", "completion": "Anna."}],
        "c.jsonl": [{"body": "three", "text": "no"}],
        "bad.jsonl": [{"text": "one"}, {"text": 2}],
    }
    for name, rows in files.items():
        (tmp_path / name).write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "d.txt").write_text("first\n<|endoftext|>\n\n<|endoftext|>\nsecond\n")
    assert list(read_texts(tmp_path / "a.jsonl")) == ["one", "two"]
    assert list(read_texts(tmp_path / "b.jsonl")) == ["Who?\nAnna."]
    assert list(read_texts(tmp_path / "c.jsonl", "body")) == ["three"]
    assert list(read_texts(tmp_path)) == ["first\n", "second\n"]  # a folder's text files
    for name, message in (("bad.jsonl", "row 2 of bad.jsonl"), ("none.txt", "no file"),
                          ("e.pdf", "of no kind"), ("f.txt", "holds no text")):  # fmt: skip
        if name in ("e.pdf", "f.txt"):
            (tmp_path / name).write_text(" ")
        with pytest.raises(DataError, match=message):
            list(read_texts(tmp_path / name))


def test_sizes_are_those_published_and_others_are_told():
    assert SHAPES["15M"] == SHAPES["15M"].__class__(288, 6, 6, 6, 768, 256)
    for wrong in ({"size": "7B"}, {"window": 2048}, {"data": ()}):
        with pytest.raises(SettingError):
            PriorSettings(**({"data": ("a.txt",)} | wrong))
    with pytest.raises(SettingError, match="size"):
        TrainSettings(init="random:7B")


def test_a_random_controller_of_a_size_can_be_the_start(saved, tmp_path):
    settings = TrainSettings(template=saved["model"], init="random:0.26M", data=saved["data"],
                             prompt_format="qa", max_steps=1, batch_size=2)  # fmt: skip
    list(run_training(settings, tmp_path / "run"))
    config = load_controller(str(tmp_path / "run" / "controller")).delta.config
    assert (config.hidden_size, config.num_hidden_layers, config.num_key_value_heads) == (64, 5, 4)


def test_a_language_model_of_another_vocabulary_is_no_start(saved, tmp_path):
    settings = TrainSettings(template=saved["model"], init=saved["byte"], data=saved["data"])
    with pytest.raises(ValueError, match="different vocabularies") as caught:
        list(run_training(settings, tmp_path / "run"))
    assert "tokenizer" in caught.value.hint


def test_the_command_trains_resumes_and_tells_mistakes(saved, text, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CMC_HOME", str(tmp_path / "home"))
    command = ["prior", "--data", str(text), "--template", saved["model"], "--size", "0.26M"]
    command += ["--window", "16", "--batch-size", "2", "--max-steps", "2", "--name", "mine"]
    assert main([*command, "--json", "--out", str(tmp_path / "out")]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["step"] == 2
    assert weights_in(tmp_path / "out").isfinite().all()
    assert main(["prior", "--resume", "mine"]) == 0
    assert "train --init" in capsys.readouterr().out
    for wrong in (["--resume", "none"], ["--name", "../x"], []):
        assert main(["prior", *wrong, *(["--data", "a.txt"] if "--name" in wrong else [])]) == 1
    told = capsys.readouterr().err
    assert 'no prior "none"' in told
    assert '"../x" is no name' in told
    assert "Name text files" in told
