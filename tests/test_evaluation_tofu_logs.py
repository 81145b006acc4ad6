"""TOFU logs as others write them: other sizes, orders, names, parts that are missing or broken."""

import contextlib
import json
import math

import pytest

from cmc.errors import CmcError, DataError
from cmc.evaluation.tofu import read_log, report_log
from cmc.evaluation.tofu.items import SHORT
from cmc.evaluation.tofu.report import split_values
from tests.conftest import shared

FULL, RETAIN = "llama2_7b_full_forget10", "llama2_7b_retain90"


def log_of(name: str):
    return read_log(shared("tofu_logs", name))


def test_the_order_of_items_and_of_keys_does_not_matter(tmp_path):
    stated = json.loads(shared("tofu_logs", FULL, "TOFU_EVAL.json").read_text("utf-8"))
    turned = {key: stated[key] for key in reversed(stated)}
    key = "forget_Q_A_PERT_Prob"
    values = turned[key]["value_by_index"]
    turned[key] = {**turned[key], "value_by_index": {i: values[i] for i in reversed(values)}}
    (tmp_path / "other_name.json").write_text(json.dumps(turned))
    found = report_log(read_log(tmp_path / "other_name.json"), log_of(RETAIN))
    assert found["forget_quality"] == 4.346199600129006e-25


def locuslab(**changes) -> dict:
    log = {
        "avg_gt_loss": {"0": 1.0, "1": 2.0}, "avg_paraphrased_loss": {"0": 0.5, "1": 1.0},
        "average_perturb_loss": {"0": [1.0, 2.0], "1": [3.0, 1.0]},
        "generated_text": {"0": ["q", "A red fox.", "The red foxes"], "1": ["q", "no", "yes"]},
    }  # fmt: skip
    return log | changes


def test_one_file_of_locuslab_is_enough_and_recalls_are_worked_out(tmp_path):
    path = tmp_path / "eval_log_forget.json"
    path.write_text(json.dumps(locuslab()))
    report = report_log(read_log(path), read_log(tmp_path))
    forget = report["splits"]["forget"]
    assert forget["probability"] == pytest.approx((math.exp(-1) + math.exp(-2)) / 2)
    ratios = [math.exp(0.5 - 1.5), math.exp(1.0 - 2.0)]
    assert forget["truth_ratio"] == pytest.approx(sum(ratios) / 2)
    assert forget["rouge"] == pytest.approx((2 / 3 + 0) / 2)
    assert (report["model_utility"], report["forget_quality"]) == (None, 1.0)
    assert "retain rouge" in report["model_utility_reason"]


def test_values_a_log_lacks_are_left_out_and_counted(tmp_path):
    path = tmp_path / "eval_log_forget.json"
    log = locuslab(avg_gt_loss={"0": 1.0, "1": None}, generated_text={})
    path.write_text(json.dumps(log | {"average_perturb_loss": {"0": [1.0, 2.0]}}))
    found = report_log(read_log(path))["splits"]["forget"]
    assert found["intervals"]["probability"]["n"] == 1
    assert found["intervals"]["truth_ratio"]["n"] == 1
    assert found["rouge"] is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[1]", "a list"), ('{"a": 1}', "no TOFU log"), ("{", "broken JSON at line 1"),
        ('{"forget_Q_A_Prob": {"agg_value": 1}}', "no value_by_index"),
        ('{"avg_gt_loss": {}}', "of which one it does not say"),
        ('{"eval_log.json": {"avg_gt_loss": {}}}', 'no "average_perturb_loss"'),
    ],
)  # fmt: skip
def test_other_files_are_refused_in_words(tmp_path, text, says):
    (tmp_path / "log.json").write_text(text)
    with pytest.raises(DataError, match=says) as caught:
        report_log(read_log(tmp_path / "log.json"))
    assert caught.value.hint


def metric(**values) -> dict:
    """Return a metric of open-unlearning with these values for each of five items."""
    items = {str(index): {name: value(index) for name, value in values.items()}
             for index in range(5)}  # fmt: skip
    return {"agg_value": 0.5, "value_by_index": items}


def unlearning() -> dict:
    """Return a small log with all that open-unlearning writes for TOFU."""
    log = {}
    for split, short in SHORT.items():
        ratio = "forget_truth_ratio" if split == "forget" else f"{short}_Truth_Ratio"
        right = metric(prob=lambda i: 0.5 + i / 20, avg_loss=lambda i: -math.log(0.5 + i / 20))
        wrong = metric(prob=lambda _: [0.1, 0.2], avg_loss=lambda _: [2.3, 1.6])
        log |= {
            f"{short}_Q_A_Prob": right, f"{short}_Q_A_PERT_Prob": wrong,
            f"{short}_Q_A_ROUGE": metric(
                rougeL_recall=lambda i: i / 4, input=lambda i: f"q{i}",
                ground_truth=lambda _: "a b", generation=lambda i: "a b" if i == 4 else "c",
            ),
            ratio: metric(score=lambda i: 0.2 + i / 10),
        }  # fmt: skip
        if split in ("forget", "retain"):
            log[f"{short}_Q_A_PARA_Prob"] = right
        else:
            log[f"{short}_Q_A_Prob_normalised"] = metric(prob=lambda _: 0.6)
    return log | {"model_utility": {"agg_value": 0.5}, "privleak": {"agg_value": -3.0}}


def read(tmp_path, log, name: str = "some_run_forget05.json") -> dict:
    (tmp_path / name).write_text(json.dumps(log))
    found = read_log(tmp_path / name)
    return report_log(found, found)


def test_other_sizes_and_names_are_read_as_well(tmp_path):
    report = read(tmp_path, unlearning())
    assert {split["n"] for split in report["splits"].values()} == {5}
    assert report["splits"]["retain"]["probability"] == pytest.approx(0.6)
    assert report["splits"]["world_facts"]["rouge"] == pytest.approx(0.5)
    assert report["model_utility"] is not None
    assert report["stated"] == {"model_utility": 0.5}
    # Items in a list instead of by index, and of another number in one split.
    log = unlearning()
    for part in log.values():
        if isinstance(part.get("value_by_index"), dict):
            part["value_by_index"] = list(part["value_by_index"].values())
    for key in [key for key in log if key.startswith("wf")]:
        log[key]["value_by_index"] = log[key]["value_by_index"][:3]
    found = read(tmp_path, log)
    assert found["splits"]["forget"] == report["splits"]["forget"]
    assert found["splits"]["world_facts"]["n"] == 3


def test_every_part_may_be_missing_and_the_report_says_what_cannot_be_had(tmp_path):
    whole, needed = unlearning(), {f"{short}_Q_A_{part}" for short in ("retain", "ra", "wf")
                                   for part in ("ROUGE",)} | {"retain_Q_A_Prob"}  # fmt: skip
    for key in whole:
        report = read(tmp_path, {name: part for name, part in whole.items() if name != key})
        if key in needed:
            split = next(name for name, short in SHORT.items() if key.startswith(f"{short}_"))
            assert report["model_utility"] is None
            assert split in report["model_utility_reason"]
        else:  # worked out from the others, or taken as the log states it
            assert report["model_utility"] is not None, key
    only = {key: part for key, part in whole.items() if key.startswith("forget")}
    report = read(tmp_path, only)
    assert (report["model_utility"], report["splits"]["retain"]["n"]) == (None, 0)
    for split in ("retain", "real_authors", "world_facts"):
        assert split in report["model_utility_reason"]


BROKEN = [
    None, [], "x", 3, {"0": None}, {"0": "x"}, {"0": [1]}, {"0": {}}, [None], [[]],
    {"a": {"prob": "x", "avg_loss": None, "rougeL_recall": {}, "score": [1]}},
    {"0": {"prob": 0.0, "avg_loss": 1e9, "score": 0.0, "rougeL_recall": 1}},
    {"0": {"prob": [], "avg_loss": []}}, {"0": {"prob": [0, 0], "avg_loss": [1e3, 1e3]}},
    {"0": {"rougeL_recall": 1, "input": None, "ground_truth": 3, "generation": ["a"]}},
]  # fmt: skip


@pytest.mark.parametrize("broken", BROKEN, ids=repr)
def test_whatever_is_broken_gives_values_or_a_sentence(tmp_path, broken):
    for key in ("forget_Q_A_Prob", "retain_Q_A_PARA_Prob", "ra_Q_A_PERT_Prob", "wf_Q_A_ROUGE",
                "forget_truth_ratio", "ra_Q_A_Prob_normalised"):  # fmt: skip
        log = unlearning()
        log[key]["value_by_index"] = broken
        (tmp_path / "log.json").write_text(json.dumps(log))
        with contextlib.suppress(CmcError):  # and nothing else may be raised
            found = read_log(tmp_path / "log.json")
            for split in found.splits:
                values = split_values(found, split)
                assert all(((each >= 0) & (each <= 1)).all() for each in values.values())


def test_an_item_that_is_no_record_is_named(tmp_path):
    log = unlearning()
    log["forget_Q_A_Prob"]["value_by_index"] = {"7": "x"}
    with pytest.raises(DataError, match=r"item 7 of forget_Q_A_Prob in log\.json is no record"):
        read(tmp_path, log, "log.json")


def test_a_single_log_of_locuslab_is_known_by_its_name_whatever_its_folder(tmp_path):
    log = {f"results/ds_size300/{name}": locuslab()
           for name in ("eval_log.json", "eval_log_forget.json")}  # fmt: skip
    (tmp_path / "eval_log_aggregated.json").write_text(json.dumps(log))
    report = report_log(read_log(tmp_path))
    assert {split: found["n"] for split, found in report["splits"].items()} == {
        "forget": 2, "retain": 2, "real_authors": 0, "world_facts": 0
    }  # fmt: skip
    assert "real_authors" in report["model_utility_reason"]
