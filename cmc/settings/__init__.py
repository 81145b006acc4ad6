"""Names, defaults and ranges of everything a person can set."""

from cmc.settings.benchmarks import AlpacaRequest, LabTableRequest, TofuRequest
from cmc.settings.checks import as_plain, checked_choice, checked_number, checked_whole
from cmc.settings.evaluation import TransferRequest
from cmc.settings.forgetting import ForgettingRequest
from cmc.settings.generation import (
    CompareRequest,
    CoverSettings,
    GenerationRequest,
    Loading,
    Rails,
    Sampling,
)
from cmc.settings.judging import JUDGES, KEY_VARIABLES, JudgeSettings
from cmc.settings.limits import (
    DEVICE_MAPS,
    LEAST_TEMPERATURE,
    MAX_NEW_TOKENS,
    OBJECTIVES,
    ON_DATA_ALONE,
    PRECISIONS,
    PROMPT_FORMATS,
    SLIDER_RANGE,
    STARTER_CONTROLLER,
    STARTER_TARGET,
    STRENGTH_RANGE,
    TRANSFERS,
)
from cmc.settings.places import home, lab_folder, lab_targets
from cmc.settings.priors import RANDOM, SHAPES, PriorSettings, Shape, shape_called
from cmc.settings.prompts import CHAT, checked_prompt_format
from cmc.settings.publishing import PublishRequest, SpaceRequest
from cmc.settings.sweeps import METRICS, CheckRequest, SuiteRequest, SweepRequest
from cmc.settings.training import TrainSettings
from cmc.settings.variants import varied_settings
from cmc.settings.vocabulary import MapRequest

__all__ = [
    "CHAT",
    "DEVICE_MAPS",
    "JUDGES",
    "KEY_VARIABLES",
    "LEAST_TEMPERATURE",
    "MAX_NEW_TOKENS",
    "METRICS",
    "OBJECTIVES",
    "ON_DATA_ALONE",
    "PRECISIONS",
    "PROMPT_FORMATS",
    "RANDOM",
    "SHAPES",
    "SLIDER_RANGE",
    "STARTER_CONTROLLER",
    "STARTER_TARGET",
    "STRENGTH_RANGE",
    "TRANSFERS",
    "AlpacaRequest",
    "CheckRequest",
    "CompareRequest",
    "CoverSettings",
    "ForgettingRequest",
    "GenerationRequest",
    "JudgeSettings",
    "LabTableRequest",
    "Loading",
    "MapRequest",
    "PriorSettings",
    "PublishRequest",
    "Rails",
    "Sampling",
    "Shape",
    "SpaceRequest",
    "SuiteRequest",
    "SweepRequest",
    "TofuRequest",
    "TrainSettings",
    "TransferRequest",
    "as_plain",
    "checked_choice",
    "checked_number",
    "checked_prompt_format",
    "checked_whole",
    "home",
    "lab_folder",
    "lab_targets",
    "shape_called",
    "varied_settings",
]
