"""States and measurements as short sentences."""

import html
import math
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

from cmc.runs import ALIVE, Run
from cmc.settings import GenerationRequest
from cmc.workspace import RUN_PREFIX, SideBySide, Workspace

STATE_SIGNS = {
    "queued": "… queued",
    "running": "● running",
    "finished": "✓ finished",
    "stopped": "■ stopped",
    "failed": "✕ failed",
    "interrupted": "◌ interrupted",
}


def model_label(name: str, about: Mapping[str, Any]) -> str:
    """Return `lab:byte · gpt_neox, byte-level, 2.5M`, or the name where nothing is known."""
    if not about:
        return name
    size = f"{about['parameters'] / 1e6:.1f}M"
    return f"{name} · {about['architecture']}, {about['tokenizer']}, {size}"


def labelled_targets(workspace: Workspace) -> list[tuple[str, str]]:
    """Return label and name of every target, for a list to choose from."""
    about = workspace.about_models()
    names = workspace.names_of_targets()
    return [(model_label(name, about.get(name, {})), name) for name in names]


def speed_line(tokens: int, seconds: float) -> str:
    """Return `12 tokens · 85 tokens/s`."""
    rate = f" · {tokens / seconds:.0f} tokens/s" if seconds > 0 and tokens else ""
    return f"{tokens} token{'' if tokens == 1 else 's'}{rate}"


def identity_line(shown: SideBySide) -> str:
    """Say what a comparison of the two rows shows: text and number of tokens."""
    if not shown.is_finished:
        return ""
    if not any(shown.strengths.values()):
        if shown.is_identical:
            return '<span class="good">strength 0: identical to the base ✓</span>'
        return (
            '<span class="bad">strength 0, yet the two texts differ. This must not happen: '
            "please report it with this prompt.</span>"
        )
    if shown.is_identical:
        return "At this strength the controlled text is the same as the base."
    words = _shared_words(shown)
    if not words:
        return "The two texts differ from the first word on."
    return f"The two texts agree on the first {words} word{'' if words == 1 else 's'}."


def provenance_line(request: GenerationRequest, shown: SideBySide) -> str:
    """Return what made this result; safe as HTML."""
    maps = shown.maps or [""] * len(shown.transfers)
    used = zip(shown.strengths.items(), shown.transfers, maps, strict=True)
    parts = [
        f"{name} at {strength:g} ({', '.join(filter(None, (transfer, vocab_map)))})"
        for (name, strength), transfer, vocab_map in used
    ]
    sampling = request.sampling
    drawn = f"temperature {sampling.temperature:g}, seed {sampling.seed}"
    text = " · ".join([request.target, *parts, drawn if sampling.temperature else "greedy"])
    if shown.is_windowed:
        text += " · the text is longer than the controller can read: it saw only the end"
    return html.escape(text)


def status_line(run: Run, records: Sequence[Mapping[str, Any]]) -> str:
    """Return `step 120/400 · 3.1 steps/s · ETA 1m05s · loss 2.31 · …`, safe as HTML."""
    status = run.status()
    state = str(status.get("state", ""))
    parts = [f"<b>{html.escape(run.name)}</b>", STATE_SIGNS.get(state, html.escape(state))]
    step, steps = int(status.get("step") or 0), int(status.get("steps") or 0)
    parts.append(f"step {step}/{steps}" if steps else "starting")
    rate = steps_per_second(records)
    if rate and state == "running":
        parts += [f"{rate:.1f} it/s", f"ETA {duration((steps - step) / rate)}"]
    parts += _losses(records)
    if saved := run.saved_step():
        parts.append(f"last checkpoint: step {saved}")
    lines = [" · ".join(parts)]
    if status.get("message"):
        lines.append(html.escape(str(status["message"])))
    if status.get("controller") and state not in ALIVE:
        name = html.escape(RUN_PREFIX + run.name)
        lines.append(f"Its controller is <code>{name}</code>; choose it in Generate.")
    lines += next_steps(state, saved)
    return "<br>".join(lines)


def next_steps(state: str, saved: int) -> list[str]:
    """Return what to do about a run that did not finish; `saved` is its last checkpoint's step."""
    if state == "stopped":
        return ["Press Resume to go on with the same curve."] if saved else []
    if state != "failed":  # one that was interrupted says so itself
        return []
    kept = f"Nothing before step {saved} is lost" if saved else "Nothing was saved yet"
    return [
        f"{kept}. Do what the message says and press Resume; where a setting must change, start "
        "a new run. The log below has more."
    ]


def steps_per_second(records: Sequence[Mapping[str, Any]]) -> float:
    """Return the speed over the last fifty steps; 0 where it cannot be told."""
    last = [record for record in records[-50:] if record.get("seconds") is not None]
    if len(last) < 2:
        return 0.0
    passed = float(last[-1]["seconds"]) - float(last[0]["seconds"])
    return (last[-1]["step"] - last[0]["step"]) / passed if passed > 0 else 0.0


def duration(seconds: float) -> str:
    """Return seconds as `1m05s`, `2h03m` or `42s`."""
    whole = max(0, math.ceil(seconds))
    if whole >= 3600:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 60}m{whole % 60:02d}s" if whole >= 60 else f"{whole}s"


def _losses(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the newest loss, and the newest held-out pair."""
    parts = [f"loss {records[-1]['loss']:.2f}"] if records else []
    measured = [record for record in records if record.get("held_out_controlled") is not None]
    if measured:
        last = measured[-1]
        base = last.get("held_out_template")
        beside = f" (base {base:.2f})" if base is not None else ""
        parts.append(f"held out {last['held_out_controlled']:.2f}{beside}")
    return parts


def _shared_words(shown: SideBySide) -> int:
    """Count the words that base and controlled have in common from the start."""
    pairs = zip(shown.base.split(), shown.controlled.split(), strict=False)
    return len(list(takewhile(lambda pair: pair[0] == pair[1], pairs)))
