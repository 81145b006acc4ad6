"""Read TOFU logs of locuslab: one file per split, or all of them in one."""

import math
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from cmc.errors import DataError
from cmc.evaluation.tofu.items import KNOWN_LOGS, LOCUSLAB, Item, TofuLog, number, numbers, text


def locuslab_log(found: Mapping[str, Any], name: str) -> TofuLog:
    """Return the log of one or several files of a split each, by the names of the files.

    Raises:
        DataError: a file lacks a part, or none is of a split that is known.
    """
    splits = {}
    for file, log in found.items():
        split = LOCUSLAB.get(PurePath(file).stem)  # some keep the folder in the name
        if split is None or not isinstance(log, dict):
            continue
        for part in ("avg_gt_loss", "average_perturb_loss", "avg_paraphrased_loss"):
            if not isinstance(log.get(part), dict):
                raise DataError(f'{file} in {name} has no "{part}" per item', hint=KNOWN_LOGS)
        splits[split] = {index: _locuslab_item(log, index) for index in log["avg_gt_loss"]}
    if not splits:
        raise DataError(f"{name} has none of locuslab's logs", hint=KNOWN_LOGS)
    return TofuLog("locuslab", splits)


def _locuslab_item(log: Mapping[str, Any], index: str) -> Item:
    def of(part: str) -> Any:
        values = log.get(part)
        return values.get(index) if isinstance(values, dict) else None

    loss, wrong = number(of("avg_gt_loss")), numbers(of("average_perturb_loss"))
    texts = of("generated_text")
    # Question, generation and expected answer; older logs keep less.
    question, generation, answer = texts if isinstance(texts, list) and len(texts) == 3 else (
        "", None, None
    )  # fmt: skip
    return Item(
        probability=None if loss is None else math.exp(-loss),
        right_loss=number(of("avg_paraphrased_loss")),
        wrong_losses=wrong,
        wrong_probabilities=None if wrong is None else tuple(math.exp(-each) for each in wrong),
        ratio=number(of("truth_ratio")),
        rouge=number(of("rougeL_recall")),
        question=text(question) or "",
        answer=text(answer),
        generation=text(generation),
    )
