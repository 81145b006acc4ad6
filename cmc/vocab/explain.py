"""Why a target token is mapped as it is: its candidates, the rule that chose, what `cover` sums."""

from collections.abc import Iterator
from dataclasses import dataclass

from cmc.vocab.pm_mined import may_stand_for, role_ids
from cmc.vocab.prefix_index import PrefixIndex
from cmc.vocab.vocab_map import Kind
from cmc.vocab.vocabulary import Vocabulary

SHOWN = 20  # candidates, and tokens that reach beyond, that are listed


@dataclass(frozen=True)
class Candidate:
    """A controller token that is prefix-related to a target token.

    Attributes:
        token_id: in the controller's vocabulary.
        spelled: its bytes.
        kind: exact, prefix or extension.
        distance: edit distance in bytes, which here is the difference of the lengths.
        barred: why it may not be chosen, "" where it may.
    """

    token_id: int
    spelled: bytes
    kind: Kind
    distance: int
    barred: str = ""


@dataclass(frozen=True)
class Explanation:
    """All that is known of one target token.

    Attributes:
        token_id: of the target.
        token: its string in the tokenizer; None where the id has none.
        spelled: its canonical bytes; None for roles and unused ids.
        role: what a special token does, or "".
        duplicates: other target ids that spell the same.
        chosen: the controller id that `pm-mined` takes, -1 for none.
        kind: of that entry.
        candidates: nearest first, at most 20 and the chosen one among them.
        candidate_count: how many there are in all.
        reason: which rule chose, in a sentence.
        covering: the controller's own tokens of the bytes, as `(id, bytes)`.
        covers: whether they spell all of it.
        beyond: per place in the covering, `(bytes still to be said, how many controller tokens
            begin with them and so may say them, the first few of these as (id, bytes))`; `cover`
            sums the probabilities of all of them.
    """

    token_id: int
    token: str | None
    spelled: bytes | None
    role: str
    duplicates: tuple[int, ...]
    chosen: int
    kind: Kind
    candidates: tuple[Candidate, ...]
    candidate_count: int
    reason: str
    covering: tuple[tuple[int, bytes], ...]
    covers: bool
    beyond: tuple[tuple[bytes, int, tuple[tuple[int, bytes], ...]], ...]


def explain_token(
    controller: Vocabulary, target: Vocabulary, index: PrefixIndex, token_id: int
) -> Explanation:
    """Explain one target token by the default rules on canonical bytes.

    Args:
        controller: the vocabulary the shift is written in.
        target: the vocabulary it is carried into.
        index: of the controller; make it once per controller.
        token_id: of the target, 0 to target.size - 1.
    """
    spelled = target.token_bytes[token_id]
    played = [name for name, ids in target.roles.items() if token_id in ids]
    # One id may begin, end and pad; what it says is the end.
    role = "eos" if "eos" in played else next(iter(played), "")
    if not spelled:
        return _without_bytes(controller, target, token_id, role)
    found = sorted(
        _candidates(controller, index, spelled),
        key=lambda each: (bool(each.barred), each.distance, each.token_id),
    )
    best = found[0] if found and not found[0].barred else None
    own = controller.encode_continuation(spelled)
    covering = tuple((each, controller.token_bytes[each] or b"") for each in own)
    return Explanation(
        token_id=token_id,
        token=target.tokens[token_id],
        spelled=spelled,
        role=role,
        duplicates=_duplicates(target, token_id),
        chosen=best.token_id if best else -1,
        kind=best.kind if best else Kind.NONE,
        candidates=tuple(found[:SHOWN]),
        candidate_count=len(found),
        reason=_reason(found),
        covering=covering,
        covers=controller.spell(own) == spelled,
        beyond=tuple(_beyond(index, spelled, covering)),
    )


def _candidates(controller: Vocabulary, index: PrefixIndex, spelled: bytes) -> Iterator[Candidate]:
    """Yield every controller token that is equal, a prefix, or an extension; one per spelling."""
    for length in range(1, len(spelled) + 1):
        prefix = spelled[:length]
        if (found := controller.id_of_bytes.get(prefix)) is None:
            continue
        distance = len(spelled) - length
        kind = Kind.PREFIX if distance else Kind.EXACT
        barred = "" if may_stand_for(prefix, spelled) else "a bare space begins nearly every word"
        yield Candidate(found, prefix, kind, distance, barred)
    start, end = index.interval(spelled)
    for place in range(start, end):
        longer, token_id = index.spelled[place], int(index.order[place])
        if longer != spelled and controller.id_of_bytes[longer] == token_id:
            yield Candidate(token_id, longer, Kind.EXTENSION, len(longer) - len(spelled))


def _reason(found: list[Candidate]) -> str:
    """Say which rule chose the first candidate."""
    allowed = [each for each in found if not each.barred]
    if not allowed:
        if found:
            return "Only the bare space is prefix-related, and it may not stand for a word."
        return "No controller token is a prefix of it or begins with it."
    best, *others = allowed
    if best.kind is Kind.EXACT:
        return "A controller token spells the same bytes."
    near = f"the difference of the lengths, {best.distance}"
    rivals = [each for each in others if each.distance == best.distance]
    if rivals:
        return f"{len(rivals) + 1} tokens are equally near ({near}); the lowest id wins."
    if not others:
        return f"It is the only prefix-related token ({near})."
    kind = "longest prefix" if best.kind is Kind.PREFIX else "shortest extension"
    return f"It is nearest: the {kind} ({near})."


def _beyond(
    index: PrefixIndex, spelled: bytes, covering: tuple[tuple[int, bytes], ...]
) -> Iterator[tuple[bytes, int, tuple[tuple[int, bytes], ...]]]:
    """Yield, for every place where the covering can be left, the tokens that reach to the end."""
    done = 0
    for step in ((-1, b""), *covering):
        done += len(step[1])
        if done >= len(spelled):
            return
        rest = spelled[done:]
        start, end = index.interval(rest)
        first = range(start, min(end, start + SHOWN))
        shown = tuple((int(index.order[place]), index.spelled[place]) for place in first)
        yield rest, end - start, shown


def _duplicates(target: Vocabulary, token_id: int) -> tuple[int, ...]:
    spelled = target.token_bytes[token_id]
    same = (each for each, data in enumerate(target.token_bytes) if data == spelled)
    return tuple(each for each in same if each != token_id)


def _without_bytes(
    controller: Vocabulary, target: Vocabulary, token_id: int, role: str
) -> Explanation:
    chosen = role_ids(controller, target).get(token_id, -1)
    if not role:
        reason = "This id is not used."
    elif chosen >= 0:
        reason = f"A special token with the role {role}: it means the controller's {role}."
    else:
        reason = f"A special token with the role {role}, for which the controller has none."
    return Explanation(
        token_id=token_id, token=target.tokens[token_id], spelled=None, role=role, duplicates=(),
        chosen=chosen, kind=Kind.ROLE if chosen >= 0 else Kind.NONE, candidates=(),
        candidate_count=0, reason=reason, covering=(), covers=False, beyond=(),
    )  # fmt: skip
