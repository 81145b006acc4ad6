"""Pure scores of texts: ROUGE-L recall, token F1, distinct-n, length, refusals."""

import math
import re
import string
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)
# A refusal speaks of oneself and of not knowing, or not wanting, in its first sentence.
SENTENCE = re.compile(r"^.*?[.!?\n]|^.*$", re.DOTALL)
ONESELF = re.compile(r"\b(i|me|my|we|us|our)\b", re.IGNORECASE)
DECLINING = re.compile(
    r"n't\b|\b(not|no|cannot|unable|unaware|uncertain|sorry|apologi[sz]e|decline|refuse|regret|"
    r"beyond|lack(s|ing)?|limited|missing|out of|clueless|stumped|blank|blind|mystery|loss|short|"
    r"dark|need to look|have to pass|yet to|uncharted|unknown|disadvantage|outside)\b",
    re.IGNORECASE,
)


def rouge_l_recall(answer: str, reference: str) -> float:
    """Return the share of the reference's words that an answer has in the same order.

    Length of the longest common subsequence of Porter-stemmed words, divided by the number of
    the reference's words: from 0 to 1, no unit. An empty reference gives 0.

    Source:
        Lin, ROUGE (2004), as `rouge_score` computes it with its stemmer, which TOFU uses.

    >>> rouge_l_recall("She writes long poems.", "She wrote a poem.")
    0.5
    """
    return _rouge_scorer().score(reference, answer)["rougeL"].recall


@cache
def _rouge_scorer() -> Any:
    # Its stemmer takes a second to load, which only those wait for who need it.
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], use_stemmer=True)


def plain_words(text: str) -> list[str]:
    """Return lower-case words without punctuation and articles, as SQuAD compares answers."""
    return ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split()


def token_f1(answer: str, reference: str) -> float:
    """Return the harmonic mean of precision and recall of the words two texts share.

    From 0 to 1, no unit; 1 if both have no words.

    Source:
        Rajpurkar et al., SQuAD, EMNLP 2016, on `plain_words`.

    >>> token_f1("She lives in Trelby", "in Trelby.")
    0.6666666666666666
    """
    said, wanted = plain_words(answer), plain_words(reference)
    if not said or not wanted:
        return float(said == wanted)
    shared = sum((Counter(said) & Counter(wanted)).values())
    return 2 * shared / (len(said) + len(wanted))


def distinct_n(texts: Sequence[str], n: int = 2) -> float:
    """Return the share of all texts' n-grams of words that differ from one another.

    From 0 (always the same) to 1 (never the same twice), no unit; 0 without n-grams. It falls
    with the amount of text: compare texts of about the same length.

    Source:
        Li et al., A Diversity-Promoting Objective Function, NAACL 2016.

    >>> distinct_n(["a b a b"], 2)
    0.6666666666666666
    """
    grams = [
        tuple(words[start : start + n])
        for words in (text.split() for text in texts)
        for start in range(len(words) - n + 1)
    ]
    return len(set(grams)) / len(grams) if grams else 0.0


def is_refusal(text: str) -> bool:
    """Say whether a text declines to answer: its first sentence is about oneself and a lack.

    A rule of thumb for answers about others. Of TOFU's hundred refusals it sees more than 95, of
    its 4,000 answers it takes fewer than 1 % for one.

    >>> is_refusal("I'm not certain about that."), is_refusal("She was not born in Taipei.")
    (True, False)
    """
    first = SENTENCE.match(text.strip().replace("’", "'"))[0]
    return bool(ONESELF.search(first) and DECLINING.search(first))


def distinct_interval(texts: Sequence[str], n: int = 2) -> tuple[float, float]:
    """Return the 95 % interval of `distinct_n` by leaving out each text once, 0 to 1.

    Drawing texts anew would repeat some and so lower what is measured; the jackknife does not.

    Source:
        Efron and Stein, The jackknife estimate of variance, Ann. Statist. 9 (1981).
    """
    grams = [
        Counter(tuple(words[start : start + n]) for start in range(len(words) - n + 1))
        for words in (text.split() for text in texts)
    ]
    in_texts = Counter(gram for each in grams for gram in each)
    total, distinct = sum(each.total() for each in grams), len(in_texts)
    rest = [total - each.total() for each in grams]
    if len(texts) < 2 or not all(rest):
        return 0.0, 1.0
    without = [
        (distinct - sum(in_texts[gram] == 1 for gram in each)) / left
        for each, left in zip(grams, rest, strict=True)
    ]
    mean, whole = sum(without) / len(without), distinct / total
    variance = sum((each - mean) ** 2 for each in without) * (len(without) - 1) / len(without)
    half = 1.959963984540054 * math.sqrt(variance)
    return max(0.0, whole - half), min(1.0, whole + half)
