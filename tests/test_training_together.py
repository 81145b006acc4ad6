"""Two processes under `accelerate launch` train what one trains."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cmc.training import run_training
from cmc.training.folder import read_lines
from tests.conftest import ROOT
from tests.test_training import write_data
from tests.test_training_job import settings_in, template  # noqa: F401

LAUNCH = (
    "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1",
    "--main_process_port", "0", "--mixed_precision", "no", "--dynamo_backend", "no",
)  # fmt: skip
CURVES = ("loss", "held_out_controlled", "held_out_template")


def launched(tmp_path, settings, *more: str) -> dict:
    """Train with the command line in two processes; return what it prints."""
    names = ("template", "data", "retain", "objective", "prompt_format", "max_steps", "batch_size")
    names += ("max_length", "evaluate_every", "save_every", "hidden_size", "layers")
    options = [
        part for each in names if (value := getattr(settings, each)) != ""
        for part in (f"--{each.replace('_', '-')}", str(value))
    ]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", *LAUNCH, "-m", "cmc", "train", "--json", *options, *more],
        cwd=ROOT, capture_output=True, text=True, timeout=240,
        env=os.environ | {"CMC_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1",
                          "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_two_processes_give_the_loss_curve_of_one(tmp_path, template):  # noqa: F811
    retain = write_data(tmp_path / "retain.jsonl", 11)
    settings = settings_in(
        tmp_path, template, objective="npo", retain=str(retain), learning_rate=4e-3, batch_size=5
    )
    expected = list(run_training(settings, tmp_path / "one"))
    # The second run does each batch of five in two parts, each in two processes.
    told = launched(tmp_path, settings, "--variant", "name=two", "--variant", "accumulation=2")
    assert [Path(each["run"]).name for each in told["runs"]] == ["two", "controller-v2"]
    for each in told["runs"]:
        assert each["steps"] == len(expected)
        assert Path(each["controller"], "controller.json").is_file()
        log = Path(each["run"], "log.txt").read_text()
        assert "2 processes train together" in log
        found = read_lines(Path(each["run"]) / "records.jsonl")
        for name in CURVES:
            assert [record[name] for record in found] == pytest.approx(
                [getattr(record, name) for record in expected], abs=1e-4
            )
