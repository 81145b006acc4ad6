"""TOFU: published figures from published logs, and our own formulas against plain sums."""

import csv
import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from cmc.__main__ import main
from cmc.errors import DataError
from cmc.evaluation.repeat import compare_reports, repeat_report
from cmc.evaluation.texts import is_refusal, rouge_l_recall
from cmc.evaluation.tofu import evaluate_tofu, read_log, report_log
from cmc.evaluation.tofu.formulas import forget_quality, model_utility, truth_ratio, truth_scores
from cmc.evaluation.tofu.measure import Asking, batch_losses, scoring_batches
from cmc.evaluation.tofu.questions import Question, read_questions
from cmc.generation import ControlledModel, Row
from cmc.settings import TofuRequest, lab_folder
from tests.conftest import shared, tiny_controller, tiny_target, tiny_tokenizer

FULL, RETAIN = "llama2_7b_full_forget10", "llama2_7b_retain90"


def log_of(name: str, file: str = ""):
    return read_log(shared("tofu_logs", name, file) if file else shared("tofu_logs", name))


def printed(capsys, *arguments: str) -> dict:
    assert main(["evaluate", "tofu", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_open_unlearnings_figures_come_out_to_the_last_digit(capsys):
    log, retain = (shared("tofu_logs", name, "TOFU_EVAL.json") for name in (FULL, RETAIN))
    report = printed(capsys, "--log", str(log), "--retain-log", str(retain))
    assert report["model_utility"] == 0.6275553508047139
    assert report["forget_quality"] == 4.346199600129006e-25
    stated = json.loads(log.read_text("utf-8"))
    assert report["splits"]["forget"]["truth_ratio"] == pytest.approx(
        stated["forget_truth_ratio"]["agg_value"], rel=1e-14
    )
    assert report["splits"]["real_authors"]["probability"] == pytest.approx(
        stated["ra_Q_A_Prob_normalised"]["agg_value"], rel=1e-14
    )
    # The real authors' and facts' texts are there too: every stated recall comes out again.
    assert report["rouge_recomputed"] == {"n": 1017, "different": 0}
    interval = report["model_utility_interval"]
    assert interval["low"] < report["model_utility"] < interval["high"]
    assert interval["n"] == 617


@pytest.mark.parametrize(("name", "row"), [("full", 0), ("retain90", 1)])
def test_locuslabs_table_comes_out_to_six_digits(name, row):
    report = report_log(log_of(f"locuslab_llama2_7b_{name}", "eval_log_aggregated.json"))
    table = list(csv.DictReader(shared("tofu_logs", "locuslab_leaderboard_llama_10p.csv").open()))
    columns = {"retain": "Retain", "real_authors": "Real Authors", "world_facts": "Real World",
               "forget": "Forget"}  # fmt: skip
    parts = {"probability": "Prob.", "rouge": "ROUGE", "truth_ratio": "Truth Ratio"}
    for split, column in columns.items():
        for part, begin in parts.items():
            published = float(table[row][f"{begin} {column}"])
            assert report["splits"][split][part] == pytest.approx(published, abs=5e-7)
    assert report["model_utility"] == pytest.approx(float(table[row]["Model Utility"]), abs=5e-7)
    assert report["rouge_recomputed"] == {"n": 817, "different": 0}
    assert report["forget_quality"] is None  # never 0


def test_locuslabs_forget_quality_needs_the_retain_models_log():
    log, retain = (log_of(f"locuslab_llama2_7b_{name}") for name in ("full", "retain90"))
    assert report_log(log, retain)["forget_quality"] == pytest.approx(1.834066e-21, rel=1e-6)
    same = report_log(log, log)
    assert same["forget_quality"] == 1
    assert "by construction" in same["forget_quality_reason"]


def test_a_summary_is_told_as_stated():
    report = report_log(log_of(FULL, "TOFU_SUMMARY.json"))
    assert report["model_utility"] == 0.6275553508047139
    assert "summary" in report["model_utility_reason"]
    assert report["splits"]["forget"]["rouge"] is None
    with pytest.raises(DataError, match="no truth ratios"):
        report_log(log_of(FULL, "TOFU_SUMMARY.json"), log_of(RETAIN))


def test_formulas_equal_plain_sums():
    ratio = truth_ratio([1.0], [[2.0, 4.0]])
    assert ratio[0] == pytest.approx(math.exp(-3) / math.exp(-1))
    both = np.array([0.25, 4.0, 0.0])
    np.testing.assert_allclose(truth_scores(both, is_forget=True), [0.25, 0.25, 0.0])
    np.testing.assert_allclose(truth_scores(both, is_forget=False), [0.75, 0.0, 1.0])
    assert model_utility([0.5, 1.0]) == pytest.approx(2 / 3)
    assert model_utility([0.5, 0.0]) == 0


def test_forget_quality_is_the_exact_test():
    """Three against three that do not overlap: 2 of the 20 arrangements are so extreme."""
    assert forget_quality([1, 2, 3], [4, 5, 6]) == (pytest.approx(0.1), 1.0)
    a, b = [0.1, 0.7, 0.3, 0.9], [0.2, 0.4, 0.8]
    assert forget_quality(a, b)[0] == pytest.approx(forget_quality(np.log(a), np.log(b))[0])


def test_recall_is_of_the_reference():
    assert rouge_l_recall("x a b", "a b") == 1
    assert rouge_l_recall("a", "a b c d") == 0.25
    assert rouge_l_recall("", "a") == 0


def test_tofus_own_refusals_are_seen_and_its_answers_are_none():
    lines = shared("tofu", "idontknow.jsonl").read_text("utf-8").splitlines()
    assert sum(map(is_refusal, lines)) / len(lines) > 0.95
    answers = [
        json.loads(line)["answer"]
        for line in shared("tofu", "full.json").read_text("utf-8").splitlines()
    ]
    assert sum(map(is_refusal, answers)) / len(answers) < 0.01


QUESTIONS = [
    Question("Where does Anna live?", "In Trelby.", "Trelby it is.", ("Pelham it is.", "No.")),
    Question("Who?", "Nobody knows that.", None, ("x", "a longer wrong answer", "y")),
]


def losses(model, size, strengths=(0.7,)) -> list[list[float]]:
    """Score all answers in batches of a size."""
    asking, found = Asking(strengths, "qa", 8, size), [[0.0] * len(q.answers) for q in QUESTIONS]
    for batch in scoring_batches(model, QUESTIONS, asking):
        scored = batch_losses(model, QUESTIONS, batch, asking)
        for (number, place), loss in zip(batch, scored, strict=True):
            found[number][place] = loss
    return found


@pytest.mark.parametrize("transfer", ["cover", "pm-mined"])
def test_a_batch_scores_as_each_answer_alone_across_vocabularies(transfer):
    model = ControlledModel(
        tiny_target("byte-level"), [tiny_controller("sentencepiece")], transfer=transfer
    )
    one, many = losses(model, 1), losses(model, 7)
    for alone, together in zip(one, many, strict=True):
        assert alone == pytest.approx(together, abs=2e-5)
    # The same by the public score of one text: prompt, a space, the answer, its end.
    prompt = model.prompt("Where does Anna live?")
    score = model.score([Row(prompt, (0.7,))], [" Trelby it is."])[0]
    assert one[0][1] == pytest.approx(-sum(score.logprobs) / len(score.logprobs), abs=2e-5)


@pytest.mark.parametrize("transfer", ["cover", "pm-mined"])
def test_scores_equal_those_without_any_cache_across_vocabularies(transfer):
    """Every token anew: target and controller read all before it from the start."""
    model = ControlledModel(
        tiny_target("byte-level"), [tiny_controller("sentencepiece")], transfer=transfer
    )
    prompt = model.prompt(QUESTIONS[0].question)
    (scored,) = model.score([Row(prompt, (0.7,))], [f" {QUESTIONS[0].answer}"])
    for number, token in enumerate(scored.token_ids):
        fresh, so_far = model.decoder([Row(prompt, (0.7,))]), scored.token_ids[:number]
        for before in so_far:
            fresh.push([before], [0])
        ids = torch.tensor([model.target.vocabulary.encode_prompt(prompt) + list(so_far)])
        logits = model.target.model(ids, use_cache=False).logits[:, -1]
        logprobs = torch.log_softmax(fresh.mix.step(logits, [0], [token]).scores, -1)
        assert scored.logprobs[number] == pytest.approx(logprobs[0, token].item(), abs=2e-3)
    found = -sum(scored.logprobs) / len(scored.logprobs)
    assert losses(model, 4)[0][0] == pytest.approx(found, abs=2e-5)


def test_strength_zero_scores_the_base():
    target = tiny_target("byte-level")
    controlled = ControlledModel(target, [tiny_controller("sentencepiece")])
    assert losses(controlled, 4, (0.0,)) == losses(ControlledModel(target, []), 4, ())


def saved(folder, family: str) -> str:
    tiny_target(family).model.save_pretrained(folder)
    tiny_tokenizer(family).save_pretrained(folder)
    return str(folder)


def tofu_folder(folder, count: int = 3) -> str:
    folder.mkdir()
    rows = [
        {"question": f"Who is {i}?", "answer": f"It is {i}.", "perturbed_answer": ["No.", "Yes."]}
        for i in range(count)
    ]
    for name in ("forget01", "retain", "real_authors", "world_facts"):
        extra = {"paraphrased_answer": "He."} if name in ("forget01", "retain") else {}
        text = "\n".join(json.dumps(row | extra) for row in rows)
        (folder / f"{name}_perturbed.json").write_text(text)
    return str(folder)


def test_a_model_is_measured_and_its_log_says_the_same_when_read_back(tmp_path, capsys):
    tiny_controller("sentencepiece").save_pretrained(tmp_path / "controller")
    arguments = (
        "--target", saved(tmp_path / "target", "byte-level"), "--controller",
        f"{tmp_path / 'controller'}:0.5", "--data", tofu_folder(tmp_path / "tofu"), "--forget",
        "forget01", "--limit", "2", "--max-new-tokens", "4",
    )  # fmt: skip
    report = printed(capsys, *arguments, "--out", str(tmp_path / "out"))
    assert set(report["splits"]) == {"forget", "retain", "real_authors", "world_facts"}
    assert {found["n"] for found in report["splits"].values()} == {2}
    assert report["forget_quality"] is None
    assert report["provenance"]["request"]["forget"] == "forget01"
    kept = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    assert report == {"run": report["run"], **kept}
    again = printed(capsys, "--log", str(tmp_path / "out"), "--retain-log", str(tmp_path / "out"))
    assert again["splits"] == report["splits"]
    assert (again["model_utility"], again["forget_quality"]) == (report["model_utility"], 1.0)
    summary = json.loads((tmp_path / "out" / "TOFU_SUMMARY.json").read_text("utf-8"))
    assert summary["model_utility"] == report["model_utility"]
    assert "forget_quality" not in summary


def asked_for(tmp_path, **changes) -> TofuRequest:
    tiny_controller("unigram").save_pretrained(tmp_path / "controller")
    settings = {
        "target": saved(tmp_path / "target", "byte-level"), "max_new_tokens": 4,
        "forget": "forget01", "controllers": {str(tmp_path / "controller"): 1.0},
        "data": tofu_folder(tmp_path / "tofu", 2), "batch_size": 3,
    }  # fmt: skip
    return TofuRequest(**settings | changes)


def test_a_report_repeated_from_its_provenance_gives_the_same_numbers(tmp_path):
    first = list(evaluate_tofu(asked_for(tmp_path)))[-1].report
    kept = json.loads(json.dumps(first))
    again = list(repeat_report(kept))[-1].report
    assert again["repeated"] == {"same": True, "differences": [], "changed": []}
    assert first["splits"] == again["splits"]
    kept["splits"]["forget"]["rouge"] += 1e-9
    found = list(repeat_report(kept))[-1].report["repeated"]
    assert [each.split(":")[0] for each in found["differences"]] == ["splits.forget.rouge"]


def test_a_run_cut_off_after_any_measurement_goes_on_and_says_the_same(tmp_path):
    request = asked_for(tmp_path)
    *steps, last = evaluate_tofu(request)
    assert [each.done for each in steps] == list(range(1, len(steps) + 1))
    assert {each.total for each in steps} == {len(steps)}
    kept = json.loads(json.dumps([[each.message, each.found] for each in steps]))
    for cut in (1, len(steps) // 2, len(steps) - 1, len(steps)):
        *rest, again = evaluate_tofu(request, dict(kept[:cut]))
        assert [each.message for each in rest] == [each.message for each in steps[cut:]]
        assert compare_reports(last.report, again.report)["same"]


def test_control_is_told_beside_the_base_with_the_difference_and_its_interval(tmp_path):
    request = asked_for(tmp_path)
    report = list(evaluate_tofu(request))[-1].report
    alone = list(evaluate_tofu(replace(request, controllers={})))[-1].report
    assert (alone["base"], alone["differences"]) == (None, None)
    assert report["base"]["splits"] == alone["splits"]
    for split, parts in report["differences"]["splits"].items():
        for part, found in parts.items():
            both = (each["splits"][split][part] for each in (report, alone))
            assert found["value"] == pytest.approx(next(both) - next(both))
            assert found["low"] <= found["value"] <= found["high"]
            assert found["n"] == 2
    # Against itself nothing differs.
    same = list(evaluate_tofu(replace(request, controllers=dict.fromkeys(
        request.controllers, 0.0))))[-1].report  # fmt: skip
    found = [each for parts in same["differences"]["splits"].values() for each in parts.values()]
    assert {(each["low"], each["value"], each["high"]) for each in found} == {(0, 0, 0)}


def test_a_forget_set_that_is_not_there_is_said_with_those_that_are(tmp_path):
    with pytest.raises(DataError, match="no forget99_perturbed") as caught:
        read_questions(tofu_folder(tmp_path / "tofu"), "forget99")
    assert "forget01_perturbed" in caught.value.hint


def test_the_hub_is_asked_for_a_configuration_per_split_and_gives_the_same(tmp_path, monkeypatch):
    """A folder of data files stands in for the Hub; its own loader reads them."""
    import datasets

    folder, asked, load = tofu_folder(tmp_path / "tofu"), [], datasets.load_dataset

    def stand_in(owner, config, *, revision, split, streaming):
        asked.append((owner, config, revision))
        files = f"{folder}/{config}.json"
        return load("json", data_files={split: files}, split=split, streaming=streaming,
                    cache_dir=str(tmp_path / "cache"))  # fmt: skip

    monkeypatch.setattr(datasets, "load_dataset", stand_in)
    found = read_questions("locuslab/TOFU@v1", "forget01", limit=2)
    assert asked == [
        ("locuslab/TOFU", f"{name}_perturbed", "v1")
        for name in ("forget01", "retain", "real_authors", "world_facts")
    ]
    assert found == read_questions(folder, "forget01", limit=2)
    with pytest.raises(DataError, match=r"locuslab/TOFU:forget99_perturbed cannot be read"):
        read_questions("locuslab/TOFU", "forget99")


@pytest.mark.parametrize(("forget", "n"), [("forget01", 40), ("forget05", 200), ("forget10", 400)])
def test_the_published_files_hold_what_tofu_says(forget, n):
    splits = read_questions(str(shared("tofu")), forget)
    sizes = {split: len(questions) for split, questions in splits.items()}
    assert sizes == {"forget": n, "retain": 400, "real_authors": 100, "world_facts": 117}
    assert {len(each.wrong) for each in splits["forget"]} == {5}
    assert {len(each.wrong) for each in splits["world_facts"]} == {3}


@pytest.mark.skipif(not (lab_folder() / "lab.json").is_file(), reason="there is no starter lab")
def test_the_labs_wrong_answers_differ_from_the_right_one_in_one_value_only():
    splits = read_questions("lab", "")
    sizes = {split: len(questions) for split, questions in splits.items()}
    assert sizes == {"forget": 20, "retain": 40, "real_authors": 20, "world_facts": 480}
    for question in (*splits["forget"], *splits["real_authors"][:5], *splits["world_facts"][:5]):
        right = (question.paraphrase or question.answer).split()
        for wrong in question.wrong:
            assert sum(a != b for a, b in zip(right, wrong.split(), strict=True)) == 1
