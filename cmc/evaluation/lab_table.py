"""The starter lab in one table: win rates and forgetting at several strengths, with intervals."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cmc.controller import load_controller
from cmc.data import Record, encode_records, read_records
from cmc.evaluation.alpaca.files import read_outputs, write_list
from cmc.evaluation.alpaca.outputs import answered
from cmc.evaluation.judges import Judge, Pair, chosen_judge
from cmc.evaluation.preferences import summarise
from cmc.evaluation.provenance import weights_hash
from cmc.evaluation.tofu import evaluate_tofu
from cmc.generation import ControlledModel
from cmc.lab.measure import finetune
from cmc.lab.recipes import FINETUNE_RATES, FINETUNE_STEPS
from cmc.models import LanguageModel, load_language_model
from cmc.settings import LabTableRequest, TofuRequest, home, lab_folder, lab_targets

INSTRUCT, FORGET = "lab:instruct", "lab:forget"
QUESTIONS, TRAINING = "lab:held_out", "lab:instruct"
DATA = ("held_out", "instruct", "authors", "forget")
ANSWER_TOKENS = 48  # more than any right answer of the lab has in any of its vocabularies
RATES = ("win_rate", "standard_error", "low", "high", "n_total", "n_missing", "n_wins",
         "n_draws")  # fmt: skip


@dataclass(frozen=True)
class LabProgress:
    """How many of the table's cells are done, and the report when all are."""

    done: int
    total: int
    message: str
    report: dict[str, Any] | None = None


def evaluate_lab(request: LabTableRequest) -> Iterator[LabProgress]:
    """Fill the table, one model and strength after another.

    The win rate compares answers about people no controller has met, by the judge that knows the
    right ones, with the same model's answers without control and with those it gives once all its
    weights are fine-tuned on the controller's training questions. The fine-tuning happens here,
    once per model; its answers are kept.
    """
    names = request.targets or ("lab:template", *lab_targets())
    folder = Path(request.out).expanduser() if request.out else home() / "lab-table"
    records = read_records(QUESTIONS, limit=request.limit)
    judge = chosen_judge(request.judging, records, QUESTIONS)
    total = len(names) * (1 + 2 * len(request.strengths))
    done, rows = 0, []
    for name in names:
        place = _place(folder, name, request)
        tuned = finetuned_outputs(place / "finetuned.json", name, records, request)
        done += 1
        yield LabProgress(done, total, f"{name} fine-tuned")
        model = ControlledModel(load_language_model(name), [load_controller(INSTRUCT)])
        base = _outputs(place / "base.json", model, records, 0.0, request)
        for strength in request.strengths:
            path = place / f"instruct_{strength:g}.json"
            said = _outputs(path, model, records, strength, request) if strength else base
            row = {"target": name, "strength": strength, "transfer": model.transfers[0],
                   "against_base": _win_rate(place, judge, base, said),
                   "against_finetuned": _win_rate(place, judge, tuned, said)}  # fmt: skip
            done += 1
            yield LabProgress(done, total, f"{name} at {strength:g}: answers")
            row["forgetting"] = _forgetting(place / f"forget_{strength:g}.json", row, request)
            rows.append(row)
            done += 1
            yield LabProgress(done, total, f"{name} at {strength:g}: forgetting")
    report = {"kind": "lab", "rows": rows, "judge": judge.name, "controllers": [INSTRUCT, FORGET],
              "lab": _lab_hash(), "request": asdict(request)}  # fmt: skip
    yield LabProgress(total, total, "done", report)


def _place(folder: Path, name: str, request: LabTableRequest) -> Path:
    """Return a folder for the answers of this very model, asked just so."""
    controllers = [weights_hash(each, "controllers") for each in (INSTRUCT, FORGET)]
    data = [(lab_folder() / "data" / f"{each}.jsonl").read_bytes() for each in DATA]
    made = [
        weights_hash(name, "models"), *controllers, request.limit, request.items,
        *(hashlib.sha256(each).hexdigest() for each in data),
    ]  # fmt: skip
    key = hashlib.sha256(json.dumps(made).encode()).hexdigest()[:12]
    place = folder / f"{name.removeprefix('lab:')}-{key}"
    place.mkdir(parents=True, exist_ok=True)
    return place


def _lab_hash() -> str:
    return hashlib.sha256((lab_folder() / "manifest.json").read_bytes()).hexdigest()


def finetuned_outputs(
    path: Path, name: str, records: Sequence[Record], request: LabTableRequest
) -> list[dict[str, Any]]:
    """Return what a lab model answers once all its weights are fine-tuned, kept in `path`."""
    if not path.is_file():
        model = load_language_model(name)
        examples, _ = encode_records(read_records(TRAINING), "qa", model.vocabulary, 256)
        # In its own seedless order of steps, as the lab's own yardstick is measured.
        finetune(model, examples, FINETUNE_RATES[0], FINETUNE_STEPS)
        tuned = LanguageModel(f"{name} fine-tuned", model.model, model.vocabulary)
        _outputs(path, ControlledModel(tuned, []), records, None, request)
    return read_outputs(path)


def _outputs(
    path: Path,
    model: ControlledModel,
    records: Sequence[Record],
    strength: float | None,
    request: LabTableRequest,
) -> list[dict[str, Any]]:
    """Return the answers at a strength, of the target alone where it is None, kept in `path`."""
    if not path.is_file():
        controllers = {} if strength is None else {INSTRUCT: strength}
        starts = range(0, len(records), request.batch_size)
        parts = [records[start : start + request.batch_size] for start in starts]
        said = [answered(model, part, controllers, ANSWER_TOKENS) for part in parts]
        write_list(path, [each for part in said for each in part])
    return read_outputs(path)


def _win_rate(
    place: Path,
    judge: Judge,
    reference: Sequence[dict[str, Any]],
    outputs: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """Return the win rate of outputs; verdicts are kept, those too that come before an error."""
    pairs = [
        Pair(mine["instruction"], other["output"], mine["output"])
        for mine, other in zip(outputs, reference, strict=True)
    ]
    made = [judge.name, *(asdict(pair) for pair in pairs)]
    key = hashlib.sha256(json.dumps(made).encode()).hexdigest()[:12]
    path = place / f"verdicts_{key}.json"
    verdicts = json.loads(path.read_text("utf-8")) if path.is_file() else []
    try:
        for pair in pairs[len(verdicts) :]:
            verdicts.append(judge.compare(pair).preference)
    finally:
        path.write_text(json.dumps(verdicts) + "\n", "utf-8")
    found = summarise(verdicts)
    return {name: found[name] for name in RATES}


def _forgetting(path: Path, row: dict[str, Any], request: LabTableRequest) -> dict[str, Any]:
    """Return TOFU's report of a model that answers and forgets, kept in `path`."""
    if not path.is_file():
        asked = TofuRequest(
            target=row["target"], controllers={INSTRUCT: 1.0, FORGET: row["strength"]},
            limit=request.items, batch_size=request.batch_size, max_new_tokens=ANSWER_TOKENS,
            compare_base=False,
        )  # fmt: skip
        for progress in evaluate_tofu(asked):
            report = progress.report
        path.write_text(json.dumps(report, ensure_ascii=False) + "\n", "utf-8")
    return json.loads(path.read_text("utf-8"))
