"""Runs are processes of their own, and everything about them is read from their folders."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from cmc import runs
from cmc.errors import RunError
from cmc.training import process, run_training
from cmc.training.folder import lock_held, write_json
from tests.test_training_job import settings_in, template, weights_in

__all__ = ["template"]  # a fixture

TRAIN = """
import json, sys, time, torch
from pathlib import Path
torch.set_num_threads(1)
from cmc.settings import TrainSettings
from cmc.training import run_training
folder = Path(sys.argv[1])
settings = TrainSettings(**json.loads((folder / "settings.json").read_text()))
for record in run_training(settings, folder):
    time.sleep(0.05)
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "COMMAND", (sys.executable, "-c", TRAIN))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield tmp_path
    for run in runs.list_runs(tmp_path):
        if run.is_running() and (child := process.find_process(run.folder)):
            child.kill()


def wait(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.05)


def finished(home, name="old", state="finished"):
    folder = home / "runs" / name
    folder.mkdir(parents=True)
    write_json(folder / "settings.json", {"name": name})
    write_json(folder / "status.json", {"state": state, "step": 5, "steps": 9})
    return runs.Run(folder)


@pytest.fixture
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in the processes that are started here
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
def test_a_run_is_detached_stopped_resumed_killed_resumed_and_equals_one_in_a_go(home, template):
    settings = settings_in(home, template, max_steps=25, save_every=5)
    run = runs.start_training(settings, home)
    assert run.status()["state"] == "running"
    wait(lambda: run.status()["step"] >= 2)
    child = process.find_process(run.folder)
    assert os.getsid(child.pid) == child.pid  # its own session: our end is not its end
    with pytest.raises(RunError, match="is running"):
        runs.delete(run)
    with pytest.raises(RunError, match="is running"):
        runs.resume(run)
    runs.stop(run)
    wait(lambda: not run.is_running(), 20)
    status = run.status()
    assert status["state"] == "stopped"
    assert status["message"] == f"stopped at step {status['step']}, controller saved, usable now"
    assert (run.folder / "controller" / "controller.json").is_file()

    runs.resume(run)
    wait(lambda: len(run.records()) >= status["step"] + 6)
    os.kill(process.find_process(run.folder).pid, signal.SIGKILL)
    wait(lambda: not run.is_running())
    assert run.status()["state"] == "interrupted"
    assert f"before step {run.status()['step']} is lost" in run.status()["message"]
    assert run.status()["step"] % 5 == 0 or run.status()["step"] == status["step"]

    list(run_training(run.settings(), run.folder))
    expected = list(run_training(run.settings(), home / "whole"))
    assert [each["loss"] for each in run.records()] == [each.loss for each in expected]
    assert run.records(since=24)[0]["step"] == 25
    assert run.status()["state"] == "finished"
    assert weights_in(run.folder).equal(weights_in(home / "whole"))
    with pytest.raises(RunError, match="is finished"):
        runs.resume(run)
    runs.delete(run)
    assert runs.list_runs(home) == []


def test_a_process_that_dies_at_once_leaves_an_interrupted_run_with_its_words(home, monkeypatch):
    monkeypatch.setattr(process, "COMMAND", (sys.executable, "-c", "raise SystemExit('no luck')"))
    run = runs.start_training(settings_in(home, "lab:template"), home)
    wait(lambda: not run.is_running())
    assert run.status()["state"] == "interrupted"
    assert "Nothing was saved yet" in run.status()["message"]
    wait(lambda: "no luck" in run.log_tail())


def test_the_process_gets_no_secrets_and_finds_the_package(home, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-canary")
    show = "import os, cmc.settings; print(dict(os.environ)); print(os.getcwd())"
    monkeypatch.setattr(process, "COMMAND", (sys.executable, "-c", show))
    run = runs.start_training(settings_in(home, "lab:template"), home)
    wait(lambda: str(run.folder) in run.log_tail())
    assert "canary" not in run.log_tail()
    assert "'PATH'" in run.log_tail()


def test_taken_names_get_a_number_and_the_newest_run_comes_first(home, monkeypatch):
    monkeypatch.setattr(process, "COMMAND", (sys.executable, "-c", ""))
    made = []
    for _ in range(3):
        made.append(runs.start_training(settings_in(home, "lab:template", name="tofu a"), home))
        time.sleep(0.01)
    assert [run.name for run in made] == ["tofu a", "tofu a-2", "tofu a-3"]
    assert made[1].settings().name == "tofu a-2"
    assert [run.name for run in runs.list_runs(home)] == ["tofu a-3", "tofu a-2", "tofu a"]
    assert runs.open_run("tofu a-2", home) == made[1]
    long = runs.start_training(settings_in(home, "lab:template", name="x" * 64), home)
    longer = runs.start_training(settings_in(home, "lab:template", name="x" * 64), home)
    assert (len(long.name), longer.name) == (64, "x" * 62 + "-2")


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../up", "a/b", "a\\b", ".hidden", " a", "a ", "ä", "a\n", "x" * 65]
)
def test_names_that_are_not_safe_are_refused(home, name):
    with pytest.raises(RunError, match="is no name for a run"):
        runs.open_run(name, home)
    with pytest.raises(RunError, match="is no name for a run"):
        runs.start_training(settings_in(home, "lab:template", name=name), home)
    assert not (home / "runs").exists()


def test_where_no_folder_can_be_made_the_place_is_named(tmp_path):
    (tmp_path / "runs").write_text("a file where the folder should be")
    with pytest.raises(RunError) as caught:
        runs.new_folder("a", tmp_path)
    assert f"no run can be made in {tmp_path / 'runs'}" in str(caught.value)
    assert "CMC_HOME" in caught.value.hint


def test_a_run_that_is_not_there_is_told_with_those_that_are(home):
    finished(home)
    with pytest.raises(RunError) as caught:
        runs.open_run("new", home)
    assert caught.value.hint == "Choose one of: old."


def test_only_a_running_run_can_be_stopped(home):
    with pytest.raises(RunError, match="not running but finished"):
        runs.stop(finished(home))


def test_a_lock_decides_what_is_running(home):
    run = finished(home, state="running")
    assert run.status()["state"] == "interrupted"
    holder = (
        "import fcntl, sys, time\n"
        "file = open(sys.argv[1] + '/lock', 'a')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\n"
        "time.sleep(60)"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", holder, str(run.folder)],
        stdout=subprocess.PIPE,
    )
    try:
        assert child.stdout.readline() == b"held\n"
        assert run.status()["state"] == "running"
        with pytest.raises(RunError, match="already running"), lock_held(run.folder):
            pass
    finally:
        child.kill()
        child.communicate()
    assert run.status()["state"] == "interrupted"


def test_another_process_with_the_old_number_is_not_the_run(home):
    run = finished(home, state="running")
    write_json(run.folder / "process.json", {"pid": os.getpid(), "created": 1.0})
    assert run.status()["state"] == "interrupted"


def test_broken_settings_and_status_do_not_break_the_list(home):
    run = finished(home)
    (run.folder / "status.json").write_text('{"state": ')
    (run.folder / "settings.json").write_text("[]")
    assert [each.name for each in runs.list_runs(home)] == ["old"]
    assert run.status()["state"] == "interrupted"
    with pytest.raises(RunError, match="cannot be read"):
        run.settings()


def test_the_log_tail_is_the_end_of_the_log(home):
    run = finished(home)
    assert run.log_tail() == ""
    (run.folder / "log.txt").write_text("".join(f"line {n}\n" for n in range(9000)))
    assert run.log_tail(2) == "line 8998\nline 8999"


QUEUED = """
import sys, time
from pathlib import Path
from cmc import runs
from cmc.training.folder import append_record, lock_held, write_json
folder = Path(sys.argv[1])
with runs.turn(folder), lock_held(folder):
    write_json(folder / "status.json", {"state": "running", "message": "At work."})
    with (folder.parent.parent / "order.txt").open("a") as file:
        file.write(f"+{folder.name}\\n")
    while not (folder / "go").exists():
        time.sleep(0.02)
    with (folder.parent.parent / "order.txt").open("a") as file:
        file.write(f"-{folder.name}\\n")
    write_json(folder / "status.json", {"state": "finished"})
"""


@pytest.fixture
def line(home, monkeypatch):
    """Return a starter of runs that work until they are told to go."""
    monkeypatch.setattr(process, "COMMAND", (sys.executable, "-c", QUEUED))
    return lambda name: runs.start_training(settings_in(home, "lab:template", name=name), home)


def state_of(run):
    return run.status()["state"]


def go(run):
    (run.folder / "go").touch()


def names_in_line(home):
    return [each.name for each in runs.queue_in(home / "runs")]


def at_work(run):
    return lambda: run.status()["message"] == "At work."


def test_one_run_at_a_time_the_others_wait_and_go_on_by_themselves(home, line):
    first = line("z")
    wait(at_work(first))
    second, third = line("b"), line("a")
    assert (state_of(first), state_of(second), state_of(third)) == ("running", "queued", "queued")
    assert names_in_line(home) == ["z", "b", "a"]
    wait(lambda: "Waits for" in third.log_tail())
    assert second.status()["message"] == 'Waits for "z"; it starts by itself.'
    assert third.status()["message"] == 'Waits for "z" and 1 more; it starts by itself.'
    for refused in (runs.resume, runs.delete):
        with pytest.raises(RunError, match="is queued"):
            refused(second)
    # SIGKILL of the one at work, then of the head of those that wait, lets the next go.
    process.find_process(first.folder).kill()
    wait(at_work(second))
    assert state_of(first) == "interrupted"
    process.find_process(second.folder).kill()
    wait(at_work(third))
    assert names_in_line(home) == ["a"]
    go(third)
    wait(lambda: not third.is_running())
    assert state_of(third) == "finished"


def test_who_waits_is_stopped_at_once_and_queued_again_at_the_end(home, line):
    first, second = line("a"), line("b")
    wait(at_work(first))
    wait(lambda: second.log_tail().count("Waits for") == 2)  # its starter said so, and itself
    runs.stop(second)
    wait(lambda: not second.is_running())
    assert state_of(second) == "stopped"
    assert "Taken out of the queue" in second.status()["message"]
    third = line("c")
    runs.resume(second)
    assert names_in_line(home) == ["a", "c", "b"]
    for run in (first, third, second):
        go(run)
    wait(lambda: not names_in_line(home))
    order = (home / "order.txt").read_text().split()
    assert order == ["+a", "-a", "+c", "-c", "+b", "-b"]


def test_of_many_starters_at_once_each_gets_its_turn_alone(home, line):
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(line, ["same"] * 4))
    assert len({run.name for run in made}) == 4
    for run in made:
        go(run)
    wait(lambda: all(state_of(run) == "finished" for run in made), 60)
    order = (home / "order.txt").read_text().split()
    begun = [each[1:] for each in order[::2]]
    assert sorted(begun) == ["same", "same-2", "same-3", "same-4"]
    assert order == [sign + name for name in begun for sign in "+-"]


def outcome(action, run):
    try:
        action(run)
    except RunError as error:
        return str(error)
    return "done"


@pytest.mark.parametrize(
    "actions", [(runs.resume, runs.resume), (runs.delete, runs.delete), (runs.resume, runs.delete)]
)
def test_of_two_who_resume_or_delete_a_run_at_once_one_does(home, monkeypatch, actions):
    monkeypatch.setattr(process, "COMMAND", (sys.executable, "-c", "import time; time.sleep(30)"))
    for number in range(4):
        run = finished(home, name=f"old{number}", state="stopped")
        with ThreadPoolExecutor(2) as pool:
            said = list(pool.map(outcome, actions, [run, run]))
        assert said.count("done") == 1, said
        is_resumed = actions[said.index("done")] is runs.resume
        assert run.folder.is_dir() == is_resumed
        if is_resumed:
            process.find_process(run.folder).kill()
    assert not list((home / "runs").glob(".deleted*"))


def test_a_finished_run_whose_process_is_still_leaving_is_deleted(home):
    run = finished(home)
    with ThreadPoolExecutor(1) as pool:
        with lock_held(run.folder):
            deleted = pool.submit(outcome, runs.delete, run)
            with pytest.raises(TimeoutError):  # it waits for the process
                deleted.result(timeout=0.3)
        assert deleted.result(timeout=20) == "done"
    assert not run.folder.exists()


def test_a_run_of_the_same_name_is_not_the_one_that_was_deleted(home):
    run = finished(home)
    with ThreadPoolExecutor(1) as pool:
        with runs.queue.alone(run):
            late = pool.submit(outcome, runs.delete, run)
            time.sleep(0.3)  # it stands at the door by now
            run.folder.rename(home / "gone")
            new = finished(home)
            with runs.queue.alone(new):
                pass
        assert "was deleted" in late.result()
    assert new.folder.is_dir()
    runs.delete(new)
    with pytest.raises(RunError, match="was deleted"):
        runs.delete(new)
