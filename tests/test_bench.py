"""Benchmarks: what a row says, how the table reads."""

import json
import subprocess
import sys

from cmc.vocab import build_map
from tests.bench.__main__ import NAMES, table
from tests.bench.map import Quadratic, edit_distance
from tests.bench.row import Measurement
from tests.conftest import tiny_vocabulary


def test_a_row_meets_its_target_from_the_right_side():
    low = {"name": "seconds", "value": 1.0, "unit": "s"}
    assert Measurement(**low, target=1.5).ok
    assert not Measurement(**low, target=0.5).ok
    assert Measurement(**low, target=0.5, is_lower_better=False).ok
    assert Measurement(**low).ok is None
    assert Measurement(**low | {"value": None}, target=0.5).ok is None


def test_the_table_tells_what_was_not_measured():
    row = Measurement(name="on a GPU", value=None, unit="ratio", target=0.95, note="no GPU here")
    assert "no GPU here" in table([row])


def test_a_benchmark_prints_one_object_with_its_machine():
    command = [sys.executable, "-m", "tests.bench", "start", "--json"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found = json.loads(said)
    assert found["benchmark"] in NAMES
    assert {"machine", "cores", "load", "torch"} <= set(found["machine"])
    wanted = {"name", "value", "unit", "limit", "target", "ok"}
    assert all(wanted <= set(row) for row in found["rows"])


def test_the_peer_of_the_map_benchmark_finds_the_published_entries():
    controller, target = tiny_vocabulary("sentencepiece"), tiny_vocabulary("unigram")
    peer = Quadratic(controller, target)
    found = [peer.nearest(each) for each in range(target.size)]
    assert found == build_map(controller, target, parity=True).ids.tolist()
    assert edit_distance("kitten", "sitting") == 3
    assert edit_distance("", "abc") == edit_distance("abc", "") == 3
