"""Checkpoints are whole or absent, and a resumed run is the uninterrupted one."""

import itertools
import json
import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from cmc.errors import TrainingError
from cmc.training import checkpoints, train_controller
from tests.test_training import controller_of, llama, settings_for, template_of, write_data

STATE = {"settings": {}, "seconds": 0.1}


def trained(folder, settings, steps, *, resume=False):
    """Train up to `steps` records and close; return controller and records without times."""
    controller = controller_of(hidden=16, layers=1)
    training = train_controller(
        controller,
        template_of(llama(1)),
        settings,
        folder=folder,
        resume_from=folder if resume else None,
    )
    records = list(itertools.islice(training, steps))
    training.close()
    return controller, records


def untimed(records):
    timed = {"seconds", "tokens_per_second", "message"}
    return [{k: v for k, v in asdict(each).items() if k not in timed} for each in records]


def weights(controller):
    return torch.cat([each.detach().flatten() for each in controller.delta.parameters()])


@pytest.mark.parametrize(("objective", "stops"), [("sft", [1, 5, 6]), ("npo", [4])])
def test_a_resumed_run_equals_the_uninterrupted_one_to_the_bit(tmp_path, objective, stops):
    data, retain = write_data(tmp_path / "data.jsonl"), write_data(tmp_path / "retain.jsonl", 17)
    options = {"objective": "npo", "retain": str(retain)} if objective == "npo" else {}
    # 27 records in batches of 4 make 7 steps an epoch: the run crosses into the second one.
    settings = settings_for(data, max_steps=10, weight_decay=0.1, **options)
    whole, expected = trained(tmp_path / "whole", settings, 10)
    found = []
    for before, stop in itertools.pairwise([0, *stops, 10]):
        part, records = trained(tmp_path / "parts", settings, stop - before, resume=bool(before))
        found += records
    assert untimed(found) == untimed(expected)
    assert torch.equal(weights(part), weights(whole))
    ends = [
        checkpoints.load_checkpoint(tmp_path / each / "checkpoints") for each in ("whole", "parts")
    ]
    assert ends[0].step == ends[1].step == 10
    for index, entries in ends[0].optimizer["state"].items():
        for key, value in entries.items():
            assert torch.equal(value, ends[1].optimizer["state"][index][key])


def test_a_run_killed_between_checkpoints_does_those_steps_again(tmp_path):
    settings = settings_for(write_data(tmp_path / "data.jsonl"), max_steps=8, save_every=3)
    whole, expected = trained(tmp_path / "whole", settings, 8)
    training = train_controller(
        controller_of(), template_of(llama(1)), settings, folder=tmp_path / "killed"
    )
    for _ in range(5):
        next(training)
    shutil.copytree(tmp_path / "killed", tmp_path / "after")  # as it lies there at the kill
    training.close()
    again, records = trained(tmp_path / "after", settings, 8, resume=True)
    assert records[0].step == 4
    assert "Resumed from step 3" in records[0].message
    assert untimed(records) == untimed(expected[3:])
    assert torch.equal(weights(again), weights(whole))


def test_two_checkpoints_are_kept_and_nothing_is_pickled(tmp_path):
    settings = settings_for(write_data(tmp_path / "data.jsonl"), max_steps=8, save_every=2)
    trained(tmp_path, settings, 8)
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept == ["ckpt-00000006", "ckpt-00000008"]
    suffixes = {path.suffix for path in (tmp_path / "checkpoints").rglob("*.*")}
    assert suffixes == {".json", ".safetensors"}


def saved(folder, step, value):
    parameter = torch.nn.Parameter(torch.full((3,), float(value)))
    optimizer = torch.optim.AdamW([parameter])
    parameter.grad = torch.ones(3)
    optimizer.step()
    return checkpoints.save_checkpoint(
        folder, step, {"w": torch.full((3,), float(value))}, optimizer.state_dict(), STATE
    )


def _flip(path):
    data = bytearray((path / "delta.safetensors").read_bytes())
    data[-1] ^= 1
    (path / "delta.safetensors").write_bytes(data)


def _truncate(path):
    (path / "optimizer.safetensors").write_bytes(b"")


def _remove_manifest(path):
    (path / "manifest.json").unlink()


def _break_manifest(path):
    (path / "manifest.json").write_text('{"files": 3}')


@pytest.mark.parametrize("damage", [_flip, _truncate, _remove_manifest, _break_manifest])
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(tmp_path, damage):
    saved(tmp_path, 1, 10)
    damage(saved(tmp_path, 2, 20))
    found = checkpoints.load_checkpoint(tmp_path)
    assert (found.step, float(found.weights["w"][0])) == (1, 10.0)
    assert "ckpt-00000002 is damaged" in found.skipped[0]
    damage(tmp_path / "ckpt-00000001")
    if damage is not _flip:  # flipping twice would mend it
        with pytest.raises(TrainingError, match="damaged"):
            checkpoints.load_checkpoint(tmp_path)


def test_a_resume_past_damage_says_so(tmp_path):
    settings = settings_for(write_data(tmp_path / "data.jsonl"), max_steps=6, save_every=2)
    trained(tmp_path, settings, 4)
    _flip(tmp_path / "checkpoints" / "ckpt-00000004")
    _, records = trained(tmp_path, settings, 1, resume=True)
    assert records[0].step == 3
    assert "checksum of delta.safetensors differs" in records[0].message


def test_other_settings_and_other_controllers_are_not_resumed(tmp_path):
    settings = settings_for(write_data(tmp_path / "data.jsonl"))
    trained(tmp_path, settings, 3)
    with pytest.raises(TrainingError, match="other settings"):
        trained(tmp_path, replace(settings, learning_rate=0.5), 1, resume=True)
    with pytest.raises(TrainingError, match="another controller"):
        checkpoints.load_weights(llama(0, hidden=32), checkpoints.weights_of(llama(0)))


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_failure_at_any_call_leaves_the_last_checkpoint_whole(tmp_path, monkeypatch, call):
    saved(tmp_path, 1, 10)
    owner = os if call == "fsync" else Path
    working = getattr(owner, call)
    for failing in itertools.count(1):
        count = itertools.count(1)

        def fail(*args, count=count, failing=failing):
            if next(count) == failing:
                raise OSError(28, "No space left on device")
            return working(*args)

        monkeypatch.setattr(owner, call, fail)
        message = ""
        try:
            saved(tmp_path, 2, 20)
        except TrainingError as error:
            message = str(error)
        monkeypatch.setattr(owner, call, working)
        if not message:
            break
        assert "step 2 could not be written (No space left on device)" in message
        found = checkpoints.load_checkpoint(tmp_path)
        # The flush after the rename may fail: then the new one is there, and whole.
        assert float(found.weights["w"][0]) == 10.0 * found.step
        assert not list(tmp_path.glob(".tmp-*"))
    assert failing > 1  # it did fail at least once
    assert checkpoints.load_checkpoint(tmp_path).step == 2


def test_leftovers_of_a_killed_process_are_swept(tmp_path):
    (tmp_path / "checkpoints" / ".tmp-99").mkdir(parents=True)
    settings = settings_for(write_data(tmp_path / "data.jsonl"))
    trained(tmp_path, settings, 1)
    assert [each.name for each in (tmp_path / "checkpoints").iterdir()] == ["ckpt-00000001"]


def test_the_manifest_names_every_file_with_its_size(tmp_path):
    path = saved(tmp_path, 1, 1)
    files = json.loads((path / "manifest.json").read_text())["files"]
    found = {each.name: each.stat().st_size for each in path.iterdir()}
    del found["manifest.json"]
    assert {name: entry["size"] for name, entry in files.items()} == found
