"""AlpacaEval's published ranking prompt, and how an answer to it is read."""

import re

# From AlpacaEval (github.com/tatsu-lab/alpaca_eval, Apache-2.0), the prompt of the annotator
# alpaca_eval_gpt4, to the letter: verdicts can be compared with published ones only so.
SYSTEM = "You are a helpful assistant, that ranks models by the quality of their answers."
PROMPT = '''\
I want you to create a leaderboard of different of large-language models. To do so, I will give \
you the instructions (prompts) given to the models, and the responses of two models. Please rank \
the models based on which responses would be preferred by humans. All inputs and outputs should \
be python dictionaries.

Here is the prompt:
{
    "instruction": """{instruction}""",
}

Here are the outputs of the models:
[
    {
        "model": "model_1",
        "answer": """{output_1}"""
    },
    {
        "model": "model_2",
        "answer": """{output_2}"""
    }
]

Now please rank the models by the quality of their answers, so that the model with rank 1 has the \
best output. Then return a list of the model names and ranks, i.e., produce the following output:
[
    {'model': <model-name>, 'rank': <model-rank>},
    {'model': <model-name>, 'rank': <model-rank>}
]

Your response must be a valid Python dictionary and should contain nothing else because we will \
directly execute it in Python. Please provide the ranking that the majority of humans would give.'''
MAX_TOKENS = 100  # of an answer, as published
_FIELDS = re.compile(r"\{(instruction|output_1|output_2)\}")
_ENTRY = re.compile(r"\{[^{}]*\}")
_MODEL = re.compile(r"""["']model["']\s*:\s*["'](model_[12])["']""")
_RANK = re.compile(r"""["']rank["']\s*:\s*["']?([12])\b""")


def ranking_messages(instruction: str, first: str, second: str) -> list[dict[str, str]]:
    """Return the published prompt for two answers, as messages of a conversation."""
    values = {"instruction": instruction, "output_1": first, "output_2": second}
    # In one pass: what an answer holds is never taken for a place to fill.
    filled = _FIELDS.sub(lambda place: values[place[1]], PROMPT)
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": filled}]


def read_ranking(text: str) -> float | None:
    """Return 1 if the first answer shown has rank 1, 2 if the second, 1.5 for equal ranks.

    The names decide, not the order in which the models are listed. None for anything that is no
    ranking of the two models.

    >>> read_ranking("[{'model': 'model_2', 'rank': 1}, {'model': 'model_1', 'rank': 2}]")
    2.0
    >>> read_ranking("Both are fine.") is None
    True
    """
    ranks: dict[str, int] = {}
    for entry in _ENTRY.findall(text[:10_000]):
        model, rank = _MODEL.search(entry), _RANK.search(entry)
        if model and rank:
            if model[1] in ranks:
                return None  # it ranks one model twice
            ranks[model[1]] = int(rank[1])
    if set(ranks) != {"model_1", "model_2"}:
        return None
    difference = ranks["model_1"] - ranks["model_2"]
    return 1.5 if difference == 0 else 2.0 if difference > 0 else 1.0
