"""What the lab's models know, what they could learn, how differently they spell."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from cmc.data import Example, bucketed_batches, encode_records, format_prompt, read_records
from cmc.evaluation.answers import ask
from cmc.evaluation.scores import wilson_interval
from cmc.generation import ControlledModel, Row
from cmc.lab.recipes import FINETUNE_RATES, FINETUNE_STEPS
from cmc.lab.world import World
from cmc.models import LanguageModel, load_language_model
from cmc.settings import Sampling
from cmc.vocab import Vocabulary

BATCH = 50


def recall(model: LanguageModel, world: World) -> float:
    """Return the share of facts a model tells when a plain sentence is begun for it."""
    begun = [
        (f"{person.name} {relation.verb}", f" {value}.")
        for person in (*world.people, *world.authors)
        for relation, value in person.facts
    ]
    return _completed(model, begun)


def recall_in_answers(model: LanguageModel, world: World) -> float:
    """Return the share of held-out facts a model tells when question and sentence are begun.

    Nearly the best that control can do: it brings a model to begin the answer, and the fact must
    come from the model itself.
    """
    verbs = {
        relation.sentence(person.name, value): (f"{person.name} {relation.verb}", f" {value}.")
        for person in world.held_out
        for relation, value in person.facts
    }
    begun = []
    for record in read_records("lab:held_out"):
        start, rest = verbs[record.output]
        begun.append((f"{format_prompt('qa', record.instruction)} {start}", rest))
    return _completed(model, begun)


def _completed(model: LanguageModel, begun: Sequence[tuple[str, str]]) -> float:
    """Return the share of begun texts that a model goes on with as expected."""
    alone = ControlledModel(model, [])
    hits = 0
    for start in range(0, len(begun), 4 * BATCH):
        part = begun[start : start + 4 * BATCH]
        said = alone.generate([Row(text, ()) for text, _ in part], Sampling(max_new_tokens=16))
        hits += sum(
            each.text.startswith(rest.strip()) for each, (_, rest) in zip(said, part, strict=True)
        )
    return hits / len(begun)


def finetuned_score(name: str) -> dict[str, Any]:
    """Fine-tune all weights of a model on the instructions; return its best exact match."""
    records = read_records("lab:instruct")
    held_out = read_records("lab:held_out")
    tried = []
    for rate in FINETUNE_RATES:
        model = load_language_model(f"lab:{name}")
        examples, _ = encode_records(records, "qa", model.vocabulary, 256)
        finetune(model, examples, rate, FINETUNE_STEPS)
        answers = list(ask(ControlledModel(model, []), held_out, (), BATCH, "qa"))
        interval = wilson_interval([each.is_exact for each in answers])
        tried.append({
            "exact_match": interval.value, "low": interval.low, "high": interval.high,
            "n": interval.n, "learning_rate": rate, "steps": FINETUNE_STEPS, "batch_size": 32,
            "data": "lab:instruct",
        })  # fmt: skip
    return {"finetuned": max(tried, key=lambda each: each["exact_match"]), "tried": tried}


def finetune(model: LanguageModel, examples: Sequence[Example], rate: float, steps: int) -> None:
    """Train all weights of a model on answers, in place."""
    network = model.model.requires_grad_(True).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.01)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, rate, total_steps=steps, pct_start=0.05
    )
    step, epoch = 0, 0
    while step < steps:
        for batch in bucketed_batches(examples, 32, 0, epoch, model.vocabulary.pad_id):
            if step == steps:
                break
            labels = batch.input_ids.masked_fill(~batch.label_mask.bool(), -100)
            loss = network(
                input_ids=batch.input_ids, attention_mask=batch.attention_mask, labels=labels,
                use_cache=False,
            ).loss  # fmt: skip
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad(set_to_none=True)
            step += 1
        epoch += 1
    network.eval().requires_grad_(False)


def shared_spelling(
    vocabularies: Mapping[str, Vocabulary], texts: Sequence[str]
) -> dict[str, float]:
    """Return, for every ordered pair, the share of running tokens both spell alike, no unit."""
    spans = {
        name: [set(_spans(vocabulary, text)) for text in texts]
        for name, vocabulary in vocabularies.items()
    }
    shares = {}
    for one, ours in spans.items():
        for other, theirs in spans.items():
            if one != other:
                alike = sum(len(a & b) for a, b in zip(ours, theirs, strict=True))
                shares[f"{one} in {other}"] = round(alike / sum(map(len, ours)), 4)
    return shares


def _spans(vocabulary: Vocabulary, text: str) -> list[tuple[int, int]]:
    spans, start = [], 0
    for token in vocabulary.encode_continuation(text.encode()):
        end = start + len(vocabulary.token_bytes[token] or b"")
        spans.append((start, end))
        start = end
    return spans
