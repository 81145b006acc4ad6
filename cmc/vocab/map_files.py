"""Vocab maps as files: CSV and JSON for others to read, and the published JSON to read in."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cmc.errors import DataError
from cmc.vocab.entries import relation
from cmc.vocab.pm_mined import build_map
from cmc.vocab.visible import token_names
from cmc.vocab.vocab_map import FORMAT, Kind, VocabMap
from cmc.vocab.vocabulary import Vocabulary

COLUMNS = ("id", "token", "kind", "controller_id", "controller_token")
LARGEST_FILE = 64_000_000  # bytes
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


def write_map(path: Path, vocab_map: VocabMap, controller: Vocabulary, target: Vocabulary) -> None:
    """Write a map in the format that the file's ending names: `.csv`, `.json`, or safetensors."""
    write = {".csv": write_csv, ".json": write_json}.get(path.suffix.lower())
    if write is None:
        vocab_map.save(path)
    else:
        write(path, vocab_map, controller, target)


def write_csv(path: Path, vocab_map: VocabMap, controller: Vocabulary, target: Vocabulary) -> None:
    """Write a row per target token; a spreadsheet takes no token for a formula."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for token_id, token, kind, other, mapped in _rows(vocab_map, controller, target):
            writer.writerow((token_id, _no_formula(token), kind, other, _no_formula(mapped)))


def write_json(path: Path, vocab_map: VocabMap, controller: Vocabulary, target: Vocabulary) -> None:
    """Write what the map was built for, and an object per target token."""
    about = {
        "format": FORMAT, "transfer": vocab_map.transfer, "parity": vocab_map.parity,
        "controller_fingerprint": vocab_map.controller_fingerprint,
        "target_fingerprint": vocab_map.target_fingerprint,
    }  # fmt: skip
    entries = [dict(zip(COLUMNS, row, strict=True)) for row in _rows(vocab_map, controller, target)]
    path.write_text(json.dumps({**about, "entries": entries}, ensure_ascii=False), "utf-8")


def read_map(path: Path, controller: Vocabulary, target: Vocabulary) -> VocabMap:
    """Read a map of this pair: safetensors, JSON of `write_json`, or JSON as published.

    The published format is a list with a controller id for every target id (-1 or null for
    none), or an object with a controller token for every target token.

    Raises:
        DataError: it is none of these, or an id or token in it is unknown.
        VocabMismatch: it was built for other vocabularies.
    """
    if path.suffix == ".safetensors":
        vocab_map = VocabMap.load(path)
        vocab_map.check_pair(controller.fingerprint, target.fingerprint)
        return vocab_map
    content = _json(path)
    if isinstance(content, dict) and content.get("format") == FORMAT:
        return _from_entries(content, path, controller, target)
    if isinstance(content, dict):
        content = _ids_of_tokens(content, path, controller, target)
    return _from_ids(content, path, controller, target)


def _rows(
    vocab_map: VocabMap, controller: Vocabulary, target: Vocabulary
) -> Iterator[tuple[int, str, str, int, str]]:
    mine, theirs = token_names(controller), token_names(target)
    named = {int(kind): kind.word for kind in Kind}
    entries = zip(theirs, vocab_map.kinds.tolist(), vocab_map.ids.tolist(), strict=True)
    for token_id, (token, kind, other) in enumerate(entries):
        yield token_id, token, named[kind], other, mine[other] if other >= 0 else ""


def _no_formula(cell: str) -> str:
    return f"'{cell}" if cell.startswith(FORMULA_SIGNS) else cell


def _json(path: Path) -> Any:
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ValueError(f"it is larger than {LARGEST_FILE // 1_000_000} MB")
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{path.name} cannot be read as JSON ({error})",
            hint="Give a map exported here, or the published one2one JSON.",
        ) from error


def _from_entries(
    content: dict[str, Any], path: Path, controller: Vocabulary, target: Vocabulary
) -> VocabMap:
    try:
        ids = [int(each["controller_id"]) for each in content["entries"]]
        kinds = [Kind[each["kind"].upper()] for each in content["entries"]]
        prints = content["controller_fingerprint"], content["target_fingerprint"]
        transfer, parity = content["transfer"], bool(content["parity"])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise _broken(path, f"an entry lacks {error}") from error
    _check_ids(ids, path, controller, target)
    whole = VocabMap(np.asarray(ids, np.int32), np.asarray(kinds, np.int8), transfer, parity,
                     *prints, controller.size)  # fmt: skip
    try:
        whole.check()
    except ValueError as error:
        raise _broken(path, str(error)) from error
    whole.check_pair(controller.fingerprint, target.fingerprint)
    return whole


def _ids_of_tokens(
    content: dict[str, Any], path: Path, controller: Vocabulary, target: Vocabulary
) -> list[int]:
    """Return ids for names; a name the controller lacks, as one published is, stands for none."""
    by_string = {token: each for each, token in enumerate(controller.tokens) if token is not None}
    missing = [token for token in target.tokens if token is not None and token not in content]
    if missing:
        raise _broken(path, f"it lacks the target's token {missing[0][:40]!r}")
    named = (content.get(token) for token in target.tokens)
    return [by_string.get(other, -1) if isinstance(other, str) else -1 for other in named]


def _check_ids(ids: list[Any], path: Path, controller: Vocabulary, target: Vocabulary) -> None:
    if len(ids) != target.size:
        raise _broken(path, f"{len(ids):,} entries, the target has {target.size:,} tokens")
    for token_id, other in enumerate(ids):
        if type(other) is not int or not -1 <= other < controller.size:
            raise _broken(path, f"token {token_id} is mapped to {str(other)[:40]}")


def _from_ids(content: Any, path: Path, controller: Vocabulary, target: Vocabulary) -> VocabMap:
    if not isinstance(content, list):
        raise _broken(path, f"no list, the target has {target.size:,} tokens")
    ids = [-1 if each is None else each for each in content]
    _check_ids(ids, path, controller, target)
    parity = build_map(controller, target, parity=True)
    if np.array_equal(parity.ids, ids):
        return parity
    return VocabMap(
        ids=np.asarray(ids, dtype=np.int32),
        kinds=np.asarray([relation(controller, target, *each) for each in enumerate(ids)], np.int8),
        transfer="pm-mined", parity=False, controller_fingerprint=controller.fingerprint,
        target_fingerprint=target.fingerprint, controller_size=controller.size,
    )  # fmt: skip


def _broken(path: Path, what: str) -> DataError:
    return DataError(
        f"{path.name} is no map of this pair ({what})",
        hint="Choose the controller and the target that the map was made for.",
    )
