"""Control in generation, against plain transformers and brute force."""

import copy
import itertools
import math
from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM

from cmc.controller import load_controller
from cmc.errors import ControlError, SettingError, VocabMismatch
from cmc.generation import ControlledModel, Row, cover, table
from cmc.generation.decoder import Decoder
from cmc.generation.spelling import Spelling
from cmc.models import load_language_model
from cmc.settings import CoverSettings, Sampling, lab_folder
from cmc.vocab.canonical import split_incomplete
from tests.bench import stand_ins
from tests.conftest import shared, tiny_controller, tiny_target, tiny_vocabulary

FAMILIES = ("sentencepiece", "byte-level", "unigram")
TRANSFERS = ("pm-mined", "cover")
PROMPT = "Question: Where does Anna live?\nAnswer:"
OTHER = "Day: Monday\nPlace: the river. One day Hugo went"
TWELVE = Sampling(max_new_tokens=12)


def controlled(family: str, transfer: str = "auto", **options) -> ControlledModel:
    controller = tiny_controller("sentencepiece")
    return ControlledModel(tiny_target(family), [controller], transfer=transfer, **options)


def controlled_scores(decoder: Decoder, logits: torch.Tensor) -> torch.Tensor:
    """Return what the first controller adds to the first row."""
    control = decoder.mix.controls[0]
    return control.control(logits, [0], control.propose(logits, [0], None))


def plain_generate(family: str, prompt: str, count: int) -> list[int]:
    target = tiny_target(family)
    ids = torch.tensor([target.vocabulary.encode_prompt(prompt)])
    output = target.model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False,
        eos_token_id=list(target.vocabulary.eos_ids), pad_token_id=target.vocabulary.pad_id,
    )  # fmt: skip
    return output[0, ids.shape[1] :].tolist()


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("transfer", TRANSFERS)
def test_strength_zero_is_plain_generate(family, transfer):
    model = controlled(family, transfer)
    rows = [Row(PROMPT, (0.0,)), Row(PROMPT, (1.5,)), Row(OTHER, (0.0,))]
    base, _, other = model.generate(rows, TWELVE)
    assert base.token_ids == plain_generate(family, PROMPT, 12)
    assert other.token_ids == plain_generate(family, OTHER, 12)


@pytest.mark.parametrize("transfer", TRANSFERS)
def test_strength_zero_scores_are_bit_equal(transfer):
    model = controlled("byte-level", transfer)
    with_control = model.decoder([Row(PROMPT, (0.0,)), Row(PROMPT, (1.0,))])
    without = ControlledModel(model.target, []).decoder([Row(PROMPT, ()), Row(PROMPT, ())])
    for token in (5, 9, 40):
        ours, plain = with_control.scores([0, 1]), without.scores([0, 1])
        assert torch.equal(ours[0], plain[0])
        assert not torch.equal(ours[1], plain[1])
        with_control.push([token, token], [0, 1])
        without.push([token, token], [0, 1])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("transfer", TRANSFERS)
def test_a_row_of_a_batch_equals_the_row_alone(family, transfer):
    model = controlled(family, transfer)
    rows = [Row(PROMPT, (1.0,)), Row(OTHER, (-1.0,)), Row(PROMPT, (2.0,))]
    together = model.generate(rows, TWELVE)
    alone = [model.generate([row], TWELVE)[0] for row in rows]
    assert [each.token_ids for each in together] == [each.token_ids for each in alone]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("transfer", TRANSFERS)
def test_a_cached_step_equals_a_fresh_one(family, transfer):
    model = controlled(family, transfer)
    cached = model.decoder([Row(PROMPT, (1.0,))])
    vocabulary = model.target.vocabulary
    text = ' Anna said: "Zürich, 12 — 👍🏽 yes".\n  The end'.encode()
    ids = [each for each in vocabulary.encode_continuation(text) if each not in vocabulary.eos_ids]
    for done in range(len(ids)):
        step = cached.scores([0])
        fresh = model.decoder([Row(PROMPT, (1.0,))])
        logits = fresh.scores([])
        for token in ids[:done]:
            fresh.push([token], [0])
            logits = fresh._target_logits()
        control = controlled_scores(fresh, logits)
        torch.testing.assert_close(step, logits + control, rtol=1e-3, atol=2e-3)
        cached.push([ids[done]], [0])


@pytest.mark.parametrize("transfer", ["same", *TRANSFERS])
def test_a_constant_on_the_delta_changes_nothing(transfer):
    family = "sentencepiece" if transfer == "same" else "byte-level"
    decoder = controlled(family, transfer).decoder([Row(PROMPT, (1.3,))])
    moved = controlled(family, transfer).decoder([Row(PROMPT, (1.3,))])
    reader = moved.mix.controls[0].reader
    forward = reader._networks[0].forward
    reader._networks[0].forward = lambda *each: forward(*each) + 9.0
    for token in (5, 40, 60):
        torch.testing.assert_close(decoder.scores([0]), moved.scores([0]), rtol=1e-4, atol=1e-4)
        decoder.push([token], [0])
        moved.push([token], [0])


def test_unknown_tokens_keep_their_mass():
    model = controlled("unigram", "pm-mined")
    decoder = model.decoder([Row(PROMPT, (1.7,))])
    base = ControlledModel(model.target, []).decoder([Row(PROMPT, ())])
    unknown = torch.from_numpy(model.carriers[0].ids < 0)
    assert unknown.any()
    before = base.scores([0]).softmax(-1)[0, unknown]
    after = decoder.scores([0]).softmax(-1)[0, unknown]
    torch.testing.assert_close(before, after, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("family", FAMILIES)
def test_what_cover_did_not_score_gains_against_nothing(family):
    model = controlled(family, "cover", cover=CoverSettings(target_candidates=4))
    decoder = model.decoder([Row(PROMPT, (1.5,))])
    logits = decoder._target_logits()
    control = controlled_scores(decoder, logits)[0]
    assert (control == control.min()).sum() > control.numel() // 2


def test_equal_vocabularies_make_pm_mined_the_same():
    rows = [Row(PROMPT, (1.0,)), Row(OTHER, (-0.5,))]
    first, second = (
        controlled("sentencepiece", transfer).decoder(rows) for transfer in ("same", "pm-mined")
    )
    for token in (300, 270, 30):
        assert torch.equal(first.scores([0, 1]), second.scores([0, 1]))
        first.push([token, token], [0, 1])
        second.push([token, token], [0, 1])


def test_same_is_the_papers_formula():
    target, controller = tiny_target("sentencepiece"), tiny_controller("sentencepiece")
    decoder = controlled("sentencepiece", "same").decoder([Row(PROMPT, (1.4,))])
    ids = torch.tensor([target.vocabulary.encode_prompt(PROMPT)])
    expected = torch.log_softmax(target.model(ids).logits[:, -1], -1)
    expected = expected + 1.4 * controller.delta(ids).logits[:, -1]
    ours = torch.log_softmax(decoder.scores([0]), -1)
    torch.testing.assert_close(ours, torch.log_softmax(expected, -1), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("transfer", ["same", "pm-mined", "cover"])
def test_padded_rows_get_nothing(transfer):
    controller, target = tiny_controller("sentencepiece"), tiny_target("sentencepiece", rows=448)
    decoder = ControlledModel(target, [controller], transfer=transfer).decoder(
        [Row(PROMPT, (1.0,))]
    )
    control = controlled_scores(decoder, decoder._target_logits())[0]
    padded = control[target.vocabulary.size :]
    assert len(padded) == 48
    least = control.min() if transfer == "cover" else torch.zeros(())
    assert torch.equal(padded, least.expand(48))


def brute_force(pair, ids, said: bytes, more: bytes, strength: float, *, ends=False) -> tuple:
    """Return log p and log q of ways to say `said` and go on with `more`, by the formula.

    Every beginning of the text is spelled by the controller itself and read from scratch, and
    every token of its vocabulary is tried as the last.
    """
    controller, target = pair
    vocabulary = controller.vocabulary
    text = said + more
    own = vocabulary.encode_continuation(text)
    paths = {tuple(own[:depth]) for depth in range(len(own))}
    for end in range(1, len(text)):
        part = tuple(vocabulary.encode_continuation(text[:end]))
        paths |= {part} if vocabulary.spell(part) == text[:end] else set()
    if ends:
        paths = {tuple(own)}
    spelled_by = [(token, each) for token, each in enumerate(vocabulary.token_bytes) if each]

    def is_own(path):
        before = vocabulary.spell(path)
        longer = ((token, before + spelled) for token, spelled in spelled_by)
        return not path or any(
            whole.startswith(text)
            and (
                vocabulary.encode_continuation(whole) == [*path, token]
                or whole.decode("utf-8", "ignore").encode() != whole
            )
            for token, whole in longer
        )

    paths = paths if ends else {path for path in paths if is_own(path)}
    sums = []
    for tuned in (False, True):

        def scores_behind(path, tuned=tuned):
            context = torch.tensor([[*ids, *path]])
            scores = torch.log_softmax(controller.prior(context).logits[0, -1].double(), -1)
            if tuned:
                delta = controller.delta(context).logits[0, -1].double()
                scores = torch.log_softmax(scores + strength * delta, -1)
            return scores

        total = 0.0
        for path in paths:
            walked = sum(scores_behind(path[:i])[token].item() for i, token in enumerate(path))
            scores, before = scores_behind(path), vocabulary.spell(path)
            if ends:
                total += (walked + scores[vocabulary.eos_id]).exp().item()
                continue
            for token, spelled in spelled_by:
                whole = before + spelled
                if not whole.startswith(text):
                    continue
                onward = target.encode_continuation(whole[len(said) :])
                if not more or whole == text or target.token_bytes[onward[0]] == more:
                    total += (walked + scores[token]).exp().item()
        sums.append(torch.tensor(total, dtype=torch.float64).log())
    return tuple(sums)


@pytest.mark.parametrize("said", [b"", b" Ann", "é".encode()[:1]])
@pytest.mark.parametrize(("family", "strength"), [("byte-level", 0.7), ("unigram", -1.0)])
def test_cover_equals_its_formula_token_by_token(family, strength, said):
    settings = CoverSettings(target_candidates=12, controller_candidates=0)
    model = controlled(family, "cover", cover=settings)
    controller, vocabulary = model.controllers[0], model.target.vocabulary
    ids = vocabulary.encode_continuation(said)
    if vocabulary.spell(ids) != said:
        pytest.skip("this family has no tokens for single bytes")
    decoder = model.decoder([Row(PROMPT, (strength,))])
    for token in ids:
        decoder.push([token], [0])
    logits = decoder._target_logits()
    control = controlled_scores(decoder, logits)[0].double()
    pair, context = (controller, vocabulary), controller.vocabulary.encode_prompt(PROMPT)

    def formula(more: bytes, **options) -> torch.Tensor:
        p, q = brute_force(pair, context, said, more, strength, **options)
        p_said, q_said = brute_force(pair, context, said, b"", strength) if said else (0.0, 0.0)
        return (q - q_said) - (p - p_said)

    compared = 0
    for token in logits[0].topk(12).indices.tolist():
        spelled = vocabulary.token_bytes[token]
        if spelled and controller.vocabulary.spell(
            controller.vocabulary.encode_continuation(said + spelled)
        ) == (said + spelled):
            expected = formula(spelled)
            torch.testing.assert_close(control[token], expected, rtol=1e-3, atol=1e-3)
            compared += 1
    assert compared >= 3
    if b"\xc3" not in said:
        expected = formula(b"", ends=True)
        for end in vocabulary.eos_ids:
            torch.testing.assert_close(control[end], expected, rtol=1e-3, atol=1e-3)


def test_a_token_within_a_longer_one_gains_nothing_from_it():
    """What the controller says of " always" is no reason for a target's " a"."""
    spelling = Spelling(tiny_vocabulary("sentencepiece"), tiny_vocabulary("sentencepiece"))
    target = spelling.target
    longer = next(each for each in target.token_bytes if each and len(each) > 3)
    first = target.id_of_bytes[longer[:1]]
    reach = spelling.reach((longer[:1], 0, b""))
    listed = set(spelling.order[reach.start : reach.end].tolist())
    if reach.listed is None:
        places = range(reach.start, reach.end)
        kept = {int(spelling.order[place]) for place in places if reach.fits(place)}
    else:
        kept = set(reach.listed.tolist())
    assert first in kept
    assert target.id_of_bytes[longer] in listed - kept


def test_a_part_of_a_word_holds_every_spelling_of_the_words_it_begins():
    """A word need not be spelled as its beginning is: all the stems together reach it."""
    vocabulary = tiny_vocabulary("sentencepiece")
    spelling = Spelling(vocabulary, vocabulary)
    words = {text for text in vocabulary.token_bytes if text and text[:1] == b" "}
    words |= {b" ferret", b" violet", b" grandmother", " naïvely".encode()}
    split_otherwise = 0
    for word in words:
        tokens = vocabulary.encode_continuation(word)
        for end in range(1, len(word)):
            stems = {stem.ids: stem.done for stem in spelling.stems(word[:end])}
            ends = [len(vocabulary.spell(tokens[: i + 1])) for i in range(len(tokens))]
            last = next(i for i, each in enumerate(ends) if each >= end)
            # The tokens before the one that crosses the end must be one of the stems.
            if vocabulary.encode_continuation(vocabulary.spell(tokens[:last])) == tokens[:last]:
                assert stems[tuple(tokens[:last])] == (ends[last - 1] if last else 0)
            own = vocabulary.encode_continuation(word[:end])
            split_otherwise += own[:last] != tokens[:last]
    assert split_otherwise > 0


def all_coverings(controller, ids, text: bytes, strength: float) -> list[float]:
    """Sum the probability of every sequence of tokens whose bytes begin with `text`."""
    vocabulary = controller.vocabulary
    sums = [0.0, 0.0]
    frontier = [((), 0.0, 0.0)]
    while frontier:
        path, p_walked, q_walked = frontier.pop()
        context = torch.tensor([ids + list(path)])
        p = torch.log_softmax(controller.prior(context).logits[0, -1].double(), -1)
        q = torch.log_softmax(p + strength * controller.delta(context).logits[0, -1].double(), -1)
        rest = text[len(vocabulary.spell(path)) :]
        for token, spelled in enumerate(vocabulary.token_bytes):
            if not spelled:
                continue
            step = (p_walked + p[token].item(), q_walked + q[token].item())
            if spelled.startswith(rest):
                sums = [done + math.exp(each) for done, each in zip(sums, step, strict=True)]
            elif rest.startswith(spelled):
                frontier.append(((*path, token), *step))
    return [math.log(each) for each in sums]


def test_all_coverings_are_never_less_than_the_controllers_own():
    controller = tiny_controller("sentencepiece")
    context = controller.vocabulary.encode_prompt(PROMPT)
    for text in (b" the", b" in Tre", b"s a"):
        own = brute_force((controller, controller.vocabulary), context, text, b"", 1.0)
        for ours, total in zip(own, all_coverings(controller, context, text, 1.0), strict=True):
            assert total >= ours - 1e-9


@pytest.mark.parametrize("transfer", TRANSFERS)
def test_streaming_gives_the_same_text_and_no_broken_character(transfer):
    model = controlled("byte-level", transfer)
    rows = [Row(PROMPT, (0.0,)), Row(OTHER, (1.0,))]
    sampling = Sampling(max_new_tokens=40, temperature=1.0, seed=3)
    chunks = list(model.stream(rows, sampling))
    whole = model.generate(rows, sampling)
    assert chunks[-1].token_counts == [len(each.token_ids) for each in whole]
    for text, each in zip(chunks[-1].texts, whole, strict=True):
        assert each.text.startswith(text)
    for before, after in itertools.pairwise(chunks):
        for earlier, later in zip(before.texts, after.texts, strict=True):
            assert later.startswith(earlier)


@pytest.mark.parametrize("transfer", TRANSFERS)
def test_the_order_of_controllers_does_not_matter(transfer):
    one, other = tiny_controller("sentencepiece"), tiny_controller("unigram", seed=8)
    target = tiny_target("byte-level")
    forth, back = (
        ControlledModel(target, pair, transfer=transfer).decoder([Row(PROMPT, strengths)])
        for pair, strengths in (((one, other), (1.0, -0.5)), ((other, one), (-0.5, 1.0)))
    )
    for token in (5, 40, 60):
        torch.testing.assert_close(forth.scores([0]), back.scores([0]), rtol=1e-4, atol=1e-4)
        forth.push([token], [0])
        back.push([token], [0])


def test_what_no_controller_knows_keeps_its_mass():
    pair = [tiny_controller("sentencepiece"), tiny_controller("sentencepiece", seed=6)]
    model = ControlledModel(tiny_target("unigram"), pair, transfer="pm-mined")
    base = ControlledModel(model.target, []).decoder([Row(PROMPT, ())]).scores([0])
    moved = model.decoder([Row(PROMPT, (1.2, 0.7))]).scores([0])
    unknown = torch.from_numpy(model.carriers[0].ids < 0)
    before, after = base.softmax(-1)[0, unknown], moved.softmax(-1)[0, unknown]
    torch.testing.assert_close(before, after, rtol=1e-4, atol=1e-7)


def test_two_controllers_at_strengths_that_cancel_are_the_base():
    target, controller = tiny_target("sentencepiece"), tiny_controller("sentencepiece")
    model = ControlledModel(target, [controller, controller])
    ours, base = model.generate([Row(PROMPT, (0.8, -0.8)), Row(PROMPT, (0, 0))], TWELVE)
    assert ours.token_ids == base.token_ids


def test_scoring_nothing_is_nothing_and_too_much_is_refused():
    model = controlled("byte-level", "cover")
    assert model.score([], []) == []
    with pytest.raises(SettingError, match="1 prompts and 2 responses"):
        model.score([Row(PROMPT, (1.0,))], ["a", "b"])
    with pytest.raises(SettingError, match="exceed the 256 tokens"):
        model.score([Row(PROMPT, (1.0,))], ["word " * 300])


def test_sampling_follows_the_probabilities():
    model = controlled("sentencepiece")
    scores = model.decoder([Row(PROMPT, (1.0,))]).scores([0])
    expected = scores.softmax(-1)[0]
    top = expected.argmax().item()
    hits = 0
    for seed in range(300):
        sampling = Sampling(max_new_tokens=1, temperature=1.0, seed=seed)
        hits += model.generate([Row(PROMPT, (1.0,))], sampling)[0].token_ids == [top]
    spread = (300 * expected[top] * (1 - expected[top])).sqrt()
    assert abs(hits - 300 * expected[top]) < 4 * spread


def test_scores_are_those_of_generation():
    model = controlled("byte-level", "cover")
    greedy = model.generate([Row(PROMPT, (1.0,))], Sampling(max_new_tokens=6))[0]
    decoder = model.decoder([Row(PROMPT, (1.0,))])
    text = model.target.vocabulary.decode(greedy.token_ids)
    scored = model.score([Row(PROMPT, (1.0,)), Row(OTHER, (1.0,))], [text, " a"])[0]
    for token, logprob in zip(scored.token_ids, scored.logprobs, strict=True):
        forced = torch.log_softmax(decoder.scores([0], [token]), -1)[0, token]
        assert logprob == pytest.approx(forced.item(), abs=1e-3)
        decoder.push([token], [0])


def test_a_text_longer_than_the_controllers_context_goes_on_and_says_so():
    model = controlled("byte-level", "cover")
    model.target = replace(model.target, model=with_longer_context())
    long = "One day Anna went to the river. " * 30
    sampling = Sampling(max_new_tokens=6)
    (row,) = model.generate([Row(long, (1.0,))], sampling)
    assert row.token_ids
    assert row.is_windowed
    (short, base) = model.generate([Row(PROMPT, (1.0,)), Row(long, (0.0,))], sampling)
    assert not short.is_windowed
    assert not base.is_windowed  # no controller was asked


def with_longer_context():
    model = tiny_target("byte-level").model
    longer = AutoModelForCausalLM.from_config(replace_context(model.config, 4096))
    longer.load_state_dict(model.state_dict())
    return longer.eval()


def replace_context(config, length):
    changed = copy.deepcopy(config)
    changed.max_position_embeddings = length
    return changed


def test_impossible_requests_say_what_to_do():
    model = controlled("byte-level", "cover")
    with pytest.raises(SettingError, match="exceed the 256 tokens"):
        model.generate([Row("word " * 400, (0.0,))], TWELVE)
    with pytest.raises(SettingError, match="2 strengths for 1 controllers"):
        model.generate([Row(PROMPT, (0.0, 1.0))], TWELVE)
    with pytest.raises(VocabMismatch, match="different vocabularies"):
        controlled("byte-level", "same")


def test_damaged_weights_stop_with_a_clear_error():
    controller = tiny_controller("sentencepiece", seed=5)
    controller.delta.get_output_embeddings().weight[3] = float("nan")
    model = ControlledModel(tiny_target("sentencepiece"), [controller])
    with pytest.raises(ControlError, match="no numbers"):
        model.generate([Row(PROMPT, (1.0,))], TWELVE)


@pytest.mark.skipif(not (lab_folder() / "lab.json").is_file(), reason="there is no starter lab")
def test_a_trained_controller_loses_little_by_its_own_tokenization():
    """What `cover` leaves out, other ways to cut the same text, weighs next to nothing."""
    controller = load_controller("lab:instruct")
    prompt = controller.vocabulary.encode_prompt("Question: Where does Yara Eklund live?\nAnswer:")
    for said, text in (
        (b"", b" Yara"),
        (b" Yara Eklund", b" liv"),
        (b" Yara Eklund lives", b" in"),
    ):
        context = prompt + controller.vocabulary.encode_continuation(said)
        own = brute_force((controller, controller.vocabulary), context, text, b"", 1.0)
        whole = all_coverings(controller, context, text, 1.0)
        gains = [float(q - p) for p, q in (own, whole)]
        assert gains[0] == pytest.approx(gains[1], abs=0.01)


@pytest.mark.parametrize("said", [b"", b" a", "é".encode()[:1], " 日本".encode()[:-1]])
@pytest.mark.parametrize("name", ["llama3", "mistral_v1"])
def test_every_token_of_a_large_vocabulary_can_be_scored(name, said):
    """Also one that its own tokenizer never writes there, and half a character."""
    for each in (name, "llama2"):
        shared("tokenizers", each)
    shared("alpaca_eval")
    small = stand_ins.controller(hidden=96, layers=1)
    big = stand_ins.target(name, hidden=64, layers=1)
    model, vocabulary = ControlledModel(big, [small], transfer="cover"), big.vocabulary
    tokens = [i for i, spelled in enumerate(vocabulary.token_bytes) if spelled]
    halves = [i for i in tokens if split_incomplete(vocabulary.token_bytes[i])[1]]
    for token in [*tokens[:: len(tokens) // 20], *halves[:: len(halves) // 20]]:
        decoder = model.decoder([Row("The cat sat", (1.0,))])
        for before in vocabulary.encode_continuation(said):
            decoder.mix.push({0: before})
        step = decoder.step([0], [token])
        assert step.scores.isfinite().all()


@pytest.mark.skipif(not (lab_folder() / "lab.json").is_file(), reason="there is no starter lab")
@pytest.mark.parametrize("name", ["lab:byte", "lab:unigram"])
def test_what_is_not_computed_hardly_counts(name, monkeypatch):
    model = ControlledModel(load_language_model(name), [load_controller("lab:instruct")])
    ids = model.target.vocabulary.encode_continuation(b" Yara Eklund lives in Kestrel.")

    def shifts() -> torch.Tensor:
        decoder, found = model.decoder([model.row("Where does Yara Eklund live?", (1.0,))]), []
        for token in ids:
            step = decoder.step([0], [token])
            found.append(step.controls[0][0, decoder.mix.controls[0]._asked[0].candidates])
            decoder.push([token], [0])
        return torch.cat(found)

    found = shifts()
    monkeypatch.setattr(cover, "NEGLIGIBLE", 1e-300)
    monkeypatch.setattr(table, "SLIGHT", 1e-300)
    torch.testing.assert_close(found, shifts(), atol=0.02, rtol=0)
