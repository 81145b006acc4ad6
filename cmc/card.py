"""The model card of a controller: what it is, how to use it, where it comes from, how it did."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cmc.settings import FORGETTING, public_name

# Settings of the training that a card tells; paths and whatever else is set stay at home.
TOLD = (
    "max_steps", "batch_size", "learning_rate", "warmup_fraction", "weight_decay", "beta",
    "strength_low", "strength_high", "max_length", "seed",
)  # fmt: skip
SUPPRESSION = (
    "Suppression is not erasure: the weights of a model it is used with stay as they are, and "
    "whoever runs that model without this controller has it as before."
)


def model_card(
    name: str, settings: Mapping[str, Any], parameters: int, *, origin: str = "", licence: str = ""
) -> str:
    """Return a model card as Markdown with the Hub's metadata in front.

    Args:
        name: a path, a Hub id or a name; its last part is the title.
        settings: what `controller.json` holds.
        parameters: number of weights of the delta.
        origin: one line that says which version of what it is.
        licence: as the Hub calls it; empty says that none is stated.
    """
    sections = [
        _metadata(licence),
        f"# {_plain(Path(name).name)}\n\nA controller for Cross-model Control "
        "([arXiv:2410.17599](https://arxiv.org/abs/2410.17599)): a tiny model whose logits steer "
        "larger ones, whatever their vocabulary. It does nothing on its own.",
        _use(name, settings),
        _about(settings, parameters),
        _origin(settings, origin),
        _metrics(settings.get("metrics") or {}),
        _limits(settings, licence),
    ]
    return "\n\n".join(filter(None, sections)) + "\n"


def _metadata(licence: str) -> str:
    lines = ["---", "library_name: cmc", "tags: [cross-model-control, controllable-generation]"]
    return "\n".join([*lines, *([f"license: {licence}"] if licence else []), "---"])


def _use(name: str, settings: Mapping[str, Any]) -> str:
    strength = f"{settings['recommended_strength']:g}"
    shown = _plain(public_name(name))
    return (
        "## How to use it\n\n```bash\n"
        f'python -m cmc generate --controller {shown}:{strength} --target MODEL "…"\n```\n\n'
        f"The strength goes from {settings['strength_range'][0]:g} to "
        f"{settings['strength_range'][1]:g}; 0 is the model alone, {strength} is recommended."
    )


def _about(settings: Mapping[str, Any], parameters: int) -> str:
    return "\n".join([
        "## What it is", "",
        f"- trained beside: {_code(public_name(str(settings['template'])))}",
        f"- objective: {_code(settings['objective'])}",
        f"- prompt format: {_code(settings['prompt_format'])}",
        f"- parameters: {parameters:,}",
    ])  # fmt: skip


def _origin(settings: Mapping[str, Any], origin: str) -> str:
    lines = ["## Where it comes from", ""]
    if origin:
        lines.append(f"- {_plain(origin)}")
    if settings.get("parent"):
        lines.append(f"- began as: {_code(public_name(str(settings['parent'])))}")
    for name, digest in (settings.get("data") or {}).items():
        lines.append(f"- data: {_code(public_name(name))}, SHA-256 of its records {_code(digest)}")
    known = settings.get("settings") or {}
    told = ", ".join(f"{each} {known[each]}" for each in TOLD if each in known)
    return "\n".join([*lines, *([f"- training: {_plain(told)}"] if told else [])])


def _metrics(metrics: Mapping[str, Any]) -> str:
    flat = {
        f"{name}, {part}" if part else name: value
        for name, found in metrics.items()
        for part, value in (found.items() if isinstance(found, Mapping) else [("", found)])
    }
    lines = [f"- {_plain(name)}: {value:.6g}" for name, value in flat.items() if _is_number(value)]
    if not lines:
        return ""
    return "\n".join(["## How it measured", "", "Losses in nats per token.", "", *lines])


def _limits(settings: Mapping[str, Any], licence: str) -> str:
    lines = ["## Limits and licence", ""]
    if settings["objective"] in FORGETTING:
        lines += [SUPPRESSION, ""]
    if not licence:
        lines += ["No licence is stated. Ask whoever published it before you use it.", ""]
    lines.append(
        "The licences of the template and of the data it was trained with may bind its use, too."
    )
    return "\n".join(lines)


def _code(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"`{_plain(json.dumps(text, ensure_ascii=False)[1:-1])}`"


def _plain(text: str) -> str:
    """Return text that opens no other Markdown, HTML or line."""
    return " ".join(text.replace("`", "'").replace("<", "‹").replace(">", "›").split())


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
