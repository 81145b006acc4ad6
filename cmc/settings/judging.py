"""What a person sets to have answers judged."""

from dataclasses import dataclass

from cmc.errors import SettingError
from cmc.settings.checks import check_numbers, checked_choice

JUDGES = ("reference", "local", "endpoint")
# The only variables a judge's key may be read from: whoever may name a judge could otherwise
# have any secret of this machine sent to an address of their choice.
KEY_VARIABLES = (
    "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "AZURE_OPENAI_API_KEY", "CMC_JUDGE_KEY", "GROQ_API_KEY",
    "MISTRAL_API_KEY", "OPENROUTER_API_KEY", "TOGETHER_API_KEY",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class JudgeSettings:
    """Who compares two answers, and how patiently an endpoint is asked.

    Attributes:
        judge: `reference` compares with right answers, offline; `local` asks a language model
            here, `endpoint` an OpenAI-compatible server.
        judge_model: the model's exact name, as the endpoint or this project names it.
        endpoint: its address up to and with `/v1`.
        key_variable: the environment variable that holds the key; the key itself is kept nowhere.
        gold: for `reference`: records with the right answers; empty takes those of the questions.
    """

    judge: str = "reference"
    judge_model: str = "gpt-4-0613"
    endpoint: str = "https://api.openai.com/v1"
    key_variable: str = KEY_VARIABLES[0]
    gold: str = ""
    timeout: float = 60.0  # seconds for one answer
    attempts: int = 5
    longest_wait: float = 60.0  # seconds between two attempts
    seed: int = 0  # decides which answer is shown first

    def __post_init__(self) -> None:
        checked_choice("judge", self.judge, JUDGES)
        checked_choice("key variable", self.key_variable, KEY_VARIABLES)
        ranges = {"timeout": (0.01, 3600), "attempts": (1, 100), "longest_wait": (0, 3600)}
        check_numbers(self, ranges | {"seed": (0, 2**63)})
        if not self.endpoint.startswith(("https://", "http://")) or {*"@?#"} & {*self.endpoint}:
            raise SettingError(
                "the endpoint is no address that starts with http:// or https://, without a key",
                hint="Give it as in https://api.openai.com/v1, and the key in a variable.",
            )

    @property
    def secrets(self) -> tuple[str, ...]:
        """The environment variables that a process which judges must be given."""
        return (self.key_variable,) if self.judge == "endpoint" else ()
