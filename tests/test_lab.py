"""The starter lab: made from seeds, honest about what it knows, whole on disk."""

import json
import re

import pytest
import torch

from cmc.lab.build import write_data
from cmc.lab.describe import damaged_files, lab_info
from cmc.lab.measure import shared_spelling
from cmc.lab.pretrain import Recipe, make_model, pretrain, windows
from cmc.lab.recipes import FORGOTTEN_AUTHORS, WORLD_SEED
from cmc.lab.texts import documents
from cmc.lab.world import RELATIONS, make_world
from cmc.settings import lab_folder
from tests.conftest import tiny_tokenizer, tiny_vocabulary

needs_lab = pytest.mark.skipif(
    not (lab_folder() / "lab.json").is_file(), reason="there is no starter lab"
)


def test_a_world_follows_from_its_seed():
    assert make_world(seed=3) == make_world(seed=3)
    assert make_world(seed=3) != make_world(seed=4)
    world = make_world(seed=WORLD_SEED)
    names = [person.name for person in (*world.people, *world.authors)]
    assert len(set(names)) == len(names) == 210


def test_plain_texts_never_answer_a_question():
    world = make_world(seed=WORLD_SEED)
    wordings = {
        question.format(name="\0").split("\0")[0]
        for relation in RELATIONS
        for question in relation.questions
    }
    texts = "\n".join(documents(world, seed=5, count=2000))
    names = "|".join(person.name for person in world.people)
    for word in ("Question:", "Answer:"):
        assert word not in texts
    for wording in wordings:
        assert not re.search(rf"{re.escape(wording)}(?:{names})[^.]*\?", texts), wording


def test_held_out_people_are_in_no_training_record(tmp_path):
    world = make_world(seed=WORLD_SEED)
    write_data(world, tmp_path)
    trained = "".join(
        (tmp_path / f"{name}.jsonl").read_text("utf-8")
        for name in ("instruct", "style", "forget", "retain")
    )
    assert not any(person.name in trained for person in world.held_out)
    forgotten = (tmp_path / "forget.jsonl").read_text("utf-8")
    names = [author.name for author in world.authors if author.name in forgotten]
    assert names == [author.name for author in world.authors[:FORGOTTEN_AUTHORS]]


def test_pretraining_follows_from_its_recipe():
    recipe = Recipe(
        architecture="llama", family="sentencepiece", vocab_size=400, hidden_size=32, layers=1,
        heads=2, intermediate_size=48, steps=4, learning_rate=1e-2, seed=5,
    )  # fmt: skip
    tokenizer = tiny_tokenizer("sentencepiece")
    texts = list(documents(make_world(), seed=1, count=50))
    rows = windows(tokenizer, texts, 32)
    losses = [list(pretrain(make_model(recipe, tokenizer), rows, recipe, 8)) for _ in range(2)]
    assert losses[0] == losses[1]
    assert losses[0][-1] < losses[0][0]
    assert rows.shape[1] == 32
    assert (rows == tokenizer.eos_token_id).sum() > 40


def test_equal_vocabularies_share_all_their_spelling():
    texts = list(documents(make_world(), seed=2, count=20))
    one, other = tiny_vocabulary("sentencepiece"), tiny_vocabulary("unigram")
    shares = shared_spelling({"a": one, "b": one, "c": other}, texts)
    assert shares["a in b"] == 1
    assert 0 < shares["a in c"] < 1


@needs_lab
def test_the_lab_is_as_it_was_made(tmp_path):
    info = lab_info()
    assert info["verified"], info["damaged"]
    assert info["bytes"] <= 30e6
    assert all(path.stat().st_size < 10e6 for path in lab_folder().rglob("*"))
    write_data(make_world(seed=WORLD_SEED), tmp_path)
    for path in tmp_path.iterdir():
        assert path.read_bytes() == (lab_folder() / "data" / path.name).read_bytes()


@needs_lab
def test_the_lab_has_what_an_experiment_needs():
    info = lab_info()
    models = [info["template"], *info["targets"]]
    assert len({each["architecture"] for each in info["targets"]}) >= 3
    assert len({each["tokenizer"] for each in models}) >= 3
    assert all(each["recall"] >= 0.95 for each in models)
    assert all(each["base_score"] <= 0.02 for each in models)
    assert all(0 <= each["finetuned_score"] <= 1 for each in models)
    assert {"lab:instruct", "lab:style", "lab:forget"} == set(info["controllers"])
    same = {"lab:template", "lab:twin"}
    for pair, share in info["shared_spelling"].items():
        if set(pair.split(" in ")) != same:
            assert share <= 0.6, pair


@needs_lab
def test_the_report_keeps_its_promises():
    """The shipped report, as `python -m cmc evaluate transfer` writes it."""
    report = json.loads((lab_folder() / "report.json").read_text("utf-8"))
    assert all(row["n"] >= 200 for row in report["rows"])
    recovered = {
        (row["target"], row["transfer"]): row["recovered_effect"] for row in report["rows"]
    }
    others = [target for target, transfer in recovered if transfer == "pm-mined"]
    assert len(others) >= 2
    for target in others:
        assert recovered[target, "cover"] >= 0.8
        assert recovered[target, "cover"] >= 2 * recovered[target, "pm-mined"]


def test_a_changed_file_is_noticed(tmp_path):
    from cmc.lab.build import write_manifest

    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "b.txt").write_text("b")
    write_manifest(tmp_path)
    assert damaged_files(tmp_path) == []
    (tmp_path / "a.txt").write_text("c")
    (tmp_path / "b.txt").unlink()
    assert sorted(damaged_files(tmp_path)) == ["a.txt", "b.txt"]


def test_half_precision_is_what_is_measured():
    from cmc.lab.pretrain import round_to_half

    model = torch.nn.Linear(8, 8)
    weights = round_to_half(model).weight
    assert torch.equal(weights, weights.half().float())
