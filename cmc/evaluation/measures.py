"""What a report of any kind measured: one figure each, with interval, n and base."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FORGETTING = {
    "forget": "recall of what to forget",
    "retain": "recall of what to keep",
    "other": "recall of other facts",
}
UNCLEAR, WORSE, BETTER = "no clear change", "worse", "better"


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One figure.

    Attributes:
        name: what was measured, such as `exact match`; no unit unless it says one.
        low, high: its 95 % interval; None where there is none.
        base: what the target alone reaches; None where that was not measured.
        paired: the 95 % interval of the difference, where it was measured question by question.
    """

    name: str
    value: float
    low: float | None = None
    high: float | None = None
    n: int | None = None
    base: float | None = None
    target: str = ""
    controller: str = ""
    transfer: str = ""
    strength: float | None = None
    lower_is_better: bool = False
    paired: tuple[float, float] | None = None

    @property
    def is_clear(self) -> bool:
        """Whether the difference to the base is more than chance may make.

        What has no interval, or no base, is never clear.
        """
        if self.paired is not None:
            return not self.paired[0] <= 0 <= self.paired[1]
        if None in (self.base, self.low, self.high):
            return False
        return not self.low <= self.base <= self.high

    @property
    def difference(self) -> float | None:
        """What control adds to the base, with its sign."""
        return None if self.base is None else self.value - self.base

    @property
    def gain(self) -> float:
        """The same with the sign turned where less is better; 0 where there is no base."""
        return (self.difference or 0.0) * (-1 if self.lower_is_better else 1)


@dataclass(frozen=True)
class Change:
    """One figure of two reports."""

    before: Measure
    after: Measure

    @property
    def verdict(self) -> str:
        """Whether it is worse or better: only where the two intervals do not touch."""
        one, other = self.before, self.after
        if None in (one.low, one.high, other.low, other.high):
            return UNCLEAR
        if other.low > one.high:
            return WORSE if other.lower_is_better else BETTER
        if other.high < one.low:
            return BETTER if other.lower_is_better else WORSE
        return UNCLEAR


def measures_of(report: Mapping[str, Any]) -> list[Measure]:
    """Return every figure of a report, in the order in which the report has them."""
    read: dict[str, Callable[[Mapping[str, Any]], Iterator[Measure]]] = {
        "transfer": _transfer, "sweep": _sweep, "check": _check, "suite": _suite,
        "tofu": _tofu, "alpaca": _alpaca, "forgetting": _forgetting,
    }  # fmt: skip
    found = read.get(str(report.get("kind")))
    return list(found(report)) if found else []


def changes(before: Sequence[Measure], after: Sequence[Measure]) -> list[Change]:
    """Pair the figures of two reports: the same name, target, transfer and strength.

    The controller may be another version: where one of its name is missing in the earlier report,
    the only one measured there in the same way stands for it.
    """
    found = []
    for each in after:
        same = [other for other in before if _how(other) == _how(each)]
        exact = [other for other in same if other.controller == each.controller]
        if exact or len(same) == 1:
            found.append(Change((exact or same)[0], each))
    return found


def _how(measure: Measure) -> tuple[Any, ...]:
    return measure.name, measure.target, measure.transfer, measure.strength


def _transfer(report: Mapping[str, Any]) -> Iterator[Measure]:
    template = report.get("template") or {}
    rows = [{"target": template.get("name"), "transfer": "same"} | template] if template else []
    asked = (report.get("provenance") or {}).get("request") or {}
    for row in [*rows, *(report.get("rows") or [])]:
        yield Measure(
            name="exact match", value=row["exact_match"], base=row.get("base"),
            controller=str(asked.get("controller", "")), **_about(row), **_interval(row),
        )  # fmt: skip


def _sweep(report: Mapping[str, Any]) -> Iterator[Measure]:
    is_forget = report.get("metric") == "forget"
    name = "recall of the rest" if is_forget else str(report.get("metric", "")).replace("_", " ")
    rows = report.get("rows") or []
    for row in rows:
        about = _about(row)
        yield Measure(
            name=name, value=row["score"], base=row.get("base"), **about, **_interval(row)
        )
        if row.get("forget"):
            told = row["forget"]
            base = told["score"] - row["forget_difference"]
            yield Measure(
                name="recall of what to forget", value=told["score"], base=base,
                lower_is_better=True, **about, **_interval(told),
            )  # fmt: skip


def _check(report: Mapping[str, Any]) -> Iterator[Measure]:
    about = {name: report[name] for name in ("controller", "strength")}
    for model, part in ((report["target"], "target_scores"), ("template", "template_scores")):
        told = report[part]
        yield Measure(
            name="probability of the expected answer", value=told["expected"],
            base=told["expected_alone"], target=model, **about,
            **_interval({"n": told["n"]} | (told.get("expected_interval") or {})),
        )  # fmt: skip
        yield Measure(
            name="likelihood, nats per byte", value=told["gain"], base=0.0, target=model, **about,
            **_interval({"n": told["n"]} | (told.get("gain_interval") or {})),
        )  # fmt: skip
    shift = report["shift_similarity"]
    about |= {"target": report["target"]}
    interval = _interval(report.get("shift_interval") or {})
    yield Measure(name="shift similarity", value=shift, **about, **interval)
    if report.get("carried") is not None:
        interval = _interval(report.get("carried_interval") or {})
        yield Measure(name="share of the effect", value=report["carried"], **about, **interval)


def _suite(report: Mapping[str, Any]) -> Iterator[Measure]:
    for column in report.get("columns") or []:
        n = column["passed"] + column["failed"]
        yield Measure(name="tests passed", value=column["passed"] / n, n=n, **_about(column))


def _tofu(report: Mapping[str, Any]) -> Iterator[Measure]:
    about = {"target": str(report.get("target", "")), "controller": _desk(report)}
    base, paired = report.get("base") or {}, report.get("differences") or {}
    utility = report.get("model_utility_of_present")
    if utility is not None:
        interval = _interval(report.get("model_utility_interval") or {})
        yield Measure(
            name="model utility", value=utility, base=base.get("model_utility_of_present"),
            paired=_ends(paired.get("model_utility")), **about, **interval,
        )  # fmt: skip
    if report.get("forget_quality") is not None:
        yield Measure(
            name="forget quality", value=report["forget_quality"], n=report.get("n_forget"),
            base=base.get("forget_quality"), **about,
        )  # fmt: skip
    for split, told in (report.get("splits") or {}).items():
        alone = (base.get("splits") or {}).get(split) or {}
        change = (paired.get("splits") or {}).get(split) or {}
        for part in ("rouge", "probability", "truth_ratio"):
            if told.get(part) is not None:
                yield Measure(
                    name=f"{split.replace('_', ' ')}: {part.replace('_', ' ')}", value=told[part],
                    base=alone.get(part), paired=_ends(change.get(part)),
                    lower_is_better=split == "forget" and part != "truth_ratio",
                    **about, **_interval((told.get("intervals") or {}).get(part) or {}),
                )  # fmt: skip


def _forgetting(report: Mapping[str, Any]) -> Iterator[Measure]:
    for row in report.get("rows") or []:
        about = _about(row) | {"controller": row["method"]}
        for part, name in FORGETTING.items():
            told = row[part]
            yield Measure(
                name=name, value=told["score"], base=told["base"],
                lower_is_better=part == "forget", **about, **_interval(told),
            )  # fmt: skip


def _alpaca(report: Mapping[str, Any]) -> Iterator[Measure]:
    about = {"target": str(report.get("target", "")), "controller": _desk(report)}
    if report.get("win_rate") is not None:
        rate = {"low": report.get("low"), "high": report.get("high"), "n": report.get("n_total")}
        yield Measure(name="win rate, %", value=report["win_rate"], base=50.0, **about, **rate)
    if report.get("length_controlled_win_rate") is not None:
        value = report["length_controlled_win_rate"]
        yield Measure(name="length-controlled win rate, %", value=value, base=50.0, **about)
    if report.get("avg_length") is not None:
        interval = _interval(report.get("avg_length_interval") or {})
        yield Measure(name="length, characters", value=report["avg_length"], **about, **interval)


def _desk(report: Mapping[str, Any]) -> str:
    told = report.get("controllers") or {}
    return " + ".join(f"{name} at {strength:g}" for name, strength in told.items())


def _about(row: Mapping[str, Any]) -> dict[str, Any]:
    about = {name: str(row.get(name) or "") for name in ("target", "controller", "transfer")}
    about = {name: value for name, value in about.items() if name != "controller" or value}
    return about | {"strength": row.get("strength")}


def _ends(told: Mapping[str, Any] | None) -> tuple[float, float] | None:
    return (told["low"], told["high"]) if told else None


def _interval(told: Mapping[str, Any]) -> dict[str, Any]:
    return {name: told.get(name) for name in ("low", "high", "n")}
