"""TOFU logs per item: read those of open-unlearning and of locuslab."""

from pathlib import Path
from typing import Any

from cmc.data import read_json
from cmc.errors import DataError
from cmc.evaluation.tofu.formulas import EPSILON
from cmc.evaluation.tofu.items import KNOWN_LOGS, LOCUSLAB, STATED, TofuLog
from cmc.evaluation.tofu.locuslab import locuslab_log
from cmc.evaluation.tofu.open_unlearning import open_unlearning_log


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
        return locuslab_log({path.name: found}, path.name)
    return _recognised(found, path.name)


def _read_folder(folder: Path) -> TofuLog:
    for name in ("TOFU_EVAL.json", "eval_log_aggregated.json"):
        if (folder / name).is_file():
            return _recognised(_read_object(folder / name), name)
    parts = [folder / f"{stem}.json" for stem in LOCUSLAB]
    found = {path.name: _read_object(path) for path in parts if path.is_file()}
    if found:
        return locuslab_log(found, folder.name)
    if (folder / "TOFU_SUMMARY.json").is_file():
        return _recognised(_read_object(folder / "TOFU_SUMMARY.json"), "TOFU_SUMMARY.json")
    raise DataError(f"{folder} holds no TOFU log", hint=KNOWN_LOGS)


def _read_object(path: Path) -> dict[str, Any]:
    found = read_json(path)
    if not isinstance(found, dict):
        raise DataError(f"{path.name} is no TOFU log but a list or a value", hint=KNOWN_LOGS)
    return found


def _recognised(found: dict[str, Any], name: str) -> TofuLog:
    if any(isinstance(each, dict) and "avg_gt_loss" in each for each in found.values()):
        return locuslab_log(found, name)
    if any(isinstance(each, dict) and "agg_value" in each for each in found.values()):
        return open_unlearning_log(found, name)
    if found and all(isinstance(each, int | float) for each in found.values()) and (
        {"model_utility", "forget_quality", "forget_Q_A_Prob"} & set(found)
    ):  # fmt: skip
        stated = {each: float(found[each]) for each in STATED if each in found}
        return TofuLog("open-unlearning summary", {}, EPSILON, stated)
    if "avg_gt_loss" in found:
        hint = f"Name it as locuslab does, so that its split is known: {', '.join(LOCUSLAB)}."
        raise DataError(f"{name} is a log of one split, of which one it does not say", hint=hint)
    raise DataError(f"{name} is no TOFU log that is known here", hint=KNOWN_LOGS)
