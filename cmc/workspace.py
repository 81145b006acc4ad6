"""What all tabs share."""

import json
import shutil
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from cmc import runs, settings
from cmc.controller import Controller, load_controller
from cmc.data import read_records
from cmc.errors import ModelError, RunError, SettingError, TrainingError
from cmc.evaluation import evaluate_transfer
from cmc.generation import Chunk, ControlledModel, Row
from cmc.lab import lab_folder, lab_info
from cmc.models import LanguageModel, load_language_model
from cmc.settings import GenerationRequest, MapRequest, TrainSettings, TransferRequest
from cmc.vocab import VocabMap, Vocabulary, build_map
from cmc.vocab.health import map_summary

Loaded = TypeVar("Loaded")

ASSETS = Path(__file__).resolve().parent.parent / "assets"
RUN_PREFIX = "run:"  # names the controller of a run, without telling where its folder is
UPLOADS = "uploads"
MODES = ("local", "demo", "open-lab")
MAP_TEXT = "Anna Kovac lives in Oslo and works as a painter."
MODELS_KEPT, CONTROLLERS_KEPT, PAIRS_KEPT, MAPS_KEPT = 3, 8, 6, 4


@dataclass(frozen=True, kw_only=True)
class SideBySide:
    """What base and controlled have said so far, from one batch."""

    base: str
    controlled: str
    base_tokens: int
    controlled_tokens: int
    base_seconds: float  # until its last token, as for the controlled
    controlled_seconds: float
    strengths: Mapping[str, float]
    transfers: tuple[str, ...]
    is_finished: bool

    @property
    def is_identical(self) -> bool:
        """Tell whether both rows are the same text in the same number of tokens."""
        return (self.base, self.base_tokens) == (self.controlled, self.controlled_tokens)


@dataclass(frozen=True)
class InspectedMap:
    """One vocab map with both vocabularies and its summary."""

    controller: Vocabulary
    target: Vocabulary
    map: VocabMap
    summary: Mapping[str, Any]


def choose_mode(environment: Mapping[str, str]) -> str:
    """Return `local`; on a public Space `demo`, or `open-lab` where its owner allows training."""
    if not environment.get("SPACE_ID"):
        return "local"
    return "open-lab" if environment.get("ALLOW_PUBLIC_TRAINING") == "1" else "demo"


class Kept(Generic[Loaded]):
    """The last few loaded things, by key; one thread loads at a time."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: OrderedDict[Any, Loaded] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._items)

    def get(self, key: Any, load: Callable[[], Loaded]) -> Loaded:
        """Return the item of `key`, loading it first where it is not kept."""
        with self._lock:
            if key not in self._items:
                self._items[key] = load()
            self._items.move_to_end(key)
            while len(self._items) > self._limit:
                self._items.popitem(last=False)
            return self._items[key]


class Workspace:
    """Loaded models and controllers, runs, and what may be done here."""

    def __init__(self, *, mode: str = "local", home: Path | None = None) -> None:
        self.mode = settings.checked_choice("mode", mode, MODES)
        self.may_train = mode != "demo"
        self.home = home or settings.home()
        self._models: Kept[LanguageModel] = Kept(MODELS_KEPT)
        self._controllers: Kept[Controller] = Kept(CONTROLLERS_KEPT)
        self._pairs: Kept[ControlledModel] = Kept(PAIRS_KEPT)
        self._maps: Kept[InspectedMap] = Kept(MAPS_KEPT)

    def names_of_targets(self) -> list[str]:
        """Return the lab's targets, then its template."""
        info = lab_info()
        return [target["name"] for target in info["targets"]] + [info["template"]["name"]]

    def names_of_templates(self) -> list[str]:
        """Return the template that ships with the app."""
        return [lab_info()["template"]["name"]]

    def names_of_controllers(self) -> list[str]:
        """Return the lab's controllers, then those of the runs that have one, newest first."""
        lab = [_name_of(controller) for controller in lab_info()["controllers"]]
        usable = [run for run in self.all_runs() if run.status()["controller"]]
        return lab + [RUN_PREFIX + run.name for run in usable]

    def names_of_data(self) -> list[str]:
        """Return the lab's sets of records to train on."""
        files = sorted((lab_folder() / "data").glob("*.jsonl"))
        return [f"lab:{file.stem}" for file in files if not file.stem.startswith("held_out")]

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
        model = self.controlled_model(request)
        prompt = model.prompt(request.prompts[0].strip())
        strengths = tuple(request.controllers.values())
        rows = [Row(prompt=prompt, strengths=row) for row in ((0.0,) * len(strengths), strengths)]
        shown = None
        for chunk in model.stream(rows, request.sampling):
            shown = _side_by_side(chunk, shown, request.controllers, model.transfers)
            yield shown
        if shown is not None:
            yield replace(shown, is_finished=True)

    def controlled_model(self, request: GenerationRequest) -> ControlledModel:
        """Return target and controllers of a request together, loaded at most once."""
        self._check_offered(request.target, self.names_of_targets())
        for name in request.controllers:
            self._check_offered(name, self.names_of_controllers())
        key = (request.target, tuple(request.controllers), request.transfer, request.cover)
        return self._pairs.get(key, lambda: self._pair(request))

    def inspect_map(self, request: MapRequest) -> InspectedMap:
        """Build the vocab map of a pair and measure it on a short text."""
        self._check_offered(request.target, self.names_of_targets())
        self._check_offered(request.controller, self.names_of_controllers())
        return self._maps.get(request, lambda: self._inspected(request))

    def evaluate(self, request: TransferRequest) -> Iterator[dict[str, Any]]:
        """Yield the records of a transfer evaluation; the last one is the report."""
        self._check_offered(request.controller, self.names_of_controllers())
        for target in request.targets:
            self._check_offered(target, self.names_of_targets())
        yield from evaluate_transfer(request)

    def report(self) -> dict[str, Any] | None:
        """Return the transfer report that ships with the lab, or None."""
        path = lab_folder() / "report.json"
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None

    def all_runs(self) -> list[runs.Run]:
        """Return the runs of this home, newest first."""
        return runs.list_runs(self.home)

    def start_training(self, request: TrainSettings) -> runs.Run:
        """Check that the data can be read, then start a detached run.

        Raises:
            TrainingError: training is off here.
            DataError: the records cannot be used; nothing was started.
        """
        self._check_training()
        self._check_training_names(request)
        for source in filter(None, (request.data, request.retain)):
            read_records(source, limit=request.limit)
        if request.init.startswith(RUN_PREFIX):
            request = replace(request, init=self._folder_of_run(request.init))
        return runs.start_training(request, self.home)

    def stop_training(self, name: str) -> None:
        """Ask a run to save its controller and end."""
        self._check_training()
        runs.stop(self.run(name))

    def resume_training(self, name: str) -> runs.Run:
        """Go on with a stopped or interrupted run from its last checkpoint."""
        self._check_training()
        return runs.resume(self.run(name))

    def run(self, name: str) -> runs.Run:
        """Return one run by its name."""
        if not name:
            raise RunError("no run is chosen", hint="Choose a run in the table.")
        return runs.open_run(name, self.home)

    def keep_upload(self, path: str | Path) -> Path:
        """Copy an uploaded file to where a run can read it for as long as it needs."""
        self._check_training()
        source = Path(path)
        folder = self.home / UPLOADS
        folder.mkdir(parents=True, exist_ok=True)
        kept = folder / f"{source.parent.name[:16]}-{source.name}"
        shutil.copyfile(source, kept)
        return kept

    def _check_training(self) -> None:
        """Refuse on a public Space whose owner has not allowed training."""
        if not self.may_train:
            raise TrainingError(
                "training is switched off on this public Space",
                hint="Run the app on your own machine, or duplicate the Space "
                "and set ALLOW_PUBLIC_TRAINING=1.",
            )

    def _check_training_names(self, request: TrainSettings) -> None:
        """Let strangers train on what is listed and on what they uploaded, on nothing else."""
        uploads = str(self.home / UPLOADS)
        for source in filter(None, (request.data, request.retain)):
            if not source.startswith(uploads):
                self._check_offered(source, self.names_of_data())
        self._check_offered(request.template, self.names_of_templates())
        self._check_offered(request.init, ["", *self.names_of_controllers()])

    def _check_offered(self, name: str, offered: list[str]) -> None:
        """Refuse names that are not listed where strangers type them."""
        if self.mode != "local" and name not in offered:
            raise ModelError(
                f'"{name}" is not offered here',
                hint=f"Choose one of {', '.join(offered)}, or run the app on your own machine.",
            )

    def _pair(self, request: GenerationRequest) -> ControlledModel:
        """Put a target and its controllers together."""
        controllers = [self._controller(name) for name in request.controllers]
        target = self._model(request.target)
        return ControlledModel(target, controllers, transfer=request.transfer, cover=request.cover)

    def _inspected(self, request: MapRequest) -> InspectedMap:
        """Build and measure a map."""
        controller = self._controller(request.controller).vocabulary
        target = self._model(request.target).vocabulary
        vocab_map = build_map(controller, target, parity=request.parity)
        summary = map_summary(vocab_map, controller, target, MAP_TEXT)
        return InspectedMap(controller, target, vocab_map, summary)

    def _model(self, name: str) -> LanguageModel:
        """Return a language model, loaded at most once while it is in use."""
        return self._models.get(name, lambda: load_language_model(name))

    def _controller(self, name: str) -> Controller:
        """Return a controller of the lab, of a run, of a folder or of the Hub."""
        if not name.startswith(RUN_PREFIX):
            return self._controllers.get(name, lambda: load_controller(name))
        folder = self._folder_of_run(name)
        changed = Path(folder).stat().st_mtime_ns  # a resumed run makes its controller anew
        return self._controllers.get((name, changed), lambda: load_controller(folder))

    def _folder_of_run(self, name: str) -> str:
        """Return the folder of the controller that `run:NAME` stands for."""
        status = self.run(name.removeprefix(RUN_PREFIX)).status()
        if not status["controller"]:
            raise RunError(f"{name} has no controller yet", hint="Let it finish, or stop it.")
        return status["controller"]


def _side_by_side(
    chunk: Chunk,
    before: SideBySide | None,
    strengths: Mapping[str, float],
    transfers: tuple[str, ...],
) -> SideBySide:
    """Turn a chunk of the two rows into what the panes show; a row that ended keeps its time."""
    base, controlled = chunk.texts
    base_tokens, controlled_tokens = chunk.token_counts
    base_goes_on = before is None or base_tokens > before.base_tokens
    controlled_goes_on = before is None or controlled_tokens > before.controlled_tokens
    return SideBySide(
        base=base,
        controlled=controlled,
        base_tokens=base_tokens,
        controlled_tokens=controlled_tokens,
        base_seconds=chunk.seconds if base_goes_on else before.base_seconds,
        controlled_seconds=chunk.seconds if controlled_goes_on else before.controlled_seconds,
        strengths=strengths,
        transfers=transfers,
        is_finished=False,
    )


def _name_of(entry: Any) -> str:
    """Return the name in an entry of the lab's description."""
    return entry["name"] if isinstance(entry, Mapping) else str(entry)
