"""What control changes in TOFU's figures: differences to the base, question by question."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from cmc.evaluation.scores import bootstrap_interval
from cmc.evaluation.tofu.formulas import model_utility
from cmc.evaluation.tofu.items import TofuLog
from cmc.evaluation.tofu.report import PARTS, UTILITY_SPLITS, split_values

Values = Mapping[str, Mapping[str, np.ndarray]]


def differences(log: TofuLog, base: TofuLog) -> dict[str, Any]:
    """Return controlled minus base of all sub-metrics and of model utility.

    Both logs hold the same questions, which are drawn anew together: the intervals are of the
    paired difference, much narrower than those of the two figures.

    Returns:
        `model_utility` (None where a sub-metric is missing) and per split each of the
        sub-metrics, with `value`, `low`, `high` and `n`.
    """
    mine, theirs = ({split: split_values(each, split) for split in each.splits}
                    for each in (log, base))  # fmt: skip
    splits = {
        split: {part: _difference(mine[split][part], theirs[split][part]) for part in PARTS}
        for split in mine
    }
    return {"model_utility": _utility(mine, theirs), "splits": splits}


def _difference(mine: np.ndarray, theirs: np.ndarray) -> dict[str, Any] | None:
    if not len(mine) or len(mine) != len(theirs):
        return None
    found = bootstrap_interval([np.column_stack([mine, theirs])], _mean_difference)
    return asdict(found)


def _mean_difference(both: np.ndarray) -> float:
    mine, theirs = both.mean(0)
    return float(mine - theirs)


def _utility(mine: Values, theirs: Values) -> dict[str, Any] | None:
    samples = []
    for split in UTILITY_SPLITS:
        columns = [side[split][part] for side in (mine, theirs) for part in PARTS if split in side]
        if len(columns) < 2 * len(PARTS) or len({len(each) for each in columns}) != 1:
            return None
        samples.append(np.column_stack(columns))
    if not all(map(len, samples)):
        return None
    return asdict(bootstrap_interval(samples, _utility_difference))


def _utility_difference(*splits: np.ndarray) -> float:
    means = np.stack([each.mean(0) for each in splits])
    return model_utility(means[:, :3].ravel()) - model_utility(means[:, 3:].ravel())
