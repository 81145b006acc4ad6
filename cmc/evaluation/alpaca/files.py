"""AlpacaEval's files: a model's outputs, and the annotations of a judge."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cmc.data import read_json
from cmc.errors import DataError
from cmc.evaluation.preferences import checked_preference, swapped

_OUTPUTS = 'Every record needs "instruction" and "output", as in a model_outputs.json.'
_ANNOTATIONS = 'Every record needs "instruction", "output_1", "output_2" and "preference".'


def read_annotations(place: str | Path, model: str = "") -> list[dict[str, Any]]:
    """Read annotations, with the reference as output 1 and the model as output 2 in all of them.

    Args:
        place: a file of the published format.
        model: whose win rate is wanted; records that have it as output 1 are turned round. By
            default output 2 of all records.

    Raises:
        DataError: a record is not as it must be, or output 2 is not always the same model.
    """
    name = Path(place).name
    records = [
        _annotation(each, f"record {number} of {name}")
        for number, each in enumerate(_list(place, _ANNOTATIONS), start=1)
    ]
    if model:
        return [_turned(each, model, name) for each in records]
    models = sorted({str(each.get("generator_2", "")) for each in records})
    if len(models) > 1:
        raise DataError(
            f"output 2 in {name} is not one model but {', '.join(models[:4])}",
            hint=f"Say whose win rate is wanted, as in --model {models[0]}.",
        )
    return records


def _annotation(record: Any, where: str) -> dict[str, Any]:
    fields = ("instruction", "output_1", "output_2", "preference")
    _check_fields(record, fields, where, _ANNOTATIONS)
    try:
        return {**record, "preference": checked_preference(record["preference"])}
    except ValueError:
        raise DataError(
            f'the preference in {where} is "{record["preference"]}"',
            hint="It goes from 1, the first output is better, to 2, the second is; 1.5 is a draw.",
        ) from None


def _turned(record: dict[str, Any], model: str, name: str) -> dict[str, Any]:
    if record.get("generator_2") == model:
        return record
    if record.get("generator_1") != model:
        raise DataError(
            f"{name} has a record that compares {record.get('generator_1')} with "
            f"{record.get('generator_2')}, not {model}",
            hint="Name a model that all records have.",
        )
    one, two = ({k: record.get(f"{k}_{i}") for k in ("output", "generator")} for i in (1, 2))
    sides = {f"{k}_1": two[k] for k in two} | {f"{k}_2": one[k] for k in one}
    return {**record, **sides, "preference": swapped(record["preference"])}


def read_outputs(place: str | Path, *, limit: int = 0) -> list[dict[str, Any]]:
    """Read a model's outputs.

    Raises:
        DataError: a record is not as it must be.
    """
    records = _list(place, _OUTPUTS)
    records = records[:limit] if limit else records
    for number, each in enumerate(records, start=1):
        where = f"record {number} of {Path(place).name}"
        _check_fields(each, ("instruction", "output"), where, _OUTPUTS)
    return records


def write_list(place: str | Path, records: Sequence[dict[str, Any]]) -> None:
    """Write outputs or annotations as published: one JSON list."""
    text = json.dumps(list(records), ensure_ascii=False, indent=2)
    Path(place).write_text(text + "\n", "utf-8")


def _list(place: str | Path, hint: str) -> list[Any]:
    found = read_json(place)
    if not isinstance(found, list) or not found:
        what = "holds no records" if found == [] else "is no list of records"
        raise DataError(f"{Path(place).name} {what}", hint=hint)
    return found


def _check_fields(record: Any, fields: Sequence[str], where: str, hint: str) -> None:
    if not isinstance(record, dict):
        raise DataError(f"{where} is no record", hint=hint)
    missing = [each for each in fields if each not in record]
    if missing:
        raise DataError(f'{where} has no "{missing[0]}"', hint=hint)
    for each in fields:
        if each != "preference" and not isinstance(record[each], str):
            raise DataError(f'"{each}" in {where} is not text', hint=hint)
