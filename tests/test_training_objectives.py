"""Every objective against a plain implementation, and what training with it does."""

import json
import math

import pytest
import torch

from cmc.controller import load_controller
from cmc.data import Example, Record, read_refusals, refuse_records, token_batch
from cmc.errors import DataError, SettingError, TrainingError
from cmc.evaluation.tofu import evaluate_tofu
from cmc.models import LanguageModel, load_language_model
from cmc.settings import OBJECTIVES, TofuRequest, TrainSettings
from cmc.training import objectives, train_controller
from cmc.training.frozen import frozen_beside
from cmc.training.losses import LOSSES, StepBatches
from cmc.training.material import Material
from cmc.training.step import TrainingState
from cmc.training.template import FrozenTemplate
from tests.conftest import shared
from tests.test_training import BOS, EOS, PAD, SIZE, byte_vocabulary, controller_of, llama

BETA = 0.3


def example(prompt: str, answer: str, *, end: bool = True) -> Example:
    return Example((BOS, *prompt.encode()), (*answer.encode(), *([EOS] * end)))


DATA = [example("Who?", " Anna", end=False), example("Where to?", " Rome", end=False)]
REFUSED = [example("Who?", " No."), example("Where to?", " I cannot say.")]
RETAIN = [example("What?", " A cat."), example("When is it?", " Now."), example("How?", " So.")]


def answer_tables(frozen, delta, each: Example) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """Whole log-probabilities of both models where an answer's tokens are chosen, one example."""
    ids = torch.tensor([each.prompt_ids + each.response_ids])
    with torch.no_grad():
        told = frozen(input_ids=ids).logits[0, :, :SIZE].double()
        both = told + delta(input_ids=ids).logits[0, :, :SIZE].double()
    places = range(len(each.prompt_ids) - 1, ids.shape[1] - 1)
    return (
        torch.stack([told[place].log_softmax(-1) for place in places]),
        torch.stack([both[place].log_softmax(-1) for place in places]),
        list(each.response_ids),
    )


def plain_loss(name: str, frozen, delta) -> float:
    """The formulas, written down once more: sums and means in Python, no batches, no masks."""

    def summed(rows, labels):
        return sum(float(row[label]) for row, label in zip(rows, labels, strict=True))

    def mean_nll(batch):
        tables = [answer_tables(frozen, delta, each) for each in batch]
        tokens = sum(len(labels) for _, _, labels in tables)
        return -sum(summed(after, labels) for _, after, labels in tables) / tokens

    def mean_kl(batch):
        tables = [answer_tables(frozen, delta, each) for each in batch]
        rows = [(p, q) for before, after, _ in tables for p, q in zip(before, after, strict=True)]
        return sum(float((p.exp() * (p - q)).sum()) for p, q in rows) / len(rows)

    def answers(batch):
        found = []
        for each in batch:
            before, after, labels = answer_tables(frozen, delta, each)
            found.append((summed(after, labels), summed(before, labels), len(labels)))
        return found

    def mean_over(values):
        return sum(values) / len(values)

    def log_sigmoid(value):
        return -math.log1p(math.exp(-value))

    forget = answers(DATA)
    ratios = [after - before for after, before, _ in forget]
    better = [after - before for after, before, _ in answers(REFUSED)]
    npo = mean_over([-2 / BETA * log_sigmoid(-BETA * ratio) for ratio in ratios])
    simnpo = mean_over([-2 / BETA * log_sigmoid(-BETA * a / n) for a, _, n in forget])
    pairs = zip(better, ratios, strict=True)
    dpo = mean_over([-log_sigmoid(BETA * (good - bad)) for good, bad in pairs])
    return {
        "sft": lambda: mean_nll(DATA),
        "grad_ascent": lambda: -mean_nll(DATA),
        "grad_diff": lambda: -mean_nll(DATA) + mean_nll(RETAIN),
        "kl": lambda: -mean_nll(DATA) + mean_kl(RETAIN),
        "idk": lambda: mean_nll(DATA) + mean_nll(RETAIN),
        "dpo": lambda: dpo + mean_nll(RETAIN),
        "npo": lambda: npo + mean_kl(RETAIN),
        "simnpo": lambda: simnpo + mean_nll(RETAIN),
        "reverse": lambda: mean_nll(DATA) + mean_kl(RETAIN),
    }[name]()


def settings_of(objective: str, **options) -> TrainSettings:
    return TrainSettings(
        objective=objective, retain="" if objective in ("sft", "grad_ascent") else "retain.jsonl",
        beta=BETA, **options,
    )  # fmt: skip


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_follows_its_formula(name):
    template = LanguageModel("template", llama(1), byte_vocabulary())
    controller = controller_of()
    controller.prior = llama(5)
    material = Material(DATA, RETAIN, [], PAD, (), {})
    beside = frozen_beside(controller, template) if name == "reverse" else template
    state = TrainingState.begin(controller, [FrozenTemplate(beside)], settings_of(name), material)
    batches = StepBatches(
        token_batch(DATA, PAD), token_batch(RETAIN, PAD), token_batch(REFUSED, PAD)
    )
    # `reverse` learns beside the prior, all others beside the template.
    frozen = controller.prior if name == "reverse" else template.model
    loss = LOSSES[name](state, batches).item()
    assert loss == pytest.approx(plain_loss(name, frozen, controller.delta), abs=2e-5)


def test_every_objective_that_can_be_chosen_has_its_loss():
    assert list(LOSSES) == list(OBJECTIVES)


def test_simnpo_has_no_reference_and_dpo_prefers_what_is_wanted():
    said = torch.tensor([-0.1, -9.0], requires_grad=True)
    objectives.simnpo_loss(said, 1.0).backward()
    assert said.grad[0] > said.grad[1] > 0  # pushed down; less, once it is unlikely
    wanted, unwanted = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    objectives.dpo_loss(wanted, unwanted, 0.1).backward()
    assert wanted.grad < 0 < unwanted.grad


def test_forgetting_without_records_to_keep_is_refused():
    with pytest.raises(SettingError, match="records to keep"):
        TrainSettings(objective="simnpo")
    assert TrainSettings(objective="grad_ascent").retain == ""


def test_reverse_needs_a_prior(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"instruction": "a", "output": "b"}\n{"instruction": "c", "output": "d"}\n')
    controller = controller_of()
    controller.prior = None
    template = LanguageModel("template", llama(1), byte_vocabulary())
    settings = TrainSettings(
        objective="reverse", data=str(path), retain=str(path), prompt_format="qa"
    )
    with pytest.raises(TrainingError, match="random controller") as caught:
        next(train_controller(controller, template, settings))
    assert "lab:prior" in caught.value.hint


# --- refusals -------------------------------------------------------------------------------


def test_a_question_always_gets_the_same_refusal_and_questions_differ():
    records = [Record(f"Question {number}?", "", "secret") for number in range(40)]
    refused = refuse_records(records, read_refusals(""))
    assert refused == refuse_records(records, read_refusals(""))
    assert "secret" not in {each.output for each in refused}
    assert len({each.output for each in refused}) > 3


def test_refusals_are_read_line_by_line_and_mistakes_are_told(tmp_path):
    path = tmp_path / "no.txt"
    path.write_text("Never.\n\n  No idea. \n")
    assert read_refusals(str(path)) == ("Never.", "No idea.")
    path.write_text("\n")
    for source, message in ((path, "no refusal"), (tmp_path / "absent.txt", "cannot be read")):
        with pytest.raises(DataError, match=message) as caught:
            read_refusals(str(source))
        assert "one refusal a line" in caught.value.hint


# --- end to end -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", OBJECTIVES)
def test_real_forget_sets_are_learned_and_evaluated_beside_real_weights(name, tmp_path):
    stories = str(shared("models", "stories260K"))
    options = {"refusals": str(shared("tofu", "idontknow.jsonl"))} if name == "idk" else {}
    if name not in ("sft", "grad_ascent"):
        options["retain"] = str(shared("tofu", "retain99.json"))
    settings = TrainSettings(
        template=stories, init=stories, data=str(shared("tofu", "forget01.json")), objective=name,
        prompt_format="open-instruct", limit=12, max_steps=6, batch_size=6, max_length=96,
        learning_rate=2e-3, held_out_fraction=0.2, evaluate_every=100, **options,
    )  # fmt: skip
    template = load_language_model(stories)
    controller = load_controller(stories)
    controller.prior = load_language_model(stories).model
    records = list(train_controller(controller, template, settings))
    assert records[-1].step == 6
    assert all(math.isfinite(record.loss) for record in records)
    assert records[-1].loss < records[0].loss
    controller.save_pretrained(tmp_path / "controller")
    strength = -1.0 if name == "reverse" else 1.0
    asked = TofuRequest(
        target=stories, controllers={str(tmp_path / "controller"): strength}, limit=1,
        data=str(shared("tofu")), forget="forget01", max_new_tokens=4,
        prompt_format="open-instruct",
    )  # fmt: skip
    report = list(evaluate_tofu(asked))[-1].report
    assert set(report["splits"]) == {"forget", "retain", "real_authors", "world_facts"}
    assert 0 <= report["model_utility"] <= 1
    for split in report["splits"].values():
        assert split["n"] == 1
        assert all(0 <= split[part] <= 1 for part in ("probability", "rouge"))


def test_tofu_files_are_read_as_they_are():
    from cmc.data import read_records

    published = json.loads(shared("tofu", "forget01.json").read_text().splitlines()[0])
    record = read_records(shared("tofu", "forget01.json"))[0]
    assert (record.instruction, record.output) == (published["question"], published["answer"])
