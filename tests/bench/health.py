"""Does a map's health tell how much of a controller's effect `pm-mined` brings over?

Over the lab's pairs and degraded copies of them: maps that lost entries, and vocabularies of the
target or of the controller cut to several sizes. Health is the score that `cmc map` prints, on
texts like those that are asked for; the recovered effect is that of `cmc evaluate transfer`.
"""

import copy
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from cmc.controller import Controller, load_controller
from cmc.data import Record, read_records
from cmc.evaluation.answers import ask
from cmc.generation import ControlledModel
from cmc.models import LanguageModel, load_language_model
from cmc.vocab import Kind, VocabMap, Vocabulary, build_map
from cmc.vocab.coverage import cover_text
from tests.bench.row import Measurement

QUESTIONS = 120
LOST = (0.02, 0.05, 0.1, 0.2, 0.4)  # shares of a map's entries that are taken out
KEPT = (400, 350, 300, 200, 0)  # merges that a cut vocabulary keeps


@dataclass(frozen=True)
class _Pair:
    """One pair, or a degraded copy of one."""

    name: str
    controller: Controller
    target: LanguageModel
    lost: float = 0.0

    def vocab_map(self) -> VocabMap:
        """Return the map of the pair without the entries that are taken out."""
        built = build_map(self.controller.vocabulary, self.target.vocabulary)
        spelled = np.flatnonzero(built.kinds != Kind.ROLE).tolist()
        gone = random.Random(0).sample(spelled, round(self.lost * len(spelled)))
        ids, kinds = built.ids.copy(), built.kinds.copy()
        ids[gone], kinds[gone] = -1, Kind.NONE
        return replace(built, ids=ids, kinds=kinds)


def measure() -> Iterator[Measurement]:
    """Yield the recovered effect of every pair beside its health, then their rank correlation."""
    controller, template = load_controller("lab:instruct"), load_language_model("lab:template")
    records = read_records("lab:held_out", limit=QUESTIONS)
    text = "\n".join(each.output for each in records)
    effect = _exact(template, [controller], None, records) - _exact(template, [], None, records)
    found = []
    for pair in _pairs(controller, template):
        built = pair.vocab_map()
        health = cover_text(built, pair.controller.vocabulary, pair.target.vocabulary, text)
        base = _exact(pair.target, [], None, records)
        controlled = _exact(pair.target, [pair.controller], built, records)
        found.append((health.score, (controlled - base) / effect))
        yield Measurement(
            name=f"pm-mined, {pair.name}", value=found[-1][1], unit="of the effect",
            note=f"health {health.score:.3f}",
        )  # fmt: skip
    ranks = pd.DataFrame(found).corr(method="spearman").iloc[0, 1]
    yield Measurement(
        name=f"rank correlation of health and recovered effect, {len(found)} pairs",
        value=float(ranks), unit="", target=0.8, is_lower_better=False,
        note=f"{QUESTIONS} questions each",
    )  # fmt: skip


def _pairs(controller: Controller, template: LanguageModel) -> Iterator[_Pair]:
    targets = {name: load_language_model(f"lab:{name}") for name in ("twin", "byte", "unigram")}
    yield _Pair("template", controller, template)
    for name, target in targets.items():
        yield _Pair(name, controller, target)
    twin = targets["twin"]
    for lost in LOST:
        yield _Pair(f"twin, {100 * lost:.0f} % of the entries lost", controller, twin, lost)
    for kept in KEPT:
        cut = replace(twin, vocabulary=_cut(twin.vocabulary, kept))
        yield _Pair(f"twin, its vocabulary cut to {kept} merges", controller, cut)
    for kept in KEPT:
        mine = copy.copy(controller)
        mine.vocabulary = _cut(controller.vocabulary, kept)
        yield _Pair(f"twin, the controller's cut to {kept} merges", mine, twin)


def _cut(vocabulary: Vocabulary, merges: int) -> Vocabulary:
    """Return a BPE vocabulary that can only spell with its first merges; ids stay."""
    told = json.loads(vocabulary.tokenizer.backend_tokenizer.to_str())
    model = told["model"]
    gone = {"".join(each) for each in model["merges"][merges:]}
    model["merges"] = model["merges"][:merges]
    gone -= {"".join(each) for each in model["merges"]}
    model["vocab"] = {token: each for token, each in model["vocab"].items() if token not in gone}
    own = vocabulary.tokenizer
    named = {name: str(token) for name, token in own.special_tokens_map.items()}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(told)), **named
    )
    return Vocabulary(tokenizer, eos_ids=vocabulary.eos_ids)


def _exact(
    target: LanguageModel, controllers: list[Controller], built: VocabMap | None,
    records: list[Record],
) -> float:  # fmt: skip
    """Return the share of questions answered exactly; a built map takes the place of the own."""
    how = {"transfer": "pm-mined", "maps": (built,)} if controllers else {}
    model = ControlledModel(target, controllers, **how)
    answers = ask(model, records, (1.0,) * len(controllers), 60, "qa")
    return float(np.mean([each.is_exact for each in answers]))
