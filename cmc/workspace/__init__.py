"""What all tabs share."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from cmc import runs, settings
from cmc.controller import Controller, load_controller
from cmc.errors import ModelError, RunError, SettingError
from cmc.generation import ControlledModel
from cmc.lab.describe import lab_description, read_description
from cmc.models import LanguageModel, load_language_model
from cmc.settings import (
    CompareRequest,
    GenerationRequest,
    TransferRequest,
    lab_folder,
    lab_targets,
)
from cmc.store import Store, place_of
from cmc.store.maps import followed_maps
from cmc.vocab import VocabMap
from cmc.workspace.advice import StrengthAdvice, read_advice
from cmc.workspace.comparison import Compared, stream_comparison
from cmc.workspace.evaluations import recommended_strength
from cmc.workspace.kept import Kept
from cmc.workspace.maps import KeptMaps, file_state
from cmc.workspace.memory import memory_told
from cmc.workspace.side_by_side import SideBySide, stream_rows

__all__ = ["SideBySide", "Workspace", "choose_mode"]

ASSETS = Path(__file__).resolve().parents[2] / "assets"
RUN_PREFIX = runs.RUN_PREFIX
ASKED_ONLY = ("held_out", "authors")  # the lab's questions for evaluation
MODES = ("local", "demo", "open-lab")
# A pair keeps its target alive, so that more than one would hold models that were let go.
MODELS_KEPT, CONTROLLERS_KEPT, PAIRS_KEPT = 3, 8, 1


def choose_mode(environment: Mapping[str, str]) -> str:
    """Return `local`; on a public Space `demo`, or `open-lab` where its owner allows training."""
    if not environment.get("SPACE_ID"):
        return "local"
    return "open-lab" if environment.get("ALLOW_PUBLIC_TRAINING") == "1" else "demo"


class Workspace:
    """Loaded models and controllers, runs, and what may be done here."""

    def __init__(self, *, mode: str = "local", home: Path | None = None) -> None:
        self.mode = settings.checked_choice("mode", mode, MODES)
        self.may_train = mode != "demo"
        self.home = home or settings.home()
        self.store = Store(self.home)
        self._models: Kept[LanguageModel] = Kept(MODELS_KEPT)
        self._controllers: Kept[Controller] = Kept(CONTROLLERS_KEPT)
        self._pairs: Kept[ControlledModel] = Kept(PAIRS_KEPT)
        self.maps = KeptMaps()

    def names_of_targets(self) -> list[str]:
        """Return the lab's targets, then its template."""
        return [*lab_targets(), *self.names_of_templates()]

    def names_of_templates(self) -> list[str]:
        """Return the template that ships with the app."""
        return [TransferRequest.template]

    def about_models(self) -> dict[str, dict[str, Any]]:
        """Return what the lab says about its template and targets, by name; may be empty.

        Raises:
            DataError: the lab's description is damaged.
        """
        if not (lab_folder() / "lab.json").is_file():
            return {}
        told = lab_description()
        return {model["name"]: model for model in (*told["targets"], told["template"])}

    def names_of_controllers(self) -> list[str]:
        """Return the lab's controllers, those with a label in the store, then those of runs."""
        folders = (lab_folder() / "controllers").glob("*/controller.json")
        lab = sorted(f"lab:{path.parent.name}" for path in folders)
        usable = [run for run in self.all_runs() if run.status()["controller"]]
        labelled = self.store.labelled("controller")
        return [*lab, *labelled, *(RUN_PREFIX + run.name for run in usable)]

    def names_of_data(self) -> list[str]:
        """Return the lab's sets of records to train on."""
        names = sorted(file.stem for file in (lab_folder() / "data").glob("*.jsonl"))
        return [f"lab:{name}" for name in names if name not in ASKED_ONLY]

    def prompts(self) -> list[str]:
        """Return the sample prompts; the first is the one the app opens with."""
        return json.loads((ASSETS / "prompts.json").read_text(encoding="utf-8"))

    def stream_side_by_side(self, request: GenerationRequest) -> Iterator[SideBySide]:
        """Stream base and controlled as two rows of one batch.

        Raises:
            SettingError: more than one prompt.
            ModelError: target or controller is unknown or not offered here.
        """
        if len(request.prompts) != 1:
            raise SettingError("side by side takes one prompt", hint="Give exactly one.")
        with memory_told(self.let_go):
            model = self.controlled_model(request)
            maps = tuple(name for name, _ in self.followed_maps(request))
            prompt = request.prompts[0].strip()
            for shown in stream_rows(model, prompt, request.controllers, request.sampling):
                yield replace(shown, maps=maps)

    def stream_comparison(self, request: CompareRequest) -> Iterator[list[Compared]]:
        """Stream one prompt on several targets, each at several strengths in one batch."""
        yield from stream_comparison(self, request)

    def let_go(self) -> None:
        """Drop all loaded models; what is asked for next is loaded again."""
        for kept in (self._pairs, self._models, self._controllers):
            kept.clear()

    def controlled_model(self, request: GenerationRequest) -> ControlledModel:
        """Return target and controllers of a request together, loaded at most once."""
        self.check_offered(request.target, self.names_of_targets())
        for name in request.controllers:
            self.check_offered(name, self.names_of_controllers())
        controllers = [self._controller(name) for name in request.controllers]
        # Taken first, so that a target in use counts as used even where its pair is kept.
        target = self._model(request.target, request.loading)
        maps = self.followed_maps(request)
        how = {"transfer": request.transfer, "cover": request.cover, "rails": request.rails}
        key = (
            request.target,
            *map(id, controllers),
            *how.values(),
            request.loading,
            *((name, file_state(Path(name))) for name, _ in maps),
        )
        how["maps"] = [each for _, each in maps]
        return self._pairs.get(key, lambda: ControlledModel(target, controllers, **how))

    def followed_maps(self, request: GenerationRequest) -> list[tuple[str, VocabMap | None]]:
        """Return per controller of a request the kept map it follows, with its name, or none."""
        names = [self.map_name(each) for each in request.maps]
        controllers = [self._controller(name).vocabulary for name in request.controllers]
        target = self._model(request.target, request.loading).vocabulary
        return followed_maps(names, controllers, target, self.store)

    def map_name(self, name: str) -> str:
        """Return a file of a vocab map as it is, else the version that a name or label means now.

        Raises:
            StoreError: there is no such version; on a public Space files are none.
        """
        with suppress(OSError):  # no file has so long a name
            if self.mode == "local" and Path(name).is_file():
                return name
        return self.store.find("map", name).reference

    def strength_advice(self, controller: str, target: str) -> StrengthAdvice:
        """Return which strengths to use: the newest sweep's of the pair, else the controller's."""
        try:
            advice = read_advice(self.place_of(controller))
        except RunError:  # using it tells what is wrong
            return StrengthAdvice()
        return advice.measured(recommended_strength(self, controller, target))

    def report(self) -> dict[str, Any] | None:
        """Return the transfer report that ships with the lab, or None.

        Raises:
            DataError: the report is damaged.
        """
        path = lab_folder() / "report.json"
        return read_description(path) if path.is_file() else None

    def all_runs(self) -> list[runs.Run]:
        """Return the trainings of this home, newest first."""
        return [each for each in runs.list_runs(self.home) if each.kind == runs.TRAIN]

    def run(self, name: str) -> runs.Run:
        """Return one run by its name."""
        if not name:
            raise RunError("no run is chosen", hint="Choose a run in the table.")
        return runs.open_run(name, self.home)

    def check_offered(self, name: str, offered: list[str]) -> None:
        """Refuse an empty name, and where strangers type them names that are not listed."""
        if not name and name not in offered:
            raise ModelError("no model is chosen", hint=f"Choose one of {', '.join(offered)}.")
        if self.mode != "local" and name not in offered:
            raise ModelError(
                f'"{name}" is not offered here',
                hint=f"Choose one of {', '.join(offered)}, or run the app on your own machine.",
            )

    def _model(self, name: str, loading: settings.Loading) -> LanguageModel:
        """Return a language model, loaded at most once while it is in use."""
        return self._models.get((name, loading), lambda: load_language_model(name, loading=loading))

    def _controller(self, name: str) -> Controller:
        """Return a controller of the lab, of a run, of a folder or of the Hub."""
        place = self.place_of(name)
        # A resumed run makes its controller anew, under the same name.
        changed = Path(place).stat().st_mtime_ns if name.startswith(RUN_PREFIX) else 0
        return self._controllers.get((place, changed), lambda: load_controller(place))

    def place_of(self, name: str) -> str:
        """Return the folder `run:NAME` or a version stands for, and any other name as it is."""
        if not name.startswith(RUN_PREFIX):
            return place_of(name, self.home)
        status = self.run(name.removeprefix(RUN_PREFIX)).status()
        if not status["controller"]:
            raise RunError(f"{name} has no controller yet", hint="Let it finish, or stop it.")
        return status["controller"]
