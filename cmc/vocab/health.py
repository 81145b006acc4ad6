"""How healthy a vocab map is: what it carries, of which languages, and what to expect of it."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from cmc.vocab.coverage import cover_text
from cmc.vocab.losses import find_losses
from cmc.vocab.sample import by_script, sample_texts
from cmc.vocab.vocab_map import Kind, VocabMap
from cmc.vocab.vocabulary import Vocabulary

# Score from which each grade is given; `python -m tests.bench health` shows what it predicts.
GRADES = ((0.95, "A"), (0.8, "B"), (0.65, "C"), (0.0, "D"))
LARGEST = 20  # controller tokens of which the fan-in is told
NAMED = 4  # languages that a sentence names


def composition(controller: Vocabulary, target: Vocabulary) -> VocabMap:
    """Return how the controller's own tokens spell every target token, for `cover`.

    An entry is the first of the controller's tokens; its kind says whether it is all of it
    (exact), one of several (composed), or whether the controller cannot spell the token (none).
    """
    ids = np.full(target.size, -1, dtype=np.int32)
    kinds = np.full(target.size, Kind.NONE, dtype=np.int8)
    for token_id, spelled in enumerate(target.token_bytes):
        if not spelled:
            continue
        same = controller.id_of_bytes.get(spelled)
        own = [same] if same is not None else controller.encode_continuation(spelled)
        if controller.spell(own) == spelled:
            ids[token_id] = own[0]
            kinds[token_id] = Kind.EXACT if same is not None else Kind.COMPOSED
    if controller.eos_ids:
        ends = list(target.eos_ids)
        ids[ends], kinds[ends] = controller.eos_id, Kind.ROLE
    return VocabMap(
        ids=ids, kinds=kinds, transfer="cover", parity=False,
        controller_fingerprint=controller.fingerprint, target_fingerprint=target.fingerprint,
        controller_size=controller.size,
    )  # fmt: skip


def map_summary(
    vocab_map: VocabMap, controller: Vocabulary, target: Vocabulary, text: str = ""
) -> dict[str, Any]:
    """Return the health of a map: by number of tokens, by share of running text, by language.

    Args:
        vocab_map: built for this pair.
        controller: the vocabulary the shift is written in.
        target: the vocabulary it is carried into.
        text: on which mass, score and grade are measured; without one, the English sample.

    Returns:
        `transfer`; `ids`: number of entries by kind; `mass`: share of the text's tokens by kind,
        no unit; `score`: share of the text through which the shift arrives, and `agreement`, see
        `coverage.Coverage`; `path_length`: controller tokens per target token of the text;
        `grade`: A to D; `advice`: what to expect and which transfer to use, in plain sentences;
        `languages`: a row per language of the sample (`language`, `script`, shares by kind,
        `tokens`, `agreement`, `lost`, `score`, `path_length`, `grade`); `scripts`: the same rows
        for the scripts of the given text, empty without one; `fan_in`, `roles`, `unused`, `losses`:
        see `fan_in`, `role_counts`, `unused_ids` and `losses.Losses`. Nothing here says whether
        either model knows a language, only whether their tokens meet in it.
    """
    english, *_ = samples = sample_texts()
    sides = vocab_map, controller, target
    languages = [
        {"language": each.language, "script": each.script,
         **graded(*sides, each.text)}
        for each in samples
    ]  # fmt: skip
    measured = graded(*sides, text or english.text)
    counts = Counter(vocab_map.kinds.tolist())
    # A person's choices are told only where there are some: no map is built with them.
    told = [kind for kind in Kind if kind != Kind.CHOSEN or counts[kind]]
    return {
        "transfer": vocab_map.transfer,
        "ids": {kind.word: counts.get(kind, 0) for kind in told},
        "mass": {kind.word: measured[kind.word] for kind in told},
        **{key: measured[key] for key in ("score", "agreement", "path_length", "grade")},
        "advice": advice(vocab_map.transfer, measured["grade"], languages),
        "languages": languages,
        "scripts": [
            {"script": script, **graded(*sides, part)}
            for script, part in by_script(text).items()
        ],
        "fan_in": fan_in(vocab_map),
        "roles": role_counts(controller, target),
        "unused": {"controller": len(unused_ids(controller)), "target": len(unused_ids(target))},
        "losses": {"controller": find_losses(controller).plain(),
                   "target": find_losses(target).plain()},
    }  # fmt: skip


def grade(score: float) -> str:
    """Return A to D for the share of a text through which the shift arrives."""
    return next(letter for least, letter in GRADES if score >= least)


def fan_in(vocab_map: VocabMap) -> dict[str, Any]:
    """Tell how many target tokens one controller token serves.

    Returns:
        `largest`: the controller tokens that serve most, as `{id, count}`, the most first;
        `histogram`: target tokens per controller token (`1`, `2`, `3-5`, `6-20`, `21-100`,
        `over 100`) to the number of controller tokens; `shared`: share of the mapped target
        tokens that share their controller token, no unit.
    """
    mapped = vocab_map.ids[(vocab_map.ids >= 0) & (vocab_map.kinds != Kind.ROLE)]
    served, counts = np.unique(mapped, return_counts=True)
    order = np.lexsort((served, -counts))[:LARGEST]
    steps = {"1": 1, "2": 2, "3-5": 5, "6-20": 20, "21-100": 100, "over 100": np.inf}
    edges = [0, *steps.values()]
    binned = {
        name: int(((counts > edges[number]) & (counts <= most)).sum())
        for number, (name, most) in enumerate(steps.items())
    }
    shared = int(counts[counts > 1].sum()) / max(1, len(mapped))
    largest = [{"id": int(served[each]), "count": int(counts[each])} for each in order]
    return {"largest": largest, "histogram": binned, "shared": round(shared, 4)}


def role_counts(controller: Vocabulary, target: Vocabulary) -> dict[str, dict[str, int]]:
    """Return, per role, how many ids of each side play it; 0 where the role is missing."""
    return {
        role: {"controller": len(controller.roles[role]), "target": len(ids)}
        for role, ids in target.roles.items()
    }


def unused_ids(vocabulary: Vocabulary) -> list[int]:
    """Return the ids that neither spell anything nor play a role."""
    played = {each for ids in vocabulary.roles.values() for each in ids}
    spelled = vocabulary.token_bytes
    return [each for each, data in enumerate(spelled) if not data and each not in played]


def advice(transfer: str, letter: str, languages: Sequence[dict[str, Any]]) -> str:
    """Say what to expect of a map and which transfer to use."""
    if transfer == "same":
        return "Equal vocabularies: the shift arrives token by token, nothing is lost."
    if transfer == "cover":
        said = {
            "A": "The controller can spell this text: cover carries its shift.",
            "B": "The controller can spell most of this text: cover carries its shift there.",
        }.get(letter, "Much of this text cannot be spelled by the controller: expect little there.")
    else:
        said = {
            "A": "Both sides cut this text alike: expect nearly the whole effect.",
            "B": "Most of this text is cut alike: expect about half of the effect, or use cover.",
            "C": "Much of this text is cut differently: expect less than half of the effect, "
            "use cover.",
            "D": "The two sides cut this text differently: expect next to no effect, use cover.",
        }[letter]
    weak = [each["language"] for each in languages if each["grade"] > max(letter, "B")]
    if not weak:
        return said
    more = f" and {len(weak) - NAMED} more" if len(weak) > NAMED else ""
    return f"{said} Expect less in {', '.join(weak[:NAMED])}{more}."


def graded(
    vocab_map: VocabMap, controller: Vocabulary, target: Vocabulary, text: str
) -> dict[str, Any]:
    """Return what `coverage.Coverage.plain` says of a map on a text, with its `grade`."""
    coverage = cover_text(vocab_map, controller, target, text)
    return coverage.plain() | {"grade": grade(coverage.score)}
