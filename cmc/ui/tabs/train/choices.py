"""What stands in the Train tab, as settings of a run."""

import shlex
from dataclasses import dataclass
from typing import Any

from cmc.arguments import as_options
from cmc.data import prompt_text
from cmc.settings import OBJECTIVES, ON_DATA_ALONE, PROMPT_FORMATS, TrainSettings, checked_choice
from cmc.workspace import Workspace, trainings
from cmc.workspace.trainings import PRIOR

EFFORTS = {"quick": 100, "normal": TrainSettings.max_steps, "thorough": 1200}  # steps
SIZES = {"small": (64, 2), "medium": (TrainSettings.hidden_size, TrainSettings.layers)}
SIZES["large"] = (160, 4)
LIKE_PRIOR = "prior"  # the lab's tiny language model goes on learning; it carries over best
MEANINGS = {
    "sft": "learn the answers",
    "grad_ascent": "forget, nothing is retained",
    "grad_diff": "forget, and retain by the loss",
    "kl": "forget, and stay near the template",
    "idk": "say that it does not know",
    "dpo": "prefer a refusal",
    "npo": "forget gently",
    "simnpo": "forget gently, by length",
    "reverse": "learn, then subtract",
}
# What the lab's own controllers were trained with: data, retain, prompt, learning rate.
LAB_SETS = {
    "sft": ("lab:instruct", "", "qa", TrainSettings.learning_rate),
    "forgetting": ("lab:forget", "lab:retain", "plain", 1e-3),
}


@dataclass(frozen=True, kw_only=True)
class TrainChoices:
    """What stands in the Train tab."""

    template: str
    data: str
    upload: str | None = None
    objective: str = TrainSettings.objective
    retain: str = TrainSettings.retain
    size: str = LIKE_PRIOR
    max_steps: float = TrainSettings.max_steps
    name: str = TrainSettings.name
    init: str = TrainSettings.init
    columns: str = TrainSettings.columns
    prompt_format: str = TrainSettings.prompt_format
    prompt: str = ""  # the format written out; where it was edited, it is the format
    learning_rate: float = TrainSettings.learning_rate
    batch_size: float = TrainSettings.batch_size
    accumulation: float = TrainSettings.accumulation
    max_length: float = TrainSettings.max_length
    held_out_fraction: float = TrainSettings.held_out_fraction
    patience: float = TrainSettings.patience
    watch: str = TrainSettings.watch
    second_template: str = TrainSettings.second_template
    strength_low: float = TrainSettings.strength_low
    strength_high: float = TrainSettings.strength_high
    restraint: float = TrainSettings.restraint
    noise: float = TrainSettings.noise
    seed: float = TrainSettings.seed

    def settings(self, workspace: Workspace, *, keep: bool = True) -> TrainSettings:
        """Return the settings of the run; an uploaded file goes before a named one.

        Args:
            workspace: where the upload is kept.
            keep: whether to keep the upload now, or only to say where it would be.
        """
        checked_choice("size", self.size, (LIKE_PRIOR, *SIZES))
        hidden_size, layers = SIZES.get(self.size, SIZES["medium"])
        place = trainings.keep_upload if keep else trainings.upload_place
        data = str(place(workspace, self.upload)) if self.upload else self.data or ""
        texts = ("template", "retain", "name", "columns", "watch", "second_template")
        same: dict[str, Any] = {name: getattr(self, name) or "" for name in texts}
        if self.objective in ON_DATA_ALONE:
            same["retain"] = ""
        same["init"] = self.init or (PRIOR if self.size == LIKE_PRIOR else "")
        same["prompt_format"] = chosen_prompt(self.prompt_format, self.prompt)
        names = ("objective", "max_steps", "learning_rate", "batch_size", "accumulation")
        names += ("max_length", "held_out_fraction", "patience", "seed")
        names += ("strength_low", "strength_high", "restraint", "noise")
        same |= {name: getattr(self, name) for name in names}
        return TrainSettings(data=data, hidden_size=hidden_size, layers=layers, **same)


def chosen_prompt(prompt_format: str, text: str) -> str:
    """Return the format's name, or the text where a person has changed it."""
    untouched = {"", *map(prompt_text, PROMPT_FORMATS)}
    return prompt_format if (text or "").strip() in untouched else text


def objective_choices() -> list[tuple[str, str]]:
    """Return every objective by what it does."""
    return [(f"{MEANINGS.get(each, each)} ({each})", each) for each in OBJECTIVES]


def lab_set(objective: str, data: str) -> tuple[str, str, str, float] | None:
    """Return the lab's data, retain set, prompt and rate for an objective.

    None where a person has data of their own, or the lab's are there already.
    """
    wanted = LAB_SETS["sft" if objective == "sft" else "forgetting"]
    is_labs = data in {each[0] for each in LAB_SETS.values()}
    return wanted if is_labs and data != wanted[0] else None


def command_line(settings: TrainSettings) -> str:
    """Return the command that trains the same controller."""
    return shlex.join(["python", "-m", "cmc", "train", *as_options(settings)])
