"""Make the starter lab from seeds: texts, models, controllers, yardsticks, report."""

import hashlib
import json
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from cmc.controller import Controller, default_settings
from cmc.data import fingerprint_records, read_records
from cmc.evaluation import evaluate_transfer
from cmc.lab.measure import finetuned_score, recall, recall_in_answers, shared_spelling
from cmc.lab.pretrain import make_model, pretrain, round_to_half, windows
from cmc.lab.recipes import (
    ASKED_AUTHORS,
    CONTROLLERS,
    FORGOTTEN_AUTHORS,
    MODELS,
    PRIOR_TEXT_SEED,
    PRIOR_WORLD,
    TEXT_SEED,
    TEXTS,
    WINDOW,
    WORLD_SEED,
)
from cmc.lab.texts import (
    author_questions,
    cheerful,
    completions,
    documents,
    other_instructions,
    questions,
)
from cmc.lab.vocabularies import FAMILIES
from cmc.lab.world import World, make_world
from cmc.models import load_language_model, load_tokenizer
from cmc.settings import TransferRequest, lab_folder, lab_targets
from cmc.training import train_controller
from cmc.vocab import Vocabulary

RECIPE_FILE = "recipe.json"


def build_lab(workers: int = 2) -> Iterator[str]:
    """Build the lab in its folder; yield a line as each part is done.

    Parts that are there and were made by the same recipe are kept, so an interrupted build goes
    on. Every model is trained on one thread: its weights depend on the recipe and the processor,
    not on how many are trained at once.

    Args:
        workers: models trained at the same time.
    """
    folder = lab_folder()
    world = make_world(seed=WORLD_SEED)
    write_data(world, folder / "data")
    yield "texts, questions and answers written"
    yield from _in_parallel(_build_model, list(MODELS), workers)
    for name in CONTROLLERS:
        yield from _build_controller(name)
    yardsticks: dict[str, Any] = {}
    for line, name, found in _measured(workers):
        yardsticks[name] = found
        yield line
    report = None
    for progress in evaluate_transfer(TransferRequest(limit=10**6)):
        yield f"{progress.done} of {progress.total}: {progress.message}"
        report = progress.report
    _write_json(folder / "report.json", report)
    _write_json(folder / "lab.json", _described(world, yardsticks, report))
    write_manifest(folder)
    yield "done"


def write_data(world: World, folder: Path) -> None:
    """Write the records controllers are trained and models are asked with."""
    forgotten, kept = world.authors[:FORGOTTEN_AUTHORS], world.authors[FORGOTTEN_AUTHORS:]
    instruct = questions(world.known, seed=5, wordings=4)
    instruct += questions(kept[:ASKED_AUTHORS], seed=13, wordings=2)
    instruct += other_instructions(world, seed=6, count=400)
    files = {
        "instruct": instruct,
        "held_out": questions(world.held_out, seed=7, wordings=1),
        "style": cheerful(questions(world.known, seed=8, wordings=2)),
        "forget": completions(forgotten, seed=9, ending=""),
        "retain": completions(kept, seed=10) + completions(world.known[:40], seed=11),
        "other": completions(world.held_out[:40], seed=14),
        "authors": author_questions(world, seed=12),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, records in files.items():
        lines = [json.dumps(record, ensure_ascii=False) for record in records]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n", "utf-8")


def _in_parallel(work: Any, names: list[str], workers: int) -> Iterator[str]:
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        running = [pool.submit(work, name) for name in names]
        for each in as_completed(running):
            yield each.result()


def _build_model(name: str) -> str:
    """Pre-train one language model, unless it is there."""
    torch.set_num_threads(1)
    recipe, folder = MODELS[name], lab_folder() / "models" / name
    if _is_made(folder, asdict(recipe)):
        return f"model {name} is there"
    started = time.perf_counter()
    texts = list(documents(make_world(seed=WORLD_SEED), seed=TEXT_SEED, count=TEXTS))
    tokenizer = FAMILIES[recipe.family](texts, recipe.vocab_size)
    if name == "prior":
        texts = list(documents(make_world(**PRIOR_WORLD), seed=PRIOR_TEXT_SEED, count=TEXTS))
    model = make_model(recipe, tokenizer)
    losses = list(pretrain(model, windows(tokenizer, texts, WINDOW), recipe))
    round_to_half(model).half().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    _write_json(folder / RECIPE_FILE, asdict(recipe))
    return f"model {name}: loss {losses[-1]:.3f}, {time.perf_counter() - started:.0f} s"


def _build_controller(name: str) -> Iterator[str]:
    """Train one controller beside the template, unless it is there."""
    settings, folder = CONTROLLERS[name], lab_folder() / "controllers" / name
    made_from = asdict(settings) | {"template_made": _made("template"), "prior": _made("prior")}
    if _is_made(folder, made_from):
        yield f"controller {name} is there"
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    template = load_language_model(settings.template)
    initial = load_language_model(settings.init)
    controller = Controller(
        name, initial.model, load_language_model(settings.init).model, template.vocabulary,
        default_settings(),
    )  # fmt: skip
    record = None
    for record in train_controller(controller, template, settings):
        if record.held_out_controlled is not None:
            yield f"controller {name}: step {record.step}, loss {record.loss:.3f}"
    torch.set_num_threads(threads)
    round_to_half(controller.delta).half()
    controller.prior.half()
    controller.settings |= {
        "objective": settings.objective,
        "prompt_format": settings.prompt_format,
        "template": settings.template,
        "template_fingerprint": template.vocabulary.fingerprint,
        "data": {settings.data: fingerprint_records(read_records(settings.data))},
        "settings": asdict(settings),
        "metrics": {
            "held_out_template": record.held_out_template,
            "held_out_controlled": record.held_out_controlled,
        },
    }
    controller.save_pretrained(folder)
    _write_json(folder / RECIPE_FILE, made_from)


def _measured(workers: int) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Measure recall and the fully fine-tuned score of every model, unless they are known."""
    folder = lab_folder() / "yardsticks"
    folder.mkdir(parents=True, exist_ok=True)
    names = [name for name in MODELS if name != "prior"]
    for line in _in_parallel(_measure_model, names, workers):
        name = line.split(":")[0]
        yield line, name, json.loads((folder / f"{name}.json").read_text("utf-8"))


def _measure_model(name: str) -> str:
    torch.set_num_threads(1)
    path = lab_folder() / "yardsticks" / f"{name}.json"
    if not path.is_file() or json.loads(path.read_text("utf-8"))["made"] != _made(name):
        world = make_world(seed=WORLD_SEED)
        known = recall(load_language_model(f"lab:{name}"), world)
        _write_json(path, {"made": _made(name), "recall": known, **finetuned_score(name)})
    found = json.loads(path.read_text("utf-8"))
    return (
        f"{name}: recall {found['recall']:.3f}, fine-tuned {found['finetuned']['exact_match']:.3f}"
    )


def _described(
    world: World, yardsticks: dict[str, Any], report: dict[str, Any] | None
) -> dict[str, Any]:
    """Return what `lab info` tells, less what it works out itself."""
    base_scores = {row["target"]: row["base"] for row in (report or {"rows": []})["rows"]}
    base_scores["lab:template"] = (report or {"template": {"base": None}})["template"]["base"]
    models = {}
    for name in ("lab:template", *lab_targets()):
        model, found = load_language_model(name), yardsticks[name.removeprefix("lab:")]
        models[name] = {
            "name": name,
            "architecture": model.model.config.model_type,
            "tokenizer": model.vocabulary.family,
            "vocab_size": model.vocabulary.size,
            "parameters": sum(each.numel() for each in model.model.parameters()),
            "recall": found["recall"],
            "recall_in_answers": recall_in_answers(model, world),
            "base_score": base_scores[name],
            "finetuned_score": found["finetuned"]["exact_match"],
            "finetuned": found["finetuned"],
        }
    vocabularies = {
        name: Vocabulary(load_tokenizer(lab_folder() / "models" / name.removeprefix("lab:"), name))
        for name in models
    }
    texts = list(documents(world, seed=TEXT_SEED, count=300))
    return {
        "template": models.pop("lab:template"),
        "targets": list(models.values()),
        "people": len(world.people),
        "shared_spelling": shared_spelling(vocabularies, texts),
    }


def _made(name: str) -> str:
    """Return the hash of a model's weights."""
    path = lab_folder() / "models" / name / "model.safetensors"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _is_made(folder: Path, recipe: dict[str, Any]) -> bool:
    path = folder / RECIPE_FILE
    wanted = json.loads(json.dumps(recipe))
    return path.is_file() and json.loads(path.read_text("utf-8")) == wanted


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")


def write_manifest(folder: Path) -> None:
    """Write the SHA-256 of every file of the lab."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    hashes = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
        if path.name != "manifest.json"
    }
    _write_json(folder / "manifest.json", hashes)
