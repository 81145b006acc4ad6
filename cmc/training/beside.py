"""What stands beside what in a run: templates loaded once, the controller it begins with."""

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cmc.controller import Controller, load_controller, random_controller, random_network
from cmc.data import fingerprint_records
from cmc.models import LanguageModel, load_language_model
from cmc.settings import (
    ON_DATA_ALONE,
    RANDOM,
    SLIDER_RANGE,
    TrainSettings,
    as_plain,
    home,
    shape_called,
)
from cmc.store import place_of
from cmc.training.features import FeatureStore
from cmc.training.frozen import check_turns
from cmc.training.journal import Journal, StopSignals
from cmc.training.material import records_of
from cmc.training.template import FrozenTemplate
from cmc.training.together import accelerator

# Settings that may be paths.
PLACES = ("template", "second_template", "data", "retain", "refusals", "init", "watch")
FEATURES = "features"  # folder of the templates' features, in that of the runs


@dataclass
class Beside:
    """What runs of one process share: the templates, and who is asked to stop.

    Attributes:
        stop: whether a person has asked.
    """

    stop: StopSignals
    _loaded: dict[str, LanguageModel] = field(default_factory=dict)
    _frozen: dict[str, FrozenTemplate] = field(default_factory=dict)

    def templates(
        self, settings: TrainSettings, journal: Journal
    ) -> tuple[LanguageModel, list[FrozenTemplate]]:
        """Return the template of a run, and what is known already of those that take turns."""
        names = [each for each in (settings.template, settings.second_template) if each]
        for name in names:
            if name not in self._loaded:
                self._loaded[name] = load_language_model(name, device=accelerator().device)
                self._frozen[name] = _with_store(self._loaded[name], settings, journal)
        check_turns([self._loaded[name] for name in names])
        return self._loaded[names[0]], [self._frozen[name] for name in names]


def _with_store(
    template: LanguageModel, settings: TrainSettings, journal: Journal
) -> FrozenTemplate:
    store = None
    if settings.cache_gigabytes:
        try:
            limit = int(settings.cache_gigabytes * 1e9)
            store = FeatureStore.open(home() / FEATURES, template, limit)
        except OSError as error:
            journal.tell(f"The template's features are not kept on disk ({error.strerror}).")
    return FrozenTemplate(template, store=store)


def first_controller(settings: TrainSettings, template: LanguageModel) -> Controller:
    """Return the controller that training begins with."""
    if not settings.init:
        controller = random_controller(
            template.vocabulary,
            hidden_size=settings.hidden_size,
            layers=settings.layers,
            seed=settings.seed,
        )
        controller.name = settings.name
        return controller
    if settings.init.startswith(RANDOM):
        shape = shape_called(settings.init.removeprefix(RANDOM))
        network = random_network(template.vocabulary, shape, settings.seed)
        return Controller(settings.name, network, None, template.vocabulary)
    controller = load_controller(place_of(settings.init))
    if controller.prior is None and not controller.settings["template"]:
        # A plain language model: what it was before training is the prior of what it becomes.
        controller.prior = copy.deepcopy(controller.delta)
    controller.name = settings.name
    return controller


def describe(controller: Controller, settings: TrainSettings, template: LanguageModel) -> None:
    """Write into the controller what it is trained on, without the paths of this machine."""
    has_retain = settings.objective not in ON_DATA_ALONE
    sources = [settings.data, *([settings.retain] if has_retain else [])]
    named = {name: _public(getattr(settings, name)) for name in PLACES}
    controller.settings |= {
        "objective": settings.objective,
        "prompt_format": settings.prompt_format,
        "template": named["template"],
        "template_fingerprint": template.vocabulary.fingerprint,
        "data": {
            _public(source): fingerprint_records(records_of(settings, source)) for source in sources
        },
        "settings": as_plain(settings) | named,
        "parent": named["init"] or None,
    } | _recommended(settings)


def _recommended(settings: TrainSettings) -> dict[str, Any]:
    """Return strength and range that suit what was trained, no unit."""
    low, high = SLIDER_RANGE
    high = max(high, settings.strength_high)
    if settings.objective == "reverse":
        # What it has learned is to be subtracted.
        return {"recommended_strength": -1.0, "strength_range": [-high, -low]}
    return {"recommended_strength": 1.0, "strength_range": [low, high]}


def _public(name: str) -> str:
    """Return a name as it may be published: of a path only its last part."""
    return Path(name).name if Path(name).is_absolute() else name
