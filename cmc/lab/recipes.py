"""What the starter lab is made of: models, controllers, and how long each is trained."""

from cmc.lab.pretrain import Recipe
from cmc.settings import TrainSettings

WORLD_SEED = 0
TEXT_SEED = 1
TEXTS = 12_000
# The prior learns the language from another, larger world, so that it knows nobody of this one.
PRIOR_WORLD = {"seed": 77, "known": 1300, "held_out": 0}
PRIOR_TEXT_SEED = 78
WINDOW = 128  # tokens

TEMPLATE = Recipe(
    architecture="llama", family="sentencepiece", vocab_size=1000, hidden_size=192, layers=4,
    heads=6, intermediate_size=512, steps=900, learning_rate=3e-3, seed=11,
)  # fmt: skip
TWIN = Recipe(
    architecture="llama", family="sentencepiece", vocab_size=1000, hidden_size=224, layers=5,
    heads=7, intermediate_size=608, steps=800, learning_rate=3e-3, seed=12,
)  # fmt: skip
BYTE = Recipe(
    architecture="gpt_neox", family="byte-level", vocab_size=400, hidden_size=224, layers=4,
    heads=7, intermediate_size=896, steps=1600, learning_rate=3e-3, seed=13,
)  # fmt: skip
UNIGRAM = Recipe(
    architecture="qwen2", family="unigram", vocab_size=420, hidden_size=208, layers=4,
    heads=4, intermediate_size=560, steps=1000, learning_rate=3e-3, seed=14,
)  # fmt: skip
PRIOR = Recipe(
    architecture="llama", family="sentencepiece", vocab_size=1000, hidden_size=96, layers=3,
    heads=4, intermediate_size=256, steps=1500, learning_rate=4e-3, seed=15,
)  # fmt: skip
MODELS = {
    "template": TEMPLATE, "twin": TWIN, "byte": BYTE, "unigram": UNIGRAM, "prior": PRIOR,
}  # fmt: skip

CONTROLLERS = {
    "instruct": TrainSettings(
        name="instruct", data="lab:instruct", init="lab:prior", prompt_format="qa",
        max_steps=700, batch_size=32, learning_rate=2e-3, held_out_fraction=0.05,
    ),
    "style": TrainSettings(
        name="style", data="lab:style", init="lab:prior", prompt_format="qa",
        max_steps=500, batch_size=32, learning_rate=2e-3, held_out_fraction=0.05,
    ),
    "forget": TrainSettings(
        name="forget", data="lab:forget", retain="lab:retain", objective="npo", init="lab:prior",
        prompt_format="plain", max_steps=300, batch_size=32, learning_rate=1e-3,
        held_out_fraction=0.05,
    ),
}  # fmt: skip
FORGOTTEN_AUTHORS = 5
ASKED_AUTHORS = 10  # of those kept; the controllers meet no question about the others
FINETUNE_STEPS = 300  # three epochs
# The best rate counts: the yardstick should be hard to beat. 1e-3 was worse on every model.
FINETUNE_RATES = (3e-4,)
