"""Ranges and names that several requests share."""

# The machine decides what is sensible; beyond these limits a value is certainly a slip.
STRENGTH_RANGE = (-10.0, 10.0)  # no unit
SLIDER_RANGE = (-1.0, 2.0)  # no unit; what the slider offers, the number box takes the rest
MAX_NEW_TOKENS = 8192
MAX_TARGETS, MAX_STRENGTHS = 8, 12  # compared at once; all strengths of a target are one batch
LEAST_TEMPERATURE = 1e-4  # no unit; below it scores divided by it overflow
TRANSFERS = ("auto", "same", "pm-mined", "cover")
OBJECTIVES = (
    "sft", "grad_ascent", "grad_diff", "kl", "idk", "dpo", "npo", "simnpo", "reverse",
)  # fmt: skip
FORGETTING = tuple(each for each in OBJECTIVES if each != "sft")
ON_DATA_ALONE = ("sft", "grad_ascent")  # all others also need records to retain
PRECISIONS = ("fp32", "bf16")
PROMPT_FORMATS = ("qa", "alpaca", "open-instruct", "plain")
STARTER_TARGET = "lab:byte"
STARTER_CONTROLLER = "lab:instruct"
DEVICE_MAPS = ("", "auto")
