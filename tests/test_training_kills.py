"""SIGKILL at random moments and at every file operation of a save; a disk that is full."""

import errno
import itertools
import os
import random
import resource
import signal

import pytest

from cmc.errors import TrainingError
from cmc.settings import lab_folder
from cmc.training import checkpoints, folder, job, run_training
from cmc.training.checkpoints import load_checkpoint
from cmc.training.folder import read_json
from tests.bench import kills

needs_lab = pytest.mark.skipif(
    not (lab_folder() / "models" / "template").is_dir(), reason="there is no starter lab"
)


def test_a_save_killed_at_any_file_operation_leaves_a_whole_checkpoint(tmp_path):
    place = tmp_path / "checkpoints"
    kills.save_small(place, 1)
    found = set()

    def look():
        checkpoint = load_checkpoint(place)
        found.add(checkpoint.step)
        assert float(checkpoint.weights["w"][0]) == 10.0 * checkpoint.step
        assert not checkpoint.skipped

    kills.save_small(place, 2)
    for number in itertools.count(1):  # the third save also removes the first checkpoint
        process = kills.FORKS.Process(
            target=kills._killed_at, args=(number, place, kills.save_small, (place, 3))
        )
        process.start()
        process.join()
        look()
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
    assert number > 10
    assert found == {2, 3}


def cut_short(size, place, step):
    """Save where the kernel kills whoever writes a file beyond `size` bytes."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    kills.save_small(place, step)


@pytest.mark.parametrize("size", [1, 90, 200])
def test_a_save_killed_within_a_write_leaves_the_checkpoint_before(tmp_path, size):
    kills.save_small(tmp_path, 1)
    process = kills.FORKS.Process(target=cut_short, args=(size, tmp_path, 2))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGXFSZ
    assert load_checkpoint(tmp_path).step == 1


@needs_lab
def test_a_run_killed_at_random_moments_ends_in_the_same_weights(tmp_path):
    settings = kills.settings_in(tmp_path, max_steps=5)
    whole, seconds = kills.uninterrupted(settings, tmp_path)
    killed, draw = 0, random.Random(1)
    for number in itertools.count():
        run = tmp_path / "runs" / f"killed-{number}"
        killed += kills.killed_at_random(settings, run, draw, seconds)
        assert kills.outcome(run) == whole
        assert not list(run.glob(".tmp-*"))
        if killed >= 3:
            break


@needs_lab
@pytest.mark.parametrize("call", ["checkpoint", "record", "status", "controller"])
def test_a_full_disk_is_told_and_the_last_checkpoint_goes_on(tmp_path, monkeypatch, call):
    monkeypatch.setenv("CMC_HOME", str(tmp_path / "home"))
    settings = kills.settings_in(tmp_path, max_steps=4)
    list(run_training(settings, tmp_path / "whole"))

    def full(*_, **__):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    training = run_training(settings, tmp_path / "run")
    list(itertools.islice(training, 2))
    with monkeypatch.context() as patched:
        place, name = {
            "checkpoint": (checkpoints, "_write_flushed"),
            "record": (folder.os, "write"),
            "status": (folder, "append_log"),
            "controller": (job, "flush_tree"),
        }[call]
        patched.setattr(place, name, full)
        if call == "status":
            patched.setattr("cmc.training.journal.append_log", full)
            patched.setattr("cmc.training.journal.write_json", full)
        with pytest.raises(TrainingError, match="No space left on device") as caught:
            list(training)
        assert "room" in caught.value.hint
    assert load_checkpoint(tmp_path / "run" / "checkpoints").step >= 1
    if call in ("checkpoint", "controller"):
        assert read_json(tmp_path / "run" / "status.json")["state"] == "failed"
    list(run_training(settings, tmp_path / "run"))
    assert kills.outcome(tmp_path / "run") == kills.outcome(tmp_path / "whole")
