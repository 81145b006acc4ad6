"""The same actions from the command line."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from cmc.arguments import add_fields, file_error, filled_request, make_room, named_strengths
from cmc.errors import CmcError
from cmc.settings import (
    STARTER_CONTROLLER,
    STARTER_TARGET,
    TRANSFERS,
    CoverSettings,
    GenerationRequest,
    MapRequest,
    Sampling,
    TrainSettings,
    TransferRequest,
    checked_whole,
)

MAX_WORKERS = 256


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0, or 1 after a clear error (2 for wrong usage)."""
    parsed = _parser().parse_args(arguments)
    # Loading bars of a few milliseconds would hide what a person wants to read.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    try:
        result = parsed.run(parsed)
    except CmcError as error:
        print(f"error: {error.sentence()}", file=sys.stderr)
        return 1
    except (OSError, SafetensorError) as error:
        print(f"error: {file_error(error).sentence()}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 1
    if parsed.json:
        print(json.dumps(result, ensure_ascii=False))
    else:
        parsed.show(result)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cmc", description="Train one tiny controller, steer many language models."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    lab = commands.add_parser("lab", help="the starter lab").add_subparsers(required=True)
    build = _command(lab, "build", "make the starter lab from seeds", _lab_build, _show_lab)
    build.add_argument("--workers", default=2, help="models trained at once")
    _command(lab, "info", "tell what is in the starter lab", _lab_info, _show_lab)
    _add_train(commands)
    inspect = _command(commands, "map", "build and measure a vocab map", _map, _show_map)
    add_fields(inspect, MapRequest)
    _add_generate(commands)
    evaluate = commands.add_parser("evaluate", help="reports").add_subparsers(required=True)
    transfer = _command(
        evaluate, "transfer", "how much of a controller's effect arrives", _transfer, _show_transfer
    )
    add_fields(transfer, TransferRequest, CoverSettings)
    transfer.add_argument("--out", default="", help="also write the report to this file")
    return parser


def _command(
    group: Any, name: str, about: str, run: Callable[..., Any], show: Callable[[Any], None]
) -> argparse.ArgumentParser:
    parser = group.add_parser(name, help=about, description=about)
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")
    parser.set_defaults(run=run, show=show)
    return parser


def _add_train(commands: Any) -> None:
    train = _command(commands, "train", "train a controller beside a template", _train, _show_train)
    add_fields(train, TrainSettings)
    train.add_argument("--out", default="", help="also copy the finished controller here")
    train.add_argument("--resume", metavar="RUN", default="", help="go on with a run, by name")
    train.add_argument(
        "--run", dest="run_folder", metavar="FOLDER", default="", help="the run's folder"
    )


def _add_generate(commands: Any) -> None:
    generate = _command(commands, "generate", "controlled text", _generate, _show_generated)
    generate.add_argument("prompts", nargs="+", metavar="PROMPT")
    generate.add_argument("--target", default=STARTER_TARGET)
    generate.add_argument(
        "--controller", action="append", metavar="NAME[:STRENGTH]",
        help=f"give it several times to sum several; {STARTER_CONTROLLER} by default",
    )  # fmt: skip
    generate.add_argument("--strength", action="append", help="of each controller, in their order")
    generate.add_argument("--transfer", default="auto", choices=TRANSFERS)
    add_fields(generate, Sampling, CoverSettings)


def _tell(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


def _lab_build(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc.lab.build import build_lab

    started = time.perf_counter()
    for line in build_lab(checked_whole("workers", parsed.workers, 1, MAX_WORKERS)):
        _tell(f"{time.perf_counter() - started:6.0f} s  {line}")
    return _lab_info(parsed)


def _lab_info(_: argparse.Namespace) -> dict[str, Any]:
    from cmc.lab.describe import lab_info

    return lab_info()


def _show_lab(info: dict[str, Any]) -> None:
    for model in (info["template"], *info["targets"]):
        print(
            f"{model['name']:14} {model['architecture']:9} {model['tokenizer']:14} "
            f"{model['parameters']:>9,} parameters  recall {model['recall']:.3f}  "
            f"in answers {model['recall_in_answers']:.3f}  alone {model['base_score']:.3f}  "
            f"fine-tuned {model['finetuned_score']:.3f}"
        )
    state = "all files as made" if info["verified"] else f"damaged: {', '.join(info['damaged'])}"
    print(f"{', '.join(info['controllers'])}; {info['bytes'] / 1e6:.1f} MB; {state}")


def _train(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc import runs
    from cmc.controller import copy_controller
    from cmc.training import run_training

    if parsed.out:
        Path(parsed.out).mkdir(parents=True, exist_ok=True)
    if parsed.resume:
        run = runs.open_run(parsed.resume)
        settings, folder = run.settings(), run.folder
    elif parsed.run_folder and (Path(parsed.run_folder) / "settings.json").is_file():
        folder = Path(parsed.run_folder)
        settings = runs.Run(folder).settings()
    else:
        settings = filled_request(TrainSettings, parsed)
        folder = Path(parsed.run_folder) if parsed.run_folder else runs.new_folder(settings.name)
    losses = [record.loss for record in _with_progress_bar(run_training(settings, folder))]
    status = runs.Run(folder).status()
    if parsed.out:
        copy_controller(Path(status["controller"]), Path(parsed.out))
    return {
        "run": str(folder),
        "controller": parsed.out or status["controller"],
        "steps": status["step"],
        "loss_first": status.get("loss_first", losses[0] if losses else None),
        "loss_last": status.get("loss_last", losses[-1] if losses else None),
        "held_out": status.get("held_out"),
    }


def _with_progress_bar(records: Any) -> Any:
    from tqdm import tqdm

    is_hidden = not sys.stderr.isatty()
    with tqdm(unit="step", file=sys.stderr, dynamic_ncols=True, disable=is_hidden) as bar:
        for record in records:
            bar.total = record.steps
            bar.update(record.step - bar.n)
            if record.message:
                bar.write(record.message, file=sys.stderr)
            if record.held_out_controlled is not None:
                bar.write(
                    f"step {record.step}: held-out loss {record.held_out_controlled:.4f} "
                    f"controlled, {record.held_out_template:.4f} template alone",
                    file=sys.stderr,
                )
            bar.set_postfix(loss=f"{record.loss:.3f}")
            yield record


def _show_train(result: dict[str, Any]) -> None:
    held_out = result["held_out"] or {}
    print(f"controller: {result['controller']}")
    print(f"steps {result['steps']}, loss {result['loss_first']:.4f} to {result['loss_last']:.4f}")
    if held_out:
        print(
            f"held-out loss: template {held_out['template']:.4f}, "
            f"controlled {held_out['controlled']:.4f}"
        )


def _map(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc.models import load_vocabulary
    from cmc.vocab import inspected_map, map_summary

    request = filled_request(MapRequest, parsed)
    make_room(request.out)
    controller = load_vocabulary(request.controller)
    target = load_vocabulary(request.target)
    started = time.perf_counter()
    vocab_map = inspected_map(controller, target, request.transfer, parity=request.parity)
    seconds = time.perf_counter() - started
    if request.out:
        vocab_map.save(request.out)
    summary = map_summary(vocab_map, controller, target)
    names = {"controller": request.controller, "target": request.target}
    return {**names, **summary, "seconds": round(seconds, 4), "out": request.out or None}


def _show_map(result: dict[str, Any]) -> None:
    print(f"{result['controller']} to {result['target']} by {result['transfer']}")
    for kind, count in result["ids"].items():
        print(f"  {kind:10} {count:>9,} tokens  {100 * result['mass'][kind]:5.1f} % of the text")
    print(f"grade {result['grade']}: {result['advice']}")
    print(f"built in {result['seconds']:.3f} s" + (f", {result['out']}" if result["out"] else ""))


def _generate(parsed: argparse.Namespace) -> dict[str, Any]:
    request = filled_request(
        GenerationRequest, parsed, prompts=tuple(parsed.prompts),
        controllers=named_strengths(parsed.controller, parsed.strength),
        sampling=filled_request(Sampling, parsed), cover=filled_request(CoverSettings, parsed),
    )  # fmt: skip
    from cmc.controller import load_controller
    from cmc.generation import ControlledModel, Row
    from cmc.models import load_language_model

    controllers = [load_controller(name) for name in request.controllers]
    target = load_language_model(request.target)
    model = ControlledModel(target, controllers, transfer=request.transfer, cover=request.cover)
    strengths = tuple(request.controllers.values())
    outputs = []
    for prompt in request.prompts:
        started = time.perf_counter()
        text = model.prompt(prompt)
        rows = [Row(text, (0.0,) * len(strengths)), Row(text, strengths)]
        base, controlled = model.generate(rows, request.sampling)
        if controlled.is_windowed:
            least = min(each.context for each in controllers)
            _tell(
                f"note: the text is longer than the {least} tokens a controller can read; it saw "
                "only the end. Shorten the prompt to have all of it heeded."
            )
        outputs.append({
            "prompt": prompt, "base": base.text, "controlled": controlled.text,
            "strengths": dict(request.controllers), "tokens": len(controlled.token_ids),
            "seconds": round(time.perf_counter() - started, 3),
        })  # fmt: skip
    return {"target": request.target, "transfers": model.transfers, "outputs": outputs}


def _show_generated(result: dict[str, Any]) -> None:
    for output in result["outputs"]:
        print(f"prompt      {output['prompt']}")
        print(f"base        {output['base']}")
        print(f"controlled  {output['controlled']}\n")


def _transfer(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc.evaluation import evaluate_transfer

    request = filled_request(TransferRequest, parsed, cover=filled_request(CoverSettings, parsed))
    make_room(parsed.out)
    report: dict[str, Any] = {}
    for progress in evaluate_transfer(request):
        _tell(f"{progress.done} of {progress.total}: {progress.message}")
        report = progress.report or report
    if parsed.out:
        Path(parsed.out).write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    return report


def _show_transfer(report: dict[str, Any]) -> None:
    template = report["template"]
    print(
        f"{template['name']:14} {'':9} {template['exact_match']:.3f} "
        f"[{template['low']:.3f}, {template['high']:.3f}]  n={template['n']}  "
        f"base {template['base']:.3f}"
    )
    for row in report["rows"]:
        recovered = row["recovered_effect"]
        print(
            f"{row['target']:14} {row['transfer']:9} {row['exact_match']:.3f} "
            f"[{row['low']:.3f}, {row['high']:.3f}]  n={row['n']}  base {row['base']:.3f}  "
            f"recovered {'-' if recovered is None else format(recovered, '.3f')}"
        )


if __name__ == "__main__":
    sys.exit(main())
