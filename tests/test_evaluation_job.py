"""Evaluations are runs: killed at any moment they go on without repeating what was finished."""

import json
import os
import signal
import sys
import time

import pytest

from cmc import runs
from cmc.errors import CmcError, RunError
from cmc.evaluation import kinds
from cmc.evaluation.cells import Cell, Progress, measured
from cmc.evaluation.job import run_evaluation
from cmc.settings import SweepRequest
from cmc.training import process
from cmc.training.folder import append_record

CHILD = """
import sys, time
from pathlib import Path
from cmc.evaluation import job, kinds
from cmc.evaluation.cells import Cell, Progress, measured
from cmc.settings import SweepRequest
folder = Path(sys.argv[1])
def evaluate(request, kept=None):
    def measure(number):
        with (folder / "measured.txt").open("a") as file:
            file.write(f"{number}\\n")
        time.sleep(0.15)
        return {"number": number}
    found = dict(kept or {})
    cells = [Cell(f"cell {number}", lambda number=number: measure(number)) for number in range(8)]
    yield from measured(cells, found)
    yield Progress(8, 8, "done", report={"kind": "sweep", "sum": sum(
        each["number"] for each in found.values())})
kinds.KINDS["sweep"] = kinds.Kind(SweepRequest, evaluate)
list(job.run_evaluation(folder))
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "EVALUATION_COMMAND", (sys.executable, "-c", CHILD))
    yield tmp_path
    for run in runs.list_runs(tmp_path):
        if run.is_running() and (child := process.find_process(run.folder)):
            child.kill()


def wait(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.05)


def test_killed_resumed_stopped_resumed_it_measures_every_finished_cell_once(home):
    run = runs.start_evaluation("sweep", SweepRequest(), home=home)
    assert run.status()["state"] == "running"
    assert (run.kind, run.name) == ("sweep", "sweep")
    with pytest.raises(RunError, match="is running"):
        runs.resume(run)
    wait(lambda: len(run.records()) >= 2)
    os.kill(process.find_process(run.folder).pid, signal.SIGKILL)
    wait(lambda: not run.is_running())
    status = run.status()
    assert status["state"] == "interrupted"
    assert f"{status['step']} measurements are kept" in status["message"]
    with (run.folder / "records.jsonl").open("a") as file:
        file.write('{"step": 99, "key": "cell 7", "fou')  # a torn last line
    runs.resume(run)
    wait(lambda: len(run.records()) >= 4)
    runs.stop(run)
    wait(lambda: not run.is_running())
    status = run.status()
    assert status["state"] == "stopped"
    assert "of 8 measurements are kept" in status["message"]
    runs.resume(run)
    wait(lambda: run.status()["state"] == "finished")
    keys = [each["key"] for each in run.records()]
    assert keys == [f"cell {number}" for number in range(8)]
    tried = (run.folder / "measured.txt").read_text().split()
    assert len(tried) <= 10  # those two that were cut off came again, none of the finished
    assert run.report()["sum"] == 28
    with pytest.raises(RunError, match="is finished"):
        runs.resume(run)
    with pytest.raises(RunError, match="no training but an evaluation"):
        run.settings()


def fake(cells):
    def evaluate(_, kept=None):
        found = dict(kept or {})
        yield from measured(cells, found)
        yield Progress(len(cells), len(cells), "done", report={"kind": "sweep"})

    return kinds.Kind(SweepRequest, evaluate)


@pytest.fixture
def run(tmp_path):
    return runs.new_evaluation("sweep", SweepRequest(), home=tmp_path)


def test_what_goes_wrong_is_told_and_what_is_measured_is_kept(run, monkeypatch):
    def fails():
        raise CmcError("no such thing", hint="Take another.")

    cells = [Cell("one", lambda: {"a": 1}), Cell("two", fails)]
    monkeypatch.setitem(kinds.KINDS, "sweep", fake(cells))
    with pytest.raises(CmcError):
        list(run_evaluation(run.folder))
    status = run.status()
    assert status["state"] == "failed"
    assert status["message"] == "No such thing. Take another. 1 of 2 measurements are kept."
    monkeypatch.setitem(kinds.KINDS, "sweep", fake([cells[0], Cell("two", lambda: {"a": 2})]))
    assert [each.message for each in run_evaluation(run.folder)] == ["two", "done"]
    assert [each["found"] for each in run.records()] == [{"a": 1}, {"a": 2}]


def test_a_mistake_of_ours_goes_to_the_log_with_its_trace(run, monkeypatch):
    monkeypatch.setitem(kinds.KINDS, "sweep", fake([Cell("one", lambda: 1 / 0)]))
    with pytest.raises(ZeroDivisionError):
        list(run_evaluation(run.folder))
    assert "on our side (ZeroDivisionError" in run.status()["message"]
    assert "Traceback" in run.log_tail()


@pytest.mark.parametrize("broken", ["", "[]", '{"kind": "magic"}', '{"kind": "sweep"}'])
def test_a_folder_that_asks_for_nothing_is_told(run, broken):
    (run.folder / "settings.json").write_text(broken)
    with pytest.raises(CmcError):
        list(run_evaluation(run.folder))
    status = json.loads((run.folder / "status.json").read_text())
    assert status["state"] == "failed"


def test_two_processes_never_measure_the_same_run(run, monkeypatch):
    monkeypatch.setitem(kinds.KINDS, "sweep", fake([Cell("one", dict), Cell("two", dict)]))
    steps = run_evaluation(run.folder)
    next(steps)
    with pytest.raises(RunError, match="already running"):
        next(run_evaluation(run.folder))
    steps.close()
    assert run.status()["state"] == "stopped"


def test_a_record_of_any_size_is_one_line(tmp_path):
    append_record(tmp_path / "records.jsonl", {"step": 1, "text": "x\ny" * 10**6})
    append_record(tmp_path / "records.jsonl", {"step": 2})
    assert (tmp_path / "records.jsonl").read_text().count("\n") == 2
