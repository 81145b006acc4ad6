"""Whether a vocabulary's segments are settled once the text goes on: tried, not assumed."""

from weakref import WeakKeyDictionary

from cmc.vocab import Vocabulary

# Numbers, contractions, white space and scripts are where tokenizers look ahead.
PROBE = (
    " It's 1234567 of 98765432109876543210, isn't it?  \n\n\tdef f(x):\n    return x**2  # é\r\n"
    " don't STOP… 日本語テキスト สวัสดี مرحبا 👨‍👩‍👧‍👦 https://example.org/a_b-c?d=1&e=22 "
)
HELD_BACK = (1, 3)  # segments kept open at the end of a text, the fewest that hold
NEVER = 10**9

_found: WeakKeyDictionary[Vocabulary, int] = WeakKeyDictionary()


def held_back(vocabulary: Vocabulary) -> int:
    """Return how many segments at the end of a text may still change as it goes on.

    Found by cutting every beginning of a probe text: whatever lies before the last segments must
    be cut as in the whole. `NEVER` where that cannot be relied on at all.
    """
    if vocabulary not in _found:
        _found[vocabulary] = next((n for n in HELD_BACK if _holds(vocabulary, n)), NEVER)
    return _found[vocabulary]


def still_open(text: str, fewest: int) -> int:
    """Return how many segments at the end of a text are not settled."""
    # White space at the end may still join the next word, and with it the piece before.
    return fewest + text[-1:].isspace()


def _holds(vocabulary: Vocabulary, fewest: int) -> bool:
    whole = vocabulary.segments(PROBE)
    for end in range(1, len(PROBE)):
        segments = vocabulary.segments(PROBE[:end])
        settled = segments[: -still_open(PROBE[:end], fewest)]
        if settled != whole[: len(settled)]:
            return False
    return True
