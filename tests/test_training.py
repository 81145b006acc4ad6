import itertools
import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, LlamaConfig, LlamaForCausalLM

from cmc.data import Example, token_batch
from cmc.errors import DataError, ModelError, TrainingError, VocabMismatch
from cmc.settings import TrainSettings
from cmc.training import objectives, train_controller, two_heads
from cmc.training.rows import Frozen, SteeredScores, batch_labels, label_owners
from cmc.training.split import SplitModel
from cmc.training.template import FrozenTemplate

SIZE = 260  # bytes, bos, eos, pad, unk
BOS, EOS, PAD = 256, 257, 258


def byte_vocabulary(fingerprint="bytes"):
    return SimpleNamespace(
        size=SIZE,
        fingerprint=fingerprint,
        eos_ids=(EOS,),
        eos_id=EOS,
        bos_id=BOS,
        pad_id=PAD,
        encode_prompt=lambda text: [BOS, *text.encode()],
        encode_continuation=list,
    )


def llama(seed, *, hidden=16, vocab=SIZE, layers=1, tied=True):
    torch.manual_seed(seed)
    config = LlamaConfig(
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=2,
        vocab_size=vocab,
        max_position_embeddings=128,
        tie_word_embeddings=tied,
        initializer_range=0.2,
        bos_token_id=BOS,
        eos_token_id=EOS,
    )
    return LlamaForCausalLM(config).eval()


def neox(seed):
    torch.manual_seed(seed)
    config = GPTNeoXConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        vocab_size=SIZE,
        max_position_embeddings=128,
        initializer_range=0.2,
    )
    return GPTNeoXForCausalLM(config).eval()


def template_of(model):
    return SimpleNamespace(
        name="template", model=model, vocabulary=byte_vocabulary(), device=torch.device("cpu")
    )


def controller_of(seed=7, **options):
    return SimpleNamespace(
        name="controller", delta=llama(seed, **options), vocabulary=byte_vocabulary()
    )


def examples(count=5):
    make = np.random.default_rng(0)
    return [
        Example(
            (BOS, *make.integers(0, 256, 2 + row).tolist()),
            (*make.integers(0, 256, 3 + 2 * (row % 3)).tolist(), EOS),
        )
        for row in range(count)
    ]


def plain_scores(template, delta, batch):
    """The oracle: whole logits of both models, one example at a time, numpy-like and slow."""
    losses, base, kl = [], [], []
    for example in batch.examples:
        ids = torch.tensor([example.prompt_ids + example.response_ids])
        with torch.no_grad():
            told = template(input_ids=ids).logits[0, :, :SIZE]
        both = told + delta(input_ids=ids).logits[0, :, :SIZE]
        for place in range(len(example.prompt_ids), ids.shape[1]):
            p, q = told[place - 1].softmax(-1), both[place - 1].softmax(-1)
            losses.append(-q[ids[0, place]].log())
            base.append(-p[ids[0, place]].log())
            kl.append((p * (p / q).log()).sum())
    return torch.stack(losses), torch.stack(base), torch.stack(kl)


def steered(template, delta, batch):
    frozen = FrozenTemplate(template_of(template))
    scores = SteeredScores(delta, SIZE)
    return lambda kind="rows": scores(batch, Frozen(frozen.rows(batch), frozen.split.head), kind)


def gradients(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: each.grad.clone() for name, each in model.named_parameters()}


def write_data(path, count=30):
    with path.open("w") as file:
        for number in range(count):
            record = {"instruction": f"What is {number}?", "output": "blue" * (1 + number % 3)}
            file.write(json.dumps(record) + "\n")
    return path


@pytest.fixture
def data(tmp_path):
    return write_data(tmp_path / "data.jsonl")


def settings_for(data, **options):
    defaults = {
        "data": str(data),
        "prompt_format": "qa",
        "max_steps": 8,
        "batch_size": 4,
        "max_length": 64,
        "learning_rate": 1e-2,
        "evaluate_every": 4,
        "save_every": 3,
    }
    return TrainSettings(**(defaults | options))


# --- objectives -----------------------------------------------------------------------------


def test_sft_loss_is_the_cross_entropy_of_the_sum():
    make = np.random.default_rng(1)
    template, features, matrix = (make.normal(size=each) for each in ((6, 9), (6, 4), (9, 4)))
    labels = make.integers(0, 9, 6)
    total = template + features @ matrix.T
    expected = np.sum(
        [np.log(np.exp(row).sum()) - row[label] for row, label in zip(total, labels, strict=True)]
    )
    base = two_heads.Base(torch.tensor(template), torch.nn.Identity(), torch.tensor(labels))
    rows, head = torch.tensor(features), torch.tensor(matrix)
    loss = two_heads.two_head_sum(two_heads.LOSS, rows, head, base, torch.float64)
    assert float(loss) == pytest.approx(expected, rel=1e-6)


def test_a_log_softmax_around_the_template_changes_neither_loss_nor_gradient():
    make = torch.Generator().manual_seed(2)
    template, features, matrix = (
        torch.randn(*each, generator=make, dtype=torch.float64) for each in ((6, 9), (6, 4), (9, 4))
    )
    labels = torch.tensor([0, 1, 2, 3, 4, 5])
    results = []
    for head in (torch.nn.Identity(), torch.nn.LogSoftmax(-1)):
        rows, delta = (each.clone().requires_grad_() for each in (features, matrix))
        base = two_heads.Base(template, head, labels)
        loss = two_heads.two_head_sum(two_heads.LOSS, rows, delta, base, torch.float64)
        loss.backward()
        results.append((loss.detach(), rows.grad, delta.grad))
    torch.testing.assert_close(results[0], results[1], rtol=1e-12, atol=1e-14)


def test_npo_loss_follows_its_formula():
    controlled, template = np.array([-12.0, -3.0]), np.array([-10.0, -5.0])
    sigmoid = 1 / (1 + np.exp(0.5 * (controlled - template)))
    expected = np.mean(-(2 / 0.5) * np.log(sigmoid))
    loss = objectives.npo_loss(torch.tensor(controlled), torch.tensor(template), 0.5)
    assert float(loss) == pytest.approx(expected, rel=1e-12)


def test_npo_pushes_less_once_an_answer_is_unlikely():
    slopes = []
    for ratio in (0.0, -20.0):
        controlled = torch.tensor([ratio], requires_grad=True)
        objectives.npo_loss(controlled, torch.zeros(1), 0.5).backward()
        slopes.append(float(controlled.grad))
    assert slopes[0] == pytest.approx(1.0)  # at the template it is gradient ascent
    assert 0 < slopes[1] < 1e-3


def test_the_divergence_is_that_of_the_distributions():
    p, q = np.array([0.7, 0.2, 0.1]), np.array([0.1, 0.3, 0.6])
    rows_of = objectives.kl_rows(torch.tensor(np.log(p))[None] + 3, torch.tensor(np.log(q))[None])
    assert float(rows_of) == pytest.approx((p * np.log(p / q)).sum(), rel=1e-12)


# --- label rows and heads -------------------------------------------------------------------


@pytest.mark.parametrize("is_tied", [True, False])
@pytest.mark.parametrize("make", [llama, neox])
def test_two_head_scores_equal_the_plain_formula_in_value_and_gradient(make, is_tied, monkeypatch):
    monkeypatch.setattr(two_heads, "CHUNK_SCORES", 4 * SIZE)  # 4 rows at a time: many chunks
    template, delta = make(1), llama(2, tied=is_tied)
    batch = token_batch(examples(), PAD)
    scored = steered(template, delta, batch)
    losses, base, kl = plain_scores(template, delta, batch)
    scores = scored()
    torch.testing.assert_close(-scores.controlled, losses, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(-scores.template, base, rtol=1e-4, atol=1e-5)
    found = [gradients(delta, -2 * scores.controlled.sum())]
    for kind, expected in (("loss", losses), ("divergence", kl)):
        total = scored(kind)
        assert total.item() == pytest.approx(expected.sum().item(), rel=1e-5)
        found.append(gradients(delta, 2 * total))
    expected = [
        gradients(delta, 2 * plain_scores(template, delta, batch)[number].sum())
        for number in (0, 2)
    ]
    torch.testing.assert_close(found, [expected[0], *expected], rtol=1e-3, atol=1e-4)


def test_padded_output_rows_of_the_template_are_cut_off():
    delta = llama(2)
    batch = token_batch(examples(), PAD)
    padded = llama(1, vocab=SIZE + 60)
    with torch.no_grad():
        padded.get_output_embeddings().weight[SIZE:] += 5  # they would win if they were counted
    scores = steered(padded, delta, batch)()
    torch.testing.assert_close(
        -scores.controlled, plain_scores(padded, delta, batch)[0], rtol=1e-4, atol=1e-5
    )


def test_a_model_that_scales_its_logits_is_scored_by_its_own_logits():
    class Halved(LlamaForCausalLM):
        def forward(self, *args, **options):
            output = super().forward(*args, **options)
            output.logits = output.logits / 2
            return output

    model = Halved(llama(1).config).eval()
    ids = torch.arange(6)[None]
    split = SplitModel(model, SIZE)
    found = split.head(split.features(ids, torch.ones_like(ids))[0])
    torch.testing.assert_close(found, model(input_ids=ids).logits[0])


def test_a_model_with_fewer_rows_than_tokens_is_refused():
    with pytest.raises(ModelError, match="100 output rows for 260 tokens"):
        SplitModel(llama(1, vocab=100), SIZE)


def test_labels_and_owners_are_those_of_the_answers():
    batch = token_batch(examples(3), PAD)
    expected = [each for row in examples(3) for each in row.response_ids]
    owners = [row for row, each in enumerate(examples(3)) for _ in each.response_ids]
    assert batch_labels(batch).tolist() == expected
    assert label_owners(batch).tolist() == owners


# --- template cache -------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_cached_rows_equal_uncached_rows_bit_for_bit(dtype):
    # Large enough that a matrix product's last bits depend on how many rows it has.
    model = template_of(llama(1, layers=2, hidden=128).to(dtype))
    cached, uncached = FrozenTemplate(model), FrozenTemplate(model, cache_bytes=0)
    first, second = examples(40), examples(40)[20:21]  # now without neighbours and padding
    cached.rows(token_batch(first, PAD))
    batch = token_batch(second, PAD)
    model.model.model.forward = None  # whatever comes now comes from memory
    remembered = cached.rows(batch)
    del model.model.model.forward
    assert torch.equal(remembered, uncached.rows(batch))
    assert remembered.dtype == dtype


def test_the_cache_stays_within_its_budget():
    rows_of = sum(len(each.response_ids) for each in examples(5))
    budget = rows_of * 16 * 4 // 2  # half of what all would take in fp32
    frozen = FrozenTemplate(template_of(llama(1)), cache_bytes=budget)
    frozen.rows(token_batch(examples(5), PAD))
    held = sum(each.numel() * 4 for each in frozen._cache.values())
    assert 0 < held <= budget


# --- the loop -------------------------------------------------------------------------------


def test_training_lowers_the_held_out_loss_and_leaves_the_template_alone(data):
    template, controller = template_of(llama(1)), controller_of()
    before = {name: each.clone() for name, each in template.model.state_dict().items()}
    settings = settings_for(data, max_steps=30, learning_rate=2e-2)
    records = list(train_controller(controller, template, settings))
    assert [each.step for each in records] == list(range(1, 31))
    assert records[-1].held_out_controlled < 0.6 * records[-1].held_out_template
    assert {each.held_out_template for each in records if each.held_out_template} == {
        records[-1].held_out_template
    }
    for name, each in template.model.state_dict().items():
        assert torch.equal(each, before[name])
    assert all(each.grad is None for each in template.model.parameters())


def test_the_first_loss_is_the_plain_loss_of_the_first_batch(data):
    template, controller = template_of(llama(1)), controller_of()
    settings = settings_for(data, batch_size=64, held_out_fraction=0)
    everything = [
        Example(
            (BOS, *f"Question: What is {number}?\nAnswer:".encode()),
            (*b" " + b"blue" * (1 + number % 3), EOS),
        )
        for number in range(30)
    ]
    losses, _, _ = plain_scores(template.model, controller.delta, token_batch(everything, PAD))
    record = next(train_controller(controller, template, settings))
    assert record.loss == pytest.approx(losses.mean().item(), rel=1e-5)
    assert record.held_out_controlled is None


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(data):
    ends = []
    for seed in (0, 0, 1):
        controller = controller_of()
        list(train_controller(controller, template_of(llama(1)), settings_for(data, seed=seed)))
        ends.append(torch.cat([each.flatten() for each in controller.delta.parameters()]))
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])


def test_learning_rate_warms_up_and_falls_like_a_cosine(data):
    settings = settings_for(data, max_steps=20, warmup_fraction=0.2, learning_rate=1e-3)
    records = list(train_controller(controller_of(), template_of(llama(1)), settings))
    for record in records:
        done = record.step - 1
        factor = done / 4 if done < 4 else 0.5 * (1 + math.cos(math.pi * (done - 4) / 16))
        assert record.learning_rate == pytest.approx(1e-3 * factor, abs=1e-9)


def test_forgetting_raises_the_loss_on_what_is_forgotten_only(tmp_path, data):
    forget = tmp_path / "forget.jsonl"
    forget.write_text('{"instruction": "Who is it?", "output": "Anna"}\n')
    template = template_of(llama(1))
    settings = settings_for(
        forget, objective="npo", retain=str(data), max_steps=40, learning_rate=5e-3
    )
    controller = controller_of()
    records = list(train_controller(controller, template, settings))
    example = Example((BOS, *b"Question: Who is it?\nAnswer:"), (*b" Anna", EOS))
    after, before, _ = plain_scores(template.model, controller.delta, token_batch([example], PAD))
    assert after.mean().item() > before.mean().item() + 1
    assert records[-1].held_out_controlled < records[-1].held_out_template + 0.2


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_within_the_step_and_keeps_the_weights(data, bad, tmp_path):
    controller = controller_of()
    settings = settings_for(data, learning_rate=3e-3, save_every=2)
    training = train_controller(controller, template_of(llama(1)), settings, folder=tmp_path)
    list(itertools.islice(training, 3))
    scores = controller.delta.lm_head.weight  # tied: poison the scores, then look what happens
    with torch.no_grad():
        scores[0, 0] = bad
    before = [each.clone() for each in controller.delta.parameters()]
    with pytest.raises(TrainingError) as caught:
        next(training)
    assert "at step 4 (learning rate 0.0" in str(caught.value)
    assert "step 2" in caught.value.hint
    assert "0.001" in caught.value.hint
    for old, new in zip(before, controller.delta.parameters(), strict=True):
        torch.testing.assert_close(old, new, rtol=0, atol=0, equal_nan=True)
    assert [each.name for each in (tmp_path / "checkpoints").iterdir()] == ["ckpt-00000002"]


def test_another_vocabulary_is_refused_with_a_remedy(data):
    controller = controller_of()
    controller.vocabulary = byte_vocabulary("others")
    with pytest.raises(VocabMismatch) as caught:
        next(train_controller(controller, template_of(llama(1)), settings_for(data)))
    assert "random controller" in caught.value.hint


def test_prompts_that_do_not_fit_are_counted_and_told(tmp_path, data):
    long = tmp_path / "long.jsonl"
    row = json.dumps({"instruction": "x" * 300, "output": "y"})
    long.write_text(data.read_text() + row + "\n")
    settings = settings_for(long, held_out_fraction=0)
    record = next(train_controller(controller_of(), template_of(llama(1)), settings))
    assert "1 record was skipped" in record.message
    only = tmp_path / "only.jsonl"
    only.write_text(row + "\n")
    with pytest.raises(DataError, match="no record fits into 64 tokens"):
        next(
            train_controller(
                controller_of(), template_of(llama(1)), replace(settings, data=str(only))
            )
        )


def test_texts_are_cut_at_the_shorter_context_and_this_is_told(data):
    settings = settings_for(data, max_length=4096)
    record = next(train_controller(controller_of(), template_of(llama(1)), settings))
    assert "cut at 128 tokens" in record.message
