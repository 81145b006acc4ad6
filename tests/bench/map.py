"""How fast is a vocab map built, kept and read, beside the quadratic algorithm and beside limits?

Pairs are named controller to target. Processor time throughout; both vocabularies are read
beforehand, nothing else is remembered. The plain algorithm compares every pair of strings, as
published; the whole of it would take minutes, so it is timed on target tokens drawn at random.
Limits: for a build, one look at every string (a dictionary of the controller's, one look-up per
target token); for a file, reading its bytes; for the index, its two arrays. Then every ordered
pair of six published tokenizers.
"""

import itertools
import json
import math
import random
import re
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from statistics import stdev
from typing import Any

from cmc.models import load_vocabulary
from cmc.vocab import PrefixIndex, VocabMap, Vocabulary, build_map, composition
from cmc.vocab.coverage import cover_text
from cmc.vocab.entries import diff_maps
from cmc.vocab.health import grade
from cmc.vocab.sample import sample_texts
from tests.bench.row import Measurement
from tests.conftest import shared

NAMES = ("gpt2", "llama2", "llama3", "mistral_v1", "qwen2_5", "t5_small")
ROWS = 1_500  # target tokens on which the quadratic algorithm is timed
TIMES = 5  # a figure is the least of so many
REMEMBERED = ("fingerprint", "id_of_bytes")


def measure() -> Iterator[Measurement]:
    """Yield the comparison with the quadratic algorithm, the figures of a large pair, all pairs."""
    vocabularies = {name: load_vocabulary(str(shared("tokenizers", name))) for name in NAMES}
    yield from _against_quadratic(vocabularies["llama2"], vocabularies["mistral_v1"])
    yield from _large(vocabularies["llama2"], vocabularies["qwen2_5"])
    for mine, theirs in itertools.permutations(NAMES, 2):
        yield _pair(f"{mine} to {theirs}", vocabularies[mine], vocabularies[theirs])


def _against_quadratic(controller: Vocabulary, target: Vocabulary) -> Iterator[Measurement]:
    """Yield both times at 32k x 32k, and where the two maps and the published one differ."""
    size = f"{controller.size:,} x {target.size:,}"
    ours, built = _least(lambda: build_map(controller, target, parity=True), controller, target)
    yield Measurement(
        name=f"Llama-2 to Mistral, {size}, published rules: ours", value=ours, unit="s", target=0.5,
        limit=_look_at_every_string(controller, target),
    )  # fmt: skip
    drawn = random.Random(0).sample(range(target.size), ROWS)
    plain = Quadratic(controller, target)
    seconds, found = [], []
    for token_id in drawn:
        started = time.process_time()
        found.append(plain.nearest(token_id))
        seconds.append(time.process_time() - started)
    whole = sum(seconds) / ROWS * target.size
    error = stdev(seconds) / math.sqrt(ROWS) * target.size
    yield Measurement(
        name=f"the same by the plain quadratic algorithm, extrapolated from {ROWS:,} of "
        f"{target.size:,} target tokens drawn at random", value=whole, unit="s",
        note=f"standard error {error:.1f} s; {sum(seconds):.1f} s were measured",
    )  # fmt: skip
    yield Measurement(
        name="times faster", value=whole / ours, unit="", target=1000, is_lower_better=False
    )
    differing = sum(other != built.ids[each] for each, other in zip(drawn, found, strict=True))
    yield Measurement(
        name=f"of these {ROWS:,} entries differ", value=differing, unit="", target=0, limit=0
    )
    published = json.loads(shared("published_map", "one2one_mistral2llama_id.json").read_text())
    apart = sum(a != b for a, b in zip(built.ids.tolist(), published, strict=True))
    yield Measurement(
        name=f"of all {len(published):,} entries differ from the published map", value=apart,
        unit="", target=0, limit=0,
    )  # fmt: skip


class Quadratic:
    """The published algorithm as it is described, without any shortcut: every pair is compared."""

    def __init__(self, controller: Vocabulary, target: Vocabulary) -> None:
        self.strings = [token or "" for token in controller.tokens]
        self.wanted = target.tokens
        self.specials = {each for ids in target.roles.values() for each in ids}

    def nearest(self, token_id: int) -> int:
        """Return the controller id for one target token, -1 for none."""
        token = self.wanted[token_id]
        is_bracketed = len(token) > 2 and token[0] == "<" and token[-1] == ">"
        if token_id in self.specials or is_bracketed:
            return token_id
        is_space = re.match("^▁*$", token)
        best, nearest = math.inf, -1
        for other_id, other in enumerate(self.strings):
            if other == token:
                return other_id
            is_related = token.startswith(other) or other.startswith(token)
            if is_related and (other != "▁" or is_space):
                distance = edit_distance(token, other)
                if distance < best:
                    best, nearest = distance, other_id
        return nearest


def edit_distance(one: str, other: str) -> int:
    """Return how many characters must be put in, taken out or exchanged."""
    before = list(range(len(other) + 1))
    for row, sign in enumerate(one, 1):
        now = [row]
        for column, against in enumerate(other, 1):
            exchanged = before[column - 1] + (sign != against)
            now.append(min(before[column] + 1, now[-1] + 1, exchanged))
        before = now
    return before[-1]


def _large(controller: Vocabulary, target: Vocabulary) -> Iterator[Measurement]:
    """Yield build, index, save and load of a pair of 32k and 152k tokens."""
    name = f"Llama-2 to Qwen2.5, {controller.size:,} x {target.size:,}"
    seconds, built = _least(lambda: build_map(controller, target), controller, target)
    yield Measurement(
        name=f"{name}: build", value=seconds, unit="s", target=0.5,
        limit=_look_at_every_string(controller, target),
    )  # fmt: skip
    for side, vocabulary in (("Llama-2", controller), ("Qwen2.5", target)):
        seconds, index = _least(lambda vocabulary=vocabulary: PrefixIndex(vocabulary))
        yield Measurement(name=f"index for cover of {side}", value=seconds, unit="s", target=1.0)
        arrays = index.order.nbytes + 8 * len(index.spelled)
        yield Measurement(
            name=f"its peak memory ({len(index.order):,} tokens)",
            value=_peak(lambda vocabulary=vocabulary: PrefixIndex(vocabulary)), unit="MB",
            target=100, limit=arrays / 1e6,
        )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "map.safetensors"
        seconds, _ = _least(lambda: built.save(path))
        yield Measurement(name=f"{name}: save", value=1e3 * seconds, unit="ms")
        seconds, _ = _least(lambda: VocabMap.load(path))
        limit, _ = _least(path.read_bytes)
        yield Measurement(
            name=f"{name}: load and verify", value=1e3 * seconds, unit="ms", target=5,
            limit=1e3 * limit,
        )  # fmt: skip


def _pair(name: str, controller: Vocabulary, target: Vocabulary) -> Measurement:
    """Return what one pair takes and what it is worth, on the English sample."""
    seconds, built = _least(lambda: build_map(controller, target), controller, target, times=1)
    peak = _peak(lambda: build_map(controller, target), controller, target)
    with tempfile.TemporaryDirectory() as folder:
        built.save(path := Path(folder) / "map.safetensors")
        is_back = diff_maps(built, VocabMap.load(path)).same
    graded = {}
    for vocab_map in (built, composition(controller, target)):
        score = cover_text(vocab_map, controller, target, sample_texts()[0].text).score
        graded[vocab_map.transfer] = f"{vocab_map.transfer} {grade(score)} {score:.2f}"
    told = "saved, loaded, compared: equal" if is_back else "NOT equal after save and load"
    return Measurement(
        name=name, value=seconds, unit="s", limit=_look_at_every_string(controller, target),
        note=f"peak {peak:.0f} MB; {', '.join(graded.values())}; {told}",
    )  # fmt: skip


def _least(
    work: Callable[[], Any], *vocabularies: Vocabulary, times: int = TIMES
) -> tuple[float, Any]:
    """Return the least processor seconds of a work, and its result; vocabularies forget."""
    seconds = []
    for _ in range(times):
        _forget(vocabularies)
        started = time.process_time()
        result = work()
        seconds.append(time.process_time() - started)
    return min(seconds), result


def _forget(vocabularies: Iterable[Vocabulary]) -> None:
    for vocabulary in vocabularies:
        for name in REMEMBERED:
            vars(vocabulary).pop(name, None)


def _look_at_every_string(controller: Vocabulary, target: Vocabulary) -> float:
    def look() -> list[int | None]:
        id_of = {token: each for each, token in enumerate(controller.tokens)}
        return [id_of.get(token) for token in target.tokens]

    return _least(look)[0]


def _peak(work: Callable[[], Any], *vocabularies: Vocabulary) -> float:
    """Return the most memory that a work takes at a time on top of what is there, in MB."""
    _forget(vocabularies)
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak / 1e6
