"""What every setting of control costs and brings on the starter lab: latency beside exact match.

One setting is changed at a time, from more candidates than the defaults have. Latency is that of
one question at a time on the lab's tiny targets; on a target of the usual size the same
milliseconds are a small share (`decode`).
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch

from cmc.controller import Controller, load_controller
from cmc.data import Record, format_prompt, read_records
from cmc.evaluation import ask
from cmc.evaluation.check import spread
from cmc.evaluation.scores import Interval, wilson_interval
from cmc.generation import ControlledModel, Row
from cmc.models import LanguageModel, load_language_model
from cmc.settings import CoverSettings, Rails, Sampling
from tests.bench.row import Measurement

TARGETS = ("lab:byte", "lab:unigram")
QUESTIONS = 120
BATCH = 60
TIMED = 4  # questions asked one at a time


@dataclass(frozen=True)
class _Setting:
    """What is changed against the defaults."""

    name: str
    cover: CoverSettings = field(default_factory=CoverSettings)
    rails: Rails = field(default_factory=Rails)
    strength: float = 1.0
    transfer: str = "cover"


def _wide(**changed: float | bool) -> CoverSettings:
    """Return more candidates than are needed, with one thing changed."""
    return CoverSettings(**{"target_candidates": 16, "controller_candidates": 12} | changed)


def _railed(name: str, strength: float = 1.0, **rails: float) -> _Setting:
    return _Setting(name, _wide(), Rails(**rails), strength)


SETTINGS = (
    _Setting("pm-mined", transfer="pm-mined"),
    _Setting("cover, defaults"),
    _Setting("cover, K = 16, M = 12", _wide()),
    *(_Setting(f"K = {k}", _wide(target_candidates=k)) for k in (2, 6, 48)),
    *(_Setting(f"M = {m}", _wide(controller_candidates=m)) for m in (0, 4, 36)),
    *(_Setting(f"margin = {nats:g}", _wide(margin=nats)) for nats in (3, 1000)),
    _Setting("no prior", _wide(use_prior=False)),
    *(_railed(f"gate on entropy, {nats:g} nats", gate_entropy=nats) for nats in (0.01, 0.5)),
    *(_railed(f"gate on the shift, {nats:g} nats", gate_shift=nats) for nats in (0.01, 0.5)),
    _railed("cap = 4 nats", cap=4.0),
    _railed("strength 2", 2.0),
    *(_railed(f"strength 2, plausibility {share:g}", 2.0, plausibility=share)
      for share in (1e-4, 1e-2)),
    _railed("strength 2, cap = 4 nats", 2.0, cap=4.0),
)  # fmt: skip


@dataclass(frozen=True)
class _Found:
    """How one setting did: share of exact answers, and milliseconds per token."""

    exact: Interval
    latency: float


def measure() -> Iterator[Measurement]:
    """Yield exact match of every setting, with its interval, recovered effect and latency."""
    torch.set_num_threads(1)
    controller, template = load_controller("lab:instruct"), load_language_model("lab:template")
    records = spread(read_records("lab:held_out"), QUESTIONS)
    default = _Setting("the template", transfer="same")
    ideal, nothing = (_found(template, each, default, records) for each in ([controller], []))
    effect = ideal.exact.value - nothing.exact.value
    for name in TARGETS:
        target = load_language_model(name)
        base = _found(target, [], _Setting("base"), records, controller.prompt_format)
        yield _row(name, _Setting("base"), base, base, effect)
        for setting in SETTINGS:
            found = _found(target, [controller], setting, records)
            yield _row(name, setting, found, base, effect)


def _row(target: str, setting: _Setting, found: _Found, base: _Found, effect: float) -> Measurement:
    recovered = (found.exact.value - base.exact.value) / effect
    return Measurement(
        name=f"{target}, {setting.name}", value=found.exact.value, unit="",
        is_lower_better=False,
        note=f"[{found.exact.low:.3f}, {found.exact.high:.3f}] n={found.exact.n}, "
        f"recovered {recovered:.3f}, {found.latency:.1f} ms per token, "
        f"{found.latency / base.latency:.1f} x base",
    )  # fmt: skip


def _found(
    target: LanguageModel, controllers: list[Controller], setting: _Setting,
    records: list[Record], prompt_format: str = "qa",
) -> _Found:  # fmt: skip
    how = {"transfer": setting.transfer} if controllers else {}
    model = ControlledModel(target, controllers, cover=setting.cover, rails=setting.rails, **how)
    strengths = (setting.strength,) * len(controllers)
    answers = ask(model, records, strengths, BATCH, prompt_format)
    exact = wilson_interval([each.is_exact for each in answers])
    return _Found(exact, _latency(model, records, strengths, prompt_format))


def _latency(
    model: ControlledModel, records: list[Record], strengths: tuple[float, ...], form: str
) -> float:
    """Return milliseconds of processor time per token, one question at a time."""
    tokens, started = 0, time.process_time()
    for record in records[:TIMED]:
        row = Row(format_prompt(form, record.instruction, record.input), strengths)
        tokens += len(model.generate([row], Sampling(max_new_tokens=48))[0].token_ids)
    return 1000 * (time.process_time() - started) / tokens
