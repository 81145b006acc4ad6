"""TOFU logs per item: read those of open-unlearning and of locuslab."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cmc.data import read_json
from cmc.errors import DataError
from cmc.evaluation.tofu.formulas import EPSILON

SPLITS = ("forget", "retain", "real_authors", "world_facts")
SHORT = {"forget": "forget", "retain": "retain", "real_authors": "ra", "world_facts": "wf"}
LOCUSLAB = {
    "eval_log_forget": "forget", "eval_log": "retain",
    "eval_real_author_wo_options": "real_authors", "eval_real_world_wo_options": "world_facts",
}  # fmt: skip
STATED = ("model_utility", "forget_quality")
_KINDS = (
    "Give open-unlearning's TOFU_EVAL.json or TOFU_SUMMARY.json, or locuslab's "
    "eval_log_aggregated.json, one of its eval_log files or the folder they lie in."
)


@dataclass(frozen=True)
class Item:
    """What a log keeps of one question; None where it keeps nothing.

    Losses are nats per token of the answer, end token included; probabilities are theirs.
    """

    probability: float | None = None
    right_loss: float | None = None  # of the paraphrased answer where there is one
    wrong_losses: tuple[float, ...] | None = None
    wrong_probabilities: tuple[float, ...] | None = None
    ratio: float | None = None  # as the log states it; used where losses are missing
    rouge: float | None = None
    question: str = ""
    answer: str | None = None  # the expected one
    generation: str | None = None


@dataclass(frozen=True)
class TofuLog:
    """One model's results, per split and item.

    Attributes:
        format: `open-unlearning`, `open-unlearning summary` or `locuslab`.
        splits: items by their index in the split.
        epsilon: what this kind of log adds to denominators.
        stated: figures the log itself states.
    """

    format: str
    splits: Mapping[str, Mapping[str, Item]]
    epsilon: float = 0.0
    stated: Mapping[str, float] = field(default_factory=dict)


def read_log(place: str | Path) -> TofuLog:
    """Read a log, whichever of the published kinds it is.

    Raises:
        DataError: it cannot be read or is of no known kind; the hint lists the kinds.
    """
    path = Path(place).expanduser()
    if path.is_dir():
        return _read_folder(path)
    found = _read_object(path)
    if path.stem in LOCUSLAB and "avg_gt_loss" in found:
        return _locuslab({path.name: found}, path.name)
    return _recognised(found, path.name)


def _read_folder(folder: Path) -> TofuLog:
    for name in ("TOFU_EVAL.json", "eval_log_aggregated.json"):
        if (folder / name).is_file():
            return _recognised(_read_object(folder / name), name)
    parts = [folder / f"{stem}.json" for stem in LOCUSLAB]
    found = {path.name: _read_object(path) for path in parts if path.is_file()}
    if found:
        return _locuslab(found, folder.name)
    if (folder / "TOFU_SUMMARY.json").is_file():
        return _recognised(_read_object(folder / "TOFU_SUMMARY.json"), "TOFU_SUMMARY.json")
    raise DataError(f"{folder} holds no TOFU log", hint=_KINDS)


def _read_object(path: Path) -> dict[str, Any]:
    found = read_json(path)
    if not isinstance(found, dict):
        raise DataError(f"{path.name} is no TOFU log but a list or a value", hint=_KINDS)
    return found


def _recognised(found: dict[str, Any], name: str) -> TofuLog:
    if any(isinstance(each, dict) and "avg_gt_loss" in each for each in found.values()):
        return _locuslab(found, name)
    if any(isinstance(each, dict) and "agg_value" in each for each in found.values()):
        return _open_unlearning(found, name)
    if found and all(isinstance(each, int | float) for each in found.values()) and (
        {"model_utility", "forget_quality", "forget_Q_A_Prob"} & set(found)
    ):  # fmt: skip
        stated = {each: float(found[each]) for each in STATED if each in found}
        return TofuLog("open-unlearning summary", {}, EPSILON, stated)
    if "avg_gt_loss" in found:
        hint = f"Name it as locuslab does, so that its split is known: {', '.join(LOCUSLAB)}."
        raise DataError(f"{name} is a log of one split, of which one it does not say", hint=hint)
    raise DataError(f"{name} is no TOFU log that is known here", hint=_KINDS)


def _open_unlearning(found: dict[str, Any], name: str) -> TofuLog:
    splits = {}
    for split, short in SHORT.items():
        right = f"{short}_Q_A_PARA_Prob" if f"{short}_Q_A_PARA_Prob" in found else None
        ratio = "forget_truth_ratio" if split == "forget" else f"{short}_Truth_Ratio"
        parts = {
            "answer": f"{short}_Q_A_Prob", "right": right or f"{short}_Q_A_Prob",
            "wrong": f"{short}_Q_A_PERT_Prob", "rouge": f"{short}_Q_A_ROUGE", "ratio": ratio,
        }  # fmt: skip
        if split in ("forget", "retain") and right is None:
            del parts["right"]  # the answer itself is no paraphrase of it
        values = {
            part: _by_index(found[key], key, name) for part, key in parts.items() if key in found
        }
        indices = dict.fromkeys(index for each in values.values() for index in each)
        if indices:
            splits[split] = {
                index: _unlearning_item({part: each.get(index) for part, each in values.items()})
                for index in indices
            }
    if not splits:
        raise DataError(f"{name} has no values per item", hint=_KINDS)
    stated = {
        key: float(found[key]["agg_value"])
        for key in STATED
        if isinstance(found.get(key), dict) and _number(found[key].get("agg_value")) is not None
    }
    return TofuLog("open-unlearning", splits, EPSILON, stated)


def _by_index(metric: Any, key: str, name: str) -> dict[str, Any]:
    values = metric.get("value_by_index") if isinstance(metric, dict) else None
    if not isinstance(values, dict):
        raise DataError(f"{key} in {name} has no value_by_index", hint=_KINDS)
    return values


def _unlearning_item(parts: Mapping[str, Any]) -> Item:
    answer, right, wrong, rouge, ratio = (
        parts.get(part) or {} for part in ("answer", "right", "wrong", "rouge", "ratio")
    )
    return Item(
        probability=_number(answer.get("prob")),
        right_loss=_number(right.get("avg_loss")),
        wrong_losses=_numbers(wrong.get("avg_loss")),
        wrong_probabilities=_numbers(wrong.get("prob")),
        ratio=_number(ratio.get("score")),
        rouge=_number(rouge.get("rougeL_recall")),
        question=str(rouge.get("input", "")),
        answer=rouge.get("ground_truth"),
        generation=rouge.get("generation"),
    )


def _locuslab(found: dict[str, Any], name: str) -> TofuLog:
    splits = {}
    for file, log in found.items():
        split = LOCUSLAB.get(file.removesuffix(".json"))
        if split is None or not isinstance(log, dict):
            continue
        for part in ("avg_gt_loss", "average_perturb_loss", "avg_paraphrased_loss"):
            if not isinstance(log.get(part), dict):
                raise DataError(f'{file} in {name} has no "{part}" per item', hint=_KINDS)
        splits[split] = {index: _locuslab_item(log, index) for index in log["avg_gt_loss"]}
    if not splits:
        raise DataError(f"{name} has none of locuslab's logs", hint=_KINDS)
    return TofuLog("locuslab", splits)


def _locuslab_item(log: Mapping[str, Any], index: str) -> Item:
    def of(part: str) -> Any:
        values = log.get(part)
        return values.get(index) if isinstance(values, dict) else None

    loss, wrong = _number(of("avg_gt_loss")), _numbers(of("average_perturb_loss"))
    texts = of("generated_text")
    # Question, generation and expected answer; older logs keep less.
    question, generation, answer = texts if isinstance(texts, list) and len(texts) == 3 else (
        "", None, None
    )  # fmt: skip
    return Item(
        probability=None if loss is None else math.exp(-loss),
        right_loss=_number(of("avg_paraphrased_loss")),
        wrong_losses=wrong,
        wrong_probabilities=None if wrong is None else tuple(math.exp(-each) for each in wrong),
        ratio=_number(of("truth_ratio")),
        rouge=_number(of("rougeL_recall")),
        question=question,
        answer=answer,
        generation=generation,
    )


def _number(value: Any) -> float | None:
    """Return a finite number, or None for anything else a log may hold in its place."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None


def _numbers(values: Any) -> tuple[float, ...] | None:
    if _number(values) is not None:
        values = [values]  # one wrong answer only
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        return None
    found = [_number(each) for each in values]
    return None if None in found else tuple(found)
