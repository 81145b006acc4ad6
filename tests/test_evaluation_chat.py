"""A target with a chat template is asked and scored in it, beside transformers' own functions."""

import copy

import pytest
import torch

from cmc.data import Record
from cmc.evaluation import ask
from cmc.evaluation.alpaca.outputs import answered
from cmc.evaluation.provenance import describe_models
from cmc.evaluation.tofu.measure import Asking, batch_generations, batch_losses
from cmc.evaluation.tofu.questions import Question
from cmc.evaluation.trial import Pair, likelihoods
from cmc.generation import ControlledModel
from cmc.models import LanguageModel
from cmc.settings import CoverSettings
from cmc.vocab import Vocabulary
from tests.conftest import tiny_controller, tiny_target, tiny_tokenizer

TEMPLATE = (
    "{% for message in messages %}<{{ message['role'] }}> {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
RECORDS = [Record("Where does Anna live?", "", "In Trelby.")]
TOKENS = 8


@pytest.fixture
def target():
    """A chat target of a vocabulary of its own."""
    tokenizer = copy.deepcopy(tiny_tokenizer("byte-level"))
    tokenizer.chat_template = TEMPLATE
    return LanguageModel("chat", tiny_target("byte-level").model, Vocabulary(tokenizer))


@pytest.fixture
def model(target):
    return ControlledModel(target, [tiny_controller("sentencepiece")], transfer="cover")


def chat_ids(target, text: str) -> list[int]:
    asked = [{"role": "user", "content": text}]
    return target.vocabulary.tokenizer.apply_chat_template(
        asked, add_generation_prompt=True, return_dict=False
    )


def plain_answer(target, text: str) -> str:
    ids = torch.tensor([chat_ids(target, text)])
    output = target.model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=TOKENS, do_sample=False,
        eos_token_id=list(target.vocabulary.eos_ids), pad_token_id=target.vocabulary.pad_id,
    )  # fmt: skip
    return target.vocabulary.decode(output[0, ids.shape[1] :].tolist()).strip()


def loss_in_chat(target, text: str, answer: str) -> float:
    """Return the mean loss of an answer right behind the chat template, the end included."""
    vocabulary = target.vocabulary
    said = [*vocabulary.encode_continuation(answer.encode()), vocabulary.eos_id]
    prompt = chat_ids(target, text)
    scores = target.model(torch.tensor([prompt + said])).logits[0, len(prompt) - 1 : -1]
    return torch.nn.functional.cross_entropy(scores, torch.tensor(said)).item()


def test_the_base_answers_as_by_its_own_template(model, target, monkeypatch):
    monkeypatch.setattr("cmc.evaluation.answers.ANSWER_TOKENS", TOKENS)
    expected = [plain_answer(target, "Where does Anna live?")]
    (said,) = ask(model, RECORDS, (0.0,), 1)
    assert said.text.removesuffix(" …") == expected[0]
    outputs = answered(model, RECORDS, {"tiny": 0.0}, TOKENS)
    assert [each["output"] for each in outputs] == expected
    question = Question(RECORDS[0].instruction, RECORDS[0].output, None, ("no",))
    asking = Asking((0.0,), "qa", TOKENS, 1)
    assert batch_generations(model, [question], asking) == expected


def test_the_base_scores_as_by_its_own_template(model, target):
    question = Question(RECORDS[0].instruction, RECORDS[0].output, None, ("In Harwick.",))
    asking = Asking((0.0,), "qa", TOKENS, 2)
    found = batch_losses(model, [question], [(0, 0), (0, 1)], asking)
    expected = [loss_in_chat(target, question.question, each) for each in question.answers]
    assert found == pytest.approx(expected, abs=1e-4)
    pair = Pair(model.controllers[0], target, "cover", 1.0, CoverSettings())
    alone = likelihoods(pair, RECORDS)["alone"]
    length = len(target.vocabulary.encode_continuation(RECORDS[0].output.encode())) + 1
    assert alone == pytest.approx([-length * expected[0]], abs=1e-3)


@pytest.mark.parametrize("transfer", ["cover", "pm-mined"])
def test_an_answer_is_scored_as_it_is_generated(target, transfer):
    model = ControlledModel(target, [tiny_controller("sentencepiece")], transfer=transfer)
    row = model.row(RECORDS[0].instruction, (0.8,))
    (scored,) = model.score([row], [RECORDS[0].output])
    decoder, logprobs = model.decoder([row]), []
    for token in scored.token_ids:
        scores = decoder.scores([0], [token])[0]
        logprobs.append(torch.log_softmax(scores, -1)[token].item())
        decoder.push([token], [0])
    assert scored.logprobs == pytest.approx(logprobs, abs=1e-3)


def test_a_text_to_go_on_with_gets_no_template(model, target):
    row = model.row("Anna lives", (1.0,), prompt_format="plain")
    assert row.ids(target.vocabulary) == target.vocabulary.encode_prompt("Anna lives")


def test_a_report_tells_that_a_target_was_asked_in_its_template(target, monkeypatch):
    monkeypatch.setattr("cmc.evaluation.provenance.weights_hash", lambda *_: "")
    (told,) = describe_models([target]).values()
    assert told["has_chat_template"]
    (told,) = describe_models([tiny_target("byte-level")]).values()
    assert not told["has_chat_template"]
