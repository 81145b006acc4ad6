"""A built map is kept by all that it is built from, and what is wrong with the file is mended."""

import json
import multiprocessing
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file
from tokenizers import Tokenizer, decoders
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from cmc.__main__ import main
from cmc.errors import DataError
from cmc.generation import ControlledModel
from cmc.settings import MapRequest
from cmc.vocab import VocabMap, Vocabulary, build_map, cache, composition, inspected_map
from cmc.vocab.cache import map_folder
from cmc.vocab.entries import diff_maps
from cmc.workspace import Workspace
from cmc.workspace.maps import inspect_map
from tests.conftest import tiny_controller, tiny_target, tiny_vocabulary


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("CMC_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(cache, "SMALLEST", 0)
    return tmp_path / "home"


@pytest.fixture
def builds(monkeypatch) -> list[str]:
    """Note every build, whichever way it goes."""
    done = []
    for name, build in (("build_map", build_map), ("composition", composition)):

        def noted(*sides, build=build, **how):
            done.append(build.__name__)
            return build(*sides, **how)

        monkeypatch.setattr(cache, name, noted)
    return done


def pair() -> tuple[Vocabulary, Vocabulary]:
    return tiny_vocabulary("sentencepiece"), tiny_vocabulary("byte-level")


def made(tokens: list[str], merges=(), **named: str) -> Vocabulary:
    backend = Tokenizer(BPE({token: each for each, token in enumerate(tokens)}, list(merges)))
    backend.decoder = decoders.Metaspace()
    return Vocabulary(PreTrainedTokenizerFast(tokenizer_object=backend, **named))


def equal(one: VocabMap, other: VocabMap) -> bool:
    return diff_maps(one, other).same and np.array_equal(one.kinds, other.kinds)


@pytest.mark.parametrize("how", [("cover",), ("pm-mined",), ("pm-mined", True)])
def test_a_pair_is_built_once(builds, how):
    transfer, parity = how[0], len(how) > 1
    first = inspected_map(*pair(), transfer, parity=parity)
    again = inspected_map(*pair(), transfer, parity=parity)
    assert len(builds) == 1
    assert equal(first, again)
    assert (again.transfer, again.parity) == (transfer, parity)
    assert len(list(map_folder().iterdir())) == 1


def test_equal_vocabularies_keep_the_name_of_their_transfer(builds):
    for transfer in ("same", "pm-mined", "same"):
        assert inspected_map(pair()[0], pair()[0], transfer).transfer == transfer
    assert builds == ["build_map"]


def test_small_maps_are_built_and_not_kept(builds, monkeypatch, home):
    monkeypatch.setattr(cache, "SMALLEST", pair()[1].size + 1)
    inspected_map(*pair(), "pm-mined")
    inspected_map(*pair(), "pm-mined")
    assert len(builds) == 2
    assert not home.exists()


def test_whatever_decides_about_a_map_misses_the_file_of_another(builds):
    """Each of these has a map of its own, though some have equal fingerprints."""
    target = made(["a", "b", "ab", "abc"])
    ends = {"eos_token": "<s>", "additional_special_tokens": ["</s>"]}
    controllers = [
        made(["a", "b", "ab"]), made(["a", "ab", "b"]), made(["a", "b"]),
        made(["a", "b", "ab"], [("a", "b")]),  # puts the same tokens together in another way
        made([" a", "b"]), made(["▁a", "b"]),  # mean the same, and are not the same strings
        made(["</s>", "<s>", "a"], **ends),
        made(["</s>", "<s>", "a"], **ends | {"eos_token": "</s>"}),
    ]  # fmt: skip
    assert controllers[0].fingerprint == controllers[3].fingerprint
    assert controllers[4].fingerprint == controllers[5].fingerprint
    for controller in controllers:
        for transfer, parity in (("cover", False), ("pm-mined", False), ("pm-mined", True)):
            found = inspected_map(controller, target, transfer, parity=parity)
            expected = composition(controller, target) if transfer == "cover" else build_map(
                controller, target, parity=parity
            )  # fmt: skip
            assert equal(found, expected)
    # Merges are nothing to pm-mined, so that one of the pairs is read in two of its ways.
    assert len(builds) == 3 * len(controllers) - 2


def test_other_rules_miss_the_files_of_the_old_ones(builds, monkeypatch):
    inspected_map(*pair(), "pm-mined")
    monkeypatch.setattr(cache, "RULES", cache.RULES + 1)
    inspected_map(*pair(), "pm-mined")
    assert len(builds) == 2


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


DAMAGES = {
    "empty": lambda data: data[:0],
    "cut": lambda data: data[: len(data) // 2],
    "junk": lambda data: b"\xff" * len(data),
    "one bit of an id": lambda data: flipped(data, len(data) - 4 * 200),
    "one bit of a kind": lambda data: flipped(data, len(data) - 3),
    "another transfer": lambda data: data.replace(b"pm-mined", b"pm-mines"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=list(DAMAGES))
def test_a_damaged_file_is_built_anew(builds, damage):
    first = inspected_map(*pair(), "pm-mined")
    [path] = map_folder().iterdir()
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match="is no vocab map"):
        VocabMap.load(path)
    assert equal(inspected_map(*pair(), "pm-mined"), first)
    assert len(builds) == 2
    assert equal(VocabMap.load(path), first)


def test_a_file_of_another_pair_is_built_anew(builds):
    inspected_map(*pair(), "pm-mined")
    [path] = map_folder().iterdir()
    build_map(pair()[0], tiny_vocabulary("unigram")).save(path)
    found = inspected_map(*pair(), "pm-mined")
    assert len(builds) == 2
    found.check_pair(*(each.fingerprint for each in pair()))


def test_a_map_without_a_digest_is_read(tmp_path):
    """Versions kept before there was one stay readable."""
    built, path = build_map(*pair()), tmp_path / "map.safetensors"
    built.save(path)
    with safe_open(path, framework="numpy") as file:
        about = json.loads(file.metadata()["cmc"])
    assert about.pop("digest")
    save_file({"ids": built.ids, "kinds": built.kinds}, path, {"cmc": json.dumps(about)})
    assert equal(VocabMap.load(path), built)


def test_without_room_for_it_a_map_is_built_every_time(builds, home):
    home.write_text("no folder")
    for _ in range(2):
        assert equal(inspected_map(*pair(), "pm-mined"), build_map(*pair()))
    assert len(builds) == 2


def test_only_the_files_used_last_stay(monkeypatch):
    monkeypatch.setattr(cache, "MOST", 2)
    names = []
    for family in ("byte-level", "unigram", "sentencepiece"):
        inspected_map(pair()[0], tiny_vocabulary(family), "pm-mined")
        names.append({path.name for path in map_folder().iterdir()})
    assert [len(each) for each in names] == [1, 2, 2]
    assert not names[0] & names[2]


def _save_and_load(path, built, times=40) -> None:
    for _ in range(times):
        built.save(path)
        assert equal(VocabMap.load(path), built)


def test_two_processes_and_many_threads_write_one_file(tmp_path):
    built, path = build_map(*pair()), tmp_path / "map.safetensors"
    context = multiprocessing.get_context("fork")
    others = [context.Process(target=_save_and_load, args=(path, built)) for _ in range(2)]
    for other in others:
        other.start()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: _save_and_load(path, built, 10), range(4)))
    for other in others:
        other.join(60)
        assert other.exitcode == 0
    assert [file.name for file in tmp_path.iterdir()] == ["map.safetensors"]


def test_generation_reads_the_map_that_was_built(builds):
    target, controllers = tiny_target("byte-level"), [tiny_controller("sentencepiece")]
    for _ in range(2):
        ControlledModel(target, controllers, transfer="pm-mined")
    inspected_map(controllers[0].vocabulary, target.vocabulary, "pm-mined")
    assert builds == ["build_map"]


def test_command_and_app_read_the_map_that_was_built(builds, saved, capsys):
    pair = {"controller": saved["controller"], "target": saved["byte"]}
    named = [part for side, name in pair.items() for part in (f"--{side}", name)]
    for _ in range(2):
        assert main(["map", *named, "--transfer", "pm-mined", "--json"]) == 0
        inspect_map(Workspace(), MapRequest(**pair, transfer="pm-mined"))
    capsys.readouterr()
    assert builds == ["build_map"]
