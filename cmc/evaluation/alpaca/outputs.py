"""A model's answers in AlpacaEval's format, written as they come and gone on with later."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cmc.data import Record, format_prompt
from cmc.evaluation.alpaca.files import write_list
from cmc.evaluation.alpaca.journal import append_line, read_lines
from cmc.evaluation.room import greedy_answers
from cmc.generation import ControlledModel
from cmc.settings import AlpacaRequest


def instruction_text(record: Record) -> str:
    """Return instruction and input as the one text by which answers are matched."""
    return "\n\n".join(filter(None, (record.instruction, record.input)))


def generator_name(target: str, controllers: Mapping[str, float]) -> str:
    """Return how a target under control is called in outputs and annotations."""
    return " + ".join([target, *(f"{name}:{v:g}" for name, v in controllers.items() if v)])


def generate_outputs(
    path: Path,
    model: ControlledModel,
    records: Sequence[Record],
    strengths: tuple[float, ...],
    request: AlpacaRequest,
) -> Iterator[list[dict[str, Any]]]:
    """Answer all records and yield the outputs so far after every batch.

    Args:
        path: of the `model_outputs.json` to write; what its `.jsonl` holds already is kept.
        model: target and controllers.
        records: the questions.
        strengths: one per controller.
        request: how many tokens, how large a batch.
    """
    prompt_format = used_format(model)
    name = generator_name(
        model.target.name,
        dict(zip((each.name for each in model.controllers), strengths, strict=True)),
    )
    kept = path.with_suffix(".jsonl")
    wanted = [instruction_text(record) for record in records]
    done = {each["instruction"]: each for each in read_lines(kept) if each["generator"] == name}
    missing = [number for number, text in enumerate(wanted) if text not in done]
    prompts = [
        format_prompt(prompt_format, records[number].instruction, records[number].input)
        for number in missing
    ]
    said = greedy_answers(model, prompts, strengths, request.max_new_tokens, request.batch_size)
    asked = iter(missing)
    for batch in said:
        for each in batch:
            text = wanted[next(asked)]
            output = {
                "instruction": text, "output": each.text.strip(), "generator": name,
                "windowed": each.is_windowed,
            }  # fmt: skip
            append_line(kept, output)
            done[text] = output
        yield [done[text] for text in wanted if text in done]
    outputs = [done[text] for text in wanted]
    write_list(path, outputs)
    yield outputs


def used_format(model: ControlledModel) -> str:
    """Return how questions are put: as the controllers learnt them, or as the lab's are."""
    return model.prompt_format if model.controllers else "qa"


def same_request(folder: Path, made: Mapping[str, Any]) -> bool:
    """Say whether a folder is new or holds what the same request made; remember the request."""
    path = folder / "request.json"
    if path.is_file():
        try:
            return json.loads(path.read_text("utf-8")) == json.loads(json.dumps(made))
        except ValueError:
            return False
    path.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", "utf-8")
    return True
