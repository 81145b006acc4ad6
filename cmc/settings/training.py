"""What a person sets to train a controller."""

from dataclasses import dataclass

from cmc.errors import SettingError
from cmc.settings.checks import check_numbers, checked_choice
from cmc.settings.limits import OBJECTIVES, ON_DATA_ALONE, PRECISIONS
from cmc.settings.priors import RANDOM, shape_called
from cmc.settings.prompts import checked_prompt_format


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """One press of Start training, or one `cmc train`."""

    template: str = "lab:template"
    data: str = "lab:instruct"
    init: str = ""  # a controller, a causal language model, or random:SIZE; empty: random, small
    objective: str = "sft"
    retain: str = ""  # records whose answers must stay, for forgetting
    refusals: str = ""  # `idk` and `dpo`: a text file, one refusal a line; empty: ours
    columns: str = ""  # FIELD=COLUMN, … where a file names its columns otherwise
    prompt_format: str = "alpaca"  # or `chat`, or a text with {instruction}
    name: str = "controller"
    max_steps: int = 400
    batch_size: int = 16
    accumulation: int = 1  # parts a batch is computed in: less memory, the same loss
    precision: str = "fp32"  # of the delta's matrix products; bf16 is for GPUs
    learning_rate: float = 4e-3
    warmup_fraction: float = 0.05
    weight_decay: float = 0.01
    beta: float = 0.5  # `npo`, `simnpo`, `dpo`: the smaller, the further an answer is pushed
    strength_low: float = 1.0  # each example is learned at a strength drawn
    strength_high: float = 1.0  # between the two, so that the slider is where training was
    second_template: str = ""  # of the same vocabulary; the two take turns, batch by batch
    restraint: float = 0.0  # weight of KL(template || controlled), which keeps the shift small
    noise: float = 0.0  # on the template's features, in parts of their spread
    max_length: int = 256  # tokens of prompt and answer
    limit: int = 0  # records read at most; 0 is all
    held_out_fraction: float = 0.1
    evaluate_every: int = 50  # steps
    save_every: int = 100  # steps
    patience: int = 0  # measurements without a new least held-out loss before it stops; 0: never
    watch: str = ""  # a target whose held-out loss under control is watched instead
    spike: float = 10.0  # a gradient this many times its usual norm skips its batch; 0: none
    max_skips: int = 3  # batches in a row whose loss or gradient is not finite
    cache_gigabytes: float = 8.0  # of templates' features kept on disk for later runs; 0: none
    seed: int = 0
    hidden_size: int = 96  # of a random controller
    layers: int = 3  # of a random controller

    def __post_init__(self) -> None:
        checked_choice("objective", self.objective, OBJECTIVES)
        checked_choice("precision", self.precision, PRECISIONS)
        checked_prompt_format(self.prompt_format)
        if not self.data.strip():  # as a path it would be the working folder
            raise SettingError("no data is named", hint="Name a file, a folder or a Hub id.")
        ranges = {"max_steps": (1, 10**7), "batch_size": (1, 4096), "learning_rate": (1e-8, 1)}
        ranges |= {
            "warmup_fraction": (0, 1),
            "weight_decay": (0, 10),
            "beta": (0.001, 100),
        }
        ranges |= {"max_length": (8, 131072), "limit": (0, 10**9), "held_out_fraction": (0, 0.9)}
        ranges |= {"evaluate_every": (1, 10**7), "save_every": (1, 10**7), "seed": (0, 2**32)}
        ranges |= {"hidden_size": (16, 8192), "layers": (1, 128), "accumulation": (1, 4096)}
        ranges |= {"strength_low": (0, 10), "strength_high": (0.01, 10), "patience": (0, 10**6)}
        ranges |= {"spike": (0, 10**6), "max_skips": (0, 1000), "cache_gigabytes": (0, 10**5)}
        ranges |= {"restraint": (0, 1000), "noise": (0, 10)}
        check_numbers(self, ranges)
        if self.init.startswith(RANDOM):
            shape_called(self.init.removeprefix(RANDOM))
        self._check_strengths()
        self._check_early_stopping()
        if self.second_template and self.objective == "reverse":
            raise SettingError(
                "reverse learns beside the prior, no template takes turns with it",
                hint="Leave the second template empty.",
            )
        if self.objective not in ON_DATA_ALONE and not self.retain:
            raise SettingError(
                "forgetting needs records to keep", hint="Name a retain file as well as the data."
            )

    def _check_strengths(self) -> None:
        if self.strength_low > self.strength_high:
            raise SettingError(
                f"strength low {self.strength_low:g} is above strength high {self.strength_high:g}",
                hint="Give the lower end first.",
            )

    def _check_early_stopping(self) -> None:
        if self.patience and self.objective != "sft":
            raise SettingError(
                f"{self.objective} does not lower the held-out loss, which patience waits for",
                hint="Set patience to 0.",
            )
        if (self.patience or self.watch) and not self.held_out_fraction:
            raise SettingError(
                "nothing is held out to stop by", hint="Raise held_out_fraction, as to 0.1."
            )
