"""Every way to use control gives the same text; what cannot work says so."""

import copy

import pytest
import torch

from cmc.controller import load_controller
from cmc.errors import CmcError, ControlError, SettingError
from cmc.generation import ControlledModel, Row
from cmc.models import LanguageModel
from cmc.settings import Sampling
from cmc.vocab import Vocabulary
from tests.conftest import (
    ARCHITECTURES,
    tiny_controller,
    tiny_network,
    tiny_target,
    tiny_tokenizer,
    tiny_vocabulary,
)

PROMPT = "Question: Where does Anna live?\nAnswer:"
OTHER = "Day: Monday\nPlace: the river. One day Hugo went"
CASES = [("same", "sentencepiece"), *((each, f) for each in ("pm-mined", "cover")
                                      for f in ("byte-level", "unigram"))]  # fmt: skip
TEXTS = {
    "emoji": " 👨‍👩‍👧‍👦 and 👍🏽 🇫🇷",
    "Thai": " สวัสดีครับ ผมชื่ออันนา",
    "Arabic": " مرحبا، اسمي آنا",
    "code": "\n\tdef f(x):\n\t\treturn [x**2 for _ in '“é”']\n",
}


def controlled(transfer: str, family: str) -> ControlledModel:
    return ControlledModel(
        tiny_target(family), [tiny_controller("sentencepiece")], transfer=transfer
    )


def by_transformers(model: ControlledModel, rows: list[Row], **options) -> list[list[int]]:
    ids = [row.ids(model.target.vocabulary) for row in rows]
    longest, pad = max(map(len, ids)), model.target.vocabulary.pad_id
    inputs = torch.tensor([[pad] * (longest - len(each)) + each for each in ids])
    mask = torch.tensor([[0] * (longest - len(each)) + [1] * len(each) for each in ids])
    options = {"do_sample": False, "max_new_tokens": 12} | options
    said = model.target.model.generate(
        inputs, attention_mask=mask, logits_processor=[model.processor(rows)],
        eos_token_id=list(model.target.vocabulary.eos_ids), pad_token_id=pad, **options,
    )  # fmt: skip
    return said[:, longest:].tolist()


@pytest.mark.parametrize(("transfer", "family"), CASES)
@pytest.mark.parametrize("strength", [0.0, 1.5])
def test_transformers_own_generate_says_the_same(transfer, family, strength):
    model = controlled(transfer, family)
    rows = [Row(PROMPT, (strength,)), Row(OTHER, (-1.0,))]
    ours = model.generate(rows, Sampling(max_new_tokens=12))
    theirs = by_transformers(model, rows)
    for each, ids in zip(ours, theirs, strict=True):
        assert ids[: len(each.token_ids)] == each.token_ids


def test_beams_and_assistants_are_refused():
    model = controlled("cover", "byte-level")
    with pytest.raises(ControlError, match="2 texts, control was prepared for 1"):
        by_transformers(model, [Row(PROMPT, (1.0,))], num_beams=2)
    with pytest.raises(ControlError, match="token by token"):
        by_transformers(model, [Row(PROMPT, (1.0,))], prompt_lookup_num_tokens=3)


def test_a_processor_serves_one_call():
    model = controlled("cover", "byte-level")
    used = model.processor([Row(PROMPT, (1.0,))])
    ids = torch.tensor([model.target.vocabulary.encode_prompt(PROMPT)])
    used(ids, torch.zeros(1, model.target.rows))
    with pytest.raises(ControlError, match="new processor"):
        used(ids, torch.zeros(1, model.target.rows))


@pytest.mark.parametrize("script", TEXTS)
@pytest.mark.parametrize("transfer", ["pm-mined", "cover"])
def test_a_stream_shows_no_broken_character(script, transfer, monkeypatch):
    """The target is made to write a given text; only whole characters are shown on the way."""
    model = controlled(transfer, "byte-level")
    ids = model.target.vocabulary.encode_continuation(TEXTS[script].encode())
    told = iter(ids)
    monkeypatch.setattr("cmc.generation.controlled.Sampler.choose", lambda *_: [[next(told)]])
    shown = [
        chunk.texts[0]
        for chunk in model.stream([Row(PROMPT, (1.0,))], Sampling(max_new_tokens=len(ids)))
    ]
    assert shown[-1] == TEXTS[script].removeprefix(" ")
    for text in shown:
        assert "\ufffd" not in text
        assert shown[-1].startswith(text)


@pytest.mark.parametrize("architecture", [*ARCHITECTURES.values(), "mistral", "gemma", "phi"])
@pytest.mark.parametrize("transfer", ["pm-mined", "cover"])
def test_strength_0_is_the_base_and_batches_are_rows_on_every_architecture(architecture, transfer):
    vocabulary = tiny_vocabulary("byte-level")
    network = tiny_network(vocabulary.size, architecture=architecture, seed=4)
    target = LanguageModel("tiny", network, vocabulary)
    model = ControlledModel(target, [tiny_controller("sentencepiece")], transfer=transfer)
    rows, sampling = [Row(PROMPT, (0.0,)), Row(OTHER, (1.0,))], Sampling(max_new_tokens=8)
    together = [each.token_ids for each in model.generate(rows, sampling)]
    alone = [model.generate([row], sampling)[0].token_ids for row in rows]
    base = ControlledModel(target, []).generate([Row(PROMPT, ())], sampling)[0].token_ids
    assert together == alone
    assert together[0] == base


def test_a_chat_target_reads_its_own_template_and_the_controller_its_own():
    tokenizer = copy.deepcopy(tiny_tokenizer("byte-level"))
    tokenizer.chat_template = (
        "{% for m in messages %}<user>{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}<bot>{% endif %}"
    )
    target = LanguageModel("chat", tiny_target("byte-level").model, Vocabulary(tokenizer))
    model = ControlledModel(target, [tiny_controller("sentencepiece")])
    row = model.row("Where does Anna live?", (1.0,))
    assert target.vocabulary.decode(row.target_ids) == "<user>Where does Anna live?<bot>"
    follower = model.decoder([row]).mix.controls[0].reader.followers[0]
    assert follower.ids == model.controllers[0].vocabulary.encode_prompt(PROMPT)
    assert follower.pending == b" "
    (said,) = model.generate([row], Sampling(max_new_tokens=6))
    scored = model.decoder([row])
    assert scored.scores([0]).argmax().item() == said.token_ids[0]
    plain = controlled("cover", "byte-level")
    assert plain.row("Where does Anna live?", (1.0,)) == Row(PROMPT, (1.0,))


def test_a_plain_causal_model_is_a_controller(tmp_path):
    tiny_network(tiny_vocabulary("sentencepiece").size).save_pretrained(tmp_path)
    tiny_tokenizer("sentencepiece").save_pretrained(tmp_path)
    model = ControlledModel(tiny_target("byte-level"), [load_controller(str(tmp_path))])
    assert model.controllers[0].prior is None
    (said,) = model.generate([model.row("Who is Anna?", (1.0,))], Sampling(max_new_tokens=4))
    assert said.token_ids


def test_a_controller_with_a_damaged_tokenizer_is_refused(tmp_path):
    tiny_network(tiny_vocabulary("sentencepiece").size).save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"version": "1.0", "model": {"type"', "utf-8")
    with pytest.raises(CmcError, match="tokenizer"):
        load_controller(str(tmp_path))


def test_exhausted_memory_and_scores_that_are_no_numbers_are_told_and_passed_over(monkeypatch):
    model, sampling = controlled("cover", "byte-level"), Sampling(max_new_tokens=2)
    network = model.target.model

    def no_memory(**_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    forward = network.forward
    monkeypatch.setattr(network, "forward", no_memory)
    with pytest.raises(ControlError, match="too little memory"):
        model.generate([Row(PROMPT, (1.0,))], sampling)

    def no_numbers(**inputs):
        output = forward(**inputs)
        output.logits[..., 3] = float("nan")
        return output

    monkeypatch.setattr(network, "forward", no_numbers)
    with pytest.raises(ControlError, match="no numbers"):
        model.generate([Row(PROMPT, (1.0,))], sampling)
    monkeypatch.undo()
    assert model.generate([Row(PROMPT, (1.0,))], sampling)[0].token_ids


def by_custom_generate(model: ControlledModel, prompts: list[str], strength: float, **options):
    vocabulary = model.target.vocabulary
    ids = [vocabulary.encode_prompt(prompt) for prompt in prompts]
    longest, pad = max(map(len, ids)), vocabulary.pad_id
    said = model.target.model.generate(
        torch.tensor([[pad] * (longest - len(each)) + each for each in ids]),
        attention_mask=torch.tensor(
            [[0] * (longest - len(each)) + [1] * len(each) for each in ids]
        ),
        custom_generate=model.custom_generate, strengths=(strength,), pad_token_id=pad,
        eos_token_id=list(vocabulary.eos_ids),
        **{"do_sample": False, "max_new_tokens": 12} | options,
    )  # fmt: skip
    return said[:, longest:].tolist()


@pytest.mark.parametrize(("transfer", "family"), CASES)
@pytest.mark.parametrize("strength", [0.0, 1.5])
def test_generate_with_our_loop_says_the_same(transfer, family, strength):
    model = controlled(transfer, family)
    ours = model.generate(
        [Row(PROMPT, (strength,)), Row(OTHER, (strength,))], Sampling(max_new_tokens=12)
    )
    for each, ids in zip(ours, by_custom_generate(model, [PROMPT, OTHER], strength), strict=True):
        assert ids[: len(each.token_ids)] == each.token_ids


def test_generate_with_our_loop_samples_several_answers_and_refuses_beams():
    model = controlled("cover", "byte-level")
    torch.manual_seed(0)
    several = by_custom_generate(
        model, [PROMPT], 1.0, do_sample=True, num_return_sequences=3, temperature=1.5
    )
    assert len({tuple(each) for each in several}) > 1
    with pytest.raises(ControlError, match="2 beams"):
        by_custom_generate(model, [PROMPT], 1.0, num_beams=2)
    ids = torch.tensor([[5]])
    for prompts in ([PROMPT, OTHER], PROMPT):
        with pytest.raises(SettingError, match="do not share out"):
            model.target.model.generate(ids, custom_generate=model.custom_generate,
                                        strengths=(1.0,), prompts=prompts)  # fmt: skip
    other = tiny_network(model.target.rows, seed=11)
    with pytest.raises(ControlError, match="another model"):
        other.generate(torch.tensor([[5]]), custom_generate=model.custom_generate,
                       strengths=(1.0,), pad_token_id=0)  # fmt: skip


def test_memory_that_runs_out_in_the_controller_is_told_and_passed_over(monkeypatch):
    model, sampling = controlled("cover", "byte-level"), Sampling(max_new_tokens=2)
    before = model.generate([Row(PROMPT, (1.0,))], sampling)

    def no_memory(*_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate")

    monkeypatch.setattr("cmc.generation.quick.QuickLlama.hidden", no_memory)
    with pytest.raises(ControlError, match="too little memory to go on with the controller"):
        model.generate([Row(PROMPT, (1.0,))], sampling)
    monkeypatch.undo()
    assert model.generate([Row(PROMPT, (1.0,))], sampling) == before
