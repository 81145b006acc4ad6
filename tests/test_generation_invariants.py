"""What must hold for every transfer, seen through every face: drawn prompts and strengths."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cmc.generation import ControlledModel, Row
from cmc.models import LanguageModel
from cmc.settings import Sampling
from cmc.vocab import Vocabulary
from tests.conftest import tiny_controller, tiny_target, tiny_tokenizer

CASES = [("same", "sentencepiece"), *((each, f) for each in ("pm-mined", "cover")
                                      for f in ("byte-level", "unigram"))]  # fmt: skip
TOKENS = 4
prompts = st.text("Anna went to the river.?\n12é", min_size=3, max_size=25).filter(str.strip)
strengths = st.sampled_from([-1.5, 0.5, 1.0, 2.0])
few = settings(max_examples=3, deadline=None)


def model_of(transfer: str, family: str, controller=None) -> ControlledModel:
    return ControlledModel(
        tiny_target(family), [controller or tiny_controller("sentencepiece")], transfer=transfer
    )


def by_every_face(model: ControlledModel, prompt: str, strength: float) -> dict[str, list[int]]:
    """Return the greedy tokens of every way to generate, up to the end of the text."""
    row, sampling = Row(prompt, (strength,)), Sampling(max_new_tokens=TOKENS)
    vocabulary = model.target.vocabulary
    (said,) = model.generate([row], sampling)
    chunks = list(model.stream([row], sampling))
    ids = torch.tensor([row.ids(vocabulary)])
    how = {
        "attention_mask": torch.ones_like(ids), "do_sample": False, "max_new_tokens": TOKENS,
        "eos_token_id": list(vocabulary.eos_ids), "pad_token_id": vocabulary.pad_id,
    }  # fmt: skip
    generate, start = model.target.model.generate, ids.shape[1]
    processed = generate(ids, logits_processor=[model.processor([row])], **how)
    custom = generate(
        ids, custom_generate=model.custom_generate, strengths=(strength,), prompts=[prompt], **how
    )
    assert said.text.startswith(chunks[-1].texts[0])
    assert chunks[-1].token_counts == [len(said.token_ids)]
    return {
        "generate": said.token_ids, "processor": processed[0, start:].tolist(),
        "custom_generate": custom[0, start:].tolist(),
    }  # fmt: skip


def scores(model: ControlledModel, prompt: str, strength: float, text: str) -> list[float]:
    return model.score([Row(prompt, (strength,))], [text])[0].logprobs


@pytest.mark.parametrize(("transfer", "family"), CASES)
@few
@given(prompts, strengths)
def test_every_face_says_the_same_and_scores_it_alike(transfer, family, prompt, strength):
    model = model_of(transfer, family)
    said = by_every_face(model, prompt, strength)
    assert len({tuple(each) for each in said.values()}) == 1
    decoder = model.decoder([Row(prompt, (strength,))])
    text = " the river"
    scored = model.score([Row(prompt, (strength,))], [text])[0]
    for token, logprob in zip(scored.token_ids, scored.logprobs, strict=True):
        found = torch.log_softmax(decoder.scores([0], [token]), -1)[0, token].item()
        assert found == pytest.approx(logprob, abs=2e-3)
        decoder.push([token], [0])


@pytest.mark.parametrize(("transfer", "family"), CASES)
@few
@given(prompts)
def test_strength_0_is_the_base_by_every_face(transfer, family, prompt):
    model, base = model_of(transfer, family), ControlledModel(tiny_target(family), [])
    said = by_every_face(model, prompt, 0.0)
    (alone,) = base.generate([Row(prompt, ())], Sampling(max_new_tokens=TOKENS))
    assert all(each == alone.token_ids for each in said.values())
    assert scores(model, prompt, 0.0, " so") == base.score([Row(prompt, ())], [" so"])[0].logprobs
    step = model.decoder([Row(prompt, (0.0,))]).step([0])
    assert torch.equal(step.scores, step.base)


def with_bias(bias: torch.Tensor):
    """Return the tiny controller with something added to the delta's scores everywhere."""
    controller = copy.copy(tiny_controller("sentencepiece"))
    controller.delta = copy.deepcopy(controller.delta)
    controller.delta.get_output_embeddings().bias = torch.nn.Parameter(bias, requires_grad=False)
    return controller


@pytest.mark.parametrize(("transfer", "family"), CASES)
@few
@given(prompts, strengths, st.floats(-20, 20))
def test_a_constant_on_the_delta_changes_nothing_in_any_face(
    transfer, family, prompt, strength, constant
):
    size = tiny_controller("sentencepiece").vocabulary.size
    plain = model_of(transfer, family)
    moved = model_of(transfer, family, with_bias(torch.full((size,), constant)))
    ours, theirs = (each.decoder([Row(prompt, (strength,))]).scores([0]) for each in (plain, moved))
    torch.testing.assert_close(
        torch.log_softmax(ours, -1), torch.log_softmax(theirs, -1), rtol=1e-3, atol=2e-3
    )
    assert scores(plain, prompt, strength, " the end") == pytest.approx(
        scores(moved, prompt, strength, " the end"), abs=5e-3
    )


@pytest.mark.parametrize("transfer", ["same", "pm-mined", "cover"])
def test_the_end_reaches_every_end_of_the_target_and_no_text(transfer):
    family = "sentencepiece" if transfer == "same" else "byte-level"
    vocabulary = Vocabulary(tiny_tokenizer(family), eos_ids=[17, 40])
    target = LanguageModel("two ends", tiny_target(family).model, vocabulary)
    controller = tiny_controller("sentencepiece")
    bias = torch.zeros(controller.vocabulary.size)
    bias[list(controller.vocabulary.eos_ids)] = 6.0
    # `same` stands for equal vocabularies, whose ends are equal too.
    where = tiny_target(family) if transfer == "same" else target
    plain, ending = (
        ControlledModel(where, [each], transfer=transfer)
        .decoder([Row("Where does Anna live?", (1.0,))])
        .step([0])
        for each in (controller, with_bias(bias))
    )
    gained = (torch.log_softmax(ending.scores, -1) - torch.log_softmax(plain.scores, -1))[0]
    ends = list(where.vocabulary.eos_ids)
    text = [each for each in range(where.rows) if each not in ends]
    assert (gained[ends] > 0.1).all()
    assert (gained[text] <= 1e-3).all()
    if transfer != "same":
        assert len(ends) >= 3
        control = ending.controls[0][0, ends]
        torch.testing.assert_close(control, control[:1].expand(len(ends)))


@pytest.mark.parametrize(("transfer", "family"), CASES)
def test_cutting_what_is_drawn_from_to_one_token_is_greedy_under_control(transfer, family):
    model, rows = model_of(transfer, family), [Row("Anna went", (1.5,)), Row("One day", (-1.0,))]
    greedy = model.generate(rows, Sampling(max_new_tokens=TOKENS))
    for how in ({"top_k": 1}, {"top_p": 1e-9}, {"min_p": 1.0}):
        drawn = model.generate(rows, Sampling(max_new_tokens=TOKENS, temperature=1.7, **how))
        assert [each.token_ids for each in drawn] == [each.token_ids for each in greedy]
