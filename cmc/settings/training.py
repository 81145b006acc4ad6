"""What a person sets to train a controller."""

from dataclasses import dataclass

from cmc.errors import SettingError
from cmc.settings.checks import check_numbers, checked_choice
from cmc.settings.limits import OBJECTIVES, ON_DATA_ALONE
from cmc.settings.prompts import checked_prompt_format


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """One press of Start training, or one `cmc train`."""

    template: str = "lab:template"
    data: str = "lab:instruct"
    init: str = ""  # a controller or causal language model to start from; empty: random, small
    objective: str = "sft"
    retain: str = ""  # records whose answers must stay, for forgetting
    refusals: str = ""  # `idk` and `dpo`: a text file, one refusal a line; empty: ours
    columns: str = ""  # FIELD=COLUMN, … where a file names its columns otherwise
    prompt_format: str = "alpaca"  # or `chat`, or a text with {instruction}
    name: str = "controller"
    max_steps: int = 400
    batch_size: int = 16
    learning_rate: float = 4e-3
    warmup_fraction: float = 0.05
    weight_decay: float = 0.01
    beta: float = 0.5  # `npo`, `simnpo`, `dpo`: the smaller, the further an answer is pushed
    max_length: int = 256  # tokens of prompt and answer
    limit: int = 0  # records read at most; 0 is all
    held_out_fraction: float = 0.1
    evaluate_every: int = 50  # steps
    save_every: int = 100  # steps
    seed: int = 0
    hidden_size: int = 96  # of a random controller
    layers: int = 3  # of a random controller

    def __post_init__(self) -> None:
        checked_choice("objective", self.objective, OBJECTIVES)
        checked_prompt_format(self.prompt_format)
        ranges = {"max_steps": (1, 10**7), "batch_size": (1, 4096), "learning_rate": (1e-8, 1)}
        ranges |= {
            "warmup_fraction": (0, 1),
            "weight_decay": (0, 10),
            "beta": (0.001, 100),
        }
        ranges |= {"max_length": (8, 131072), "limit": (0, 10**9), "held_out_fraction": (0, 0.9)}
        ranges |= {"evaluate_every": (1, 10**7), "save_every": (1, 10**7), "seed": (0, 2**32)}
        ranges |= {"hidden_size": (16, 8192), "layers": (1, 128)}
        check_numbers(self, ranges)
        if self.objective not in ON_DATA_ALONE and not self.retain:
            raise SettingError(
                "forgetting needs records to keep", hint="Name a retain file as well as the data."
            )
