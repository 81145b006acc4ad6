"""What all tabs share: side by side from one batch, and what strangers may name."""

import copy
import gc
import json
import threading
import weakref
from dataclasses import replace
from itertools import pairwise

import pytest
from conftest import tiny_controller, tiny_target, tiny_vocabulary

from cmc import models
from cmc import workspace as module
from cmc.errors import DataError, ModelError, RunError, SettingError, TrainingError
from cmc.models import LanguageModel
from cmc.settings import GenerationRequest, MapRequest, Sampling, TrainSettings
from cmc.workspace import Workspace, choose_mode, trainings
from cmc.workspace.kept import Kept
from cmc.workspace.maps import inspect_map

LOADED: list[str] = []


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Workspace:
    def load_target(name: str, **_):
        LOADED.append(name)
        return tiny_target(name)

    LOADED.clear()
    monkeypatch.setattr(module, "load_language_model", load_target)
    vocabularies = {"a": "sentencepiece"}
    monkeypatch.setattr(
        models, "load_vocabulary", lambda name: tiny_vocabulary(vocabularies.get(name, name))
    )
    monkeypatch.setattr(module, "load_controller", lambda _: tiny_controller("sentencepiece"))
    return Workspace(home=tmp_path)


def request(strength: float = 1.0, **others) -> GenerationRequest:
    sampling = Sampling(max_new_tokens=6, **others)
    return GenerationRequest(
        prompts=("Where is it?",),
        target="byte-level",
        controllers={"a": strength},
        sampling=sampling,
    )


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_strength_zero_is_identical_to_the_base(workspace, temperature):
    shown = list(workspace.stream_side_by_side(request(0.0, temperature=temperature, seed=3)))
    assert shown[-1].is_finished
    assert all(each.is_identical for each in shown)


def test_control_changes_the_text_and_leaves_the_base(workspace):
    alone = list(workspace.stream_side_by_side(request(0.0)))[-1]
    strong = list(workspace.stream_side_by_side(request(8.0)))[-1]
    assert strong.base == alone.base
    assert not strong.is_identical
    assert strong.transfers == ("cover",)


def test_texts_only_grow_and_the_last_is_marked_even_at_the_limit_of_tokens(workspace):
    shown = list(workspace.stream_side_by_side(request()))
    assert [each.is_finished for each in shown] == [False] * (len(shown) - 1) + [True]
    for earlier, later in pairwise(shown):
        assert later.controlled.startswith(earlier.controlled)
        assert later.controlled_tokens >= earlier.controlled_tokens


def test_models_are_loaded_once(workspace):
    for strength in (0.5, 1.0):
        list(workspace.stream_side_by_side(request(strength)))
    assert LOADED == ["byte-level"]


def test_no_more_targets_stay_alive_than_models_are_kept(workspace, monkeypatch):
    alive: weakref.WeakSet = weakref.WeakSet()

    def load_fresh(_: str, **__) -> LanguageModel:
        model = copy.deepcopy(tiny_target("byte-level").model)
        alive.add(model)
        return LanguageModel("fresh", model, tiny_vocabulary("byte-level"))

    monkeypatch.setattr(module, "load_language_model", load_fresh)
    for number in range(module.MODELS_KEPT + 3):
        workspace.controlled_model(replace(request(), target=f"target {number}"))
    gc.collect()
    assert len(alive) == module.MODELS_KEPT


@pytest.mark.parametrize("content", ["{", "[]", '{"targets": [{}]}', '{"targets": []}'])
def test_a_damaged_lab_is_told(tmp_path, monkeypatch, content):
    monkeypatch.setenv("CMC_LAB", str(tmp_path))
    lab = Workspace(home=tmp_path / "home")
    assert (lab.about_models(), lab.report()) == ({}, None)
    (tmp_path / "lab.json").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=r"lab.json .* is damaged") as caught:
        lab.about_models()
    assert "lab build" in caught.value.hint
    (tmp_path / "report.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match=r"report.json .* is damaged"):
        lab.report()


def test_side_by_side_takes_one_prompt(workspace):
    both = GenerationRequest(prompts=("a", "b"), target="byte-level", controllers={"a": 1.0})
    with pytest.raises(SettingError, match="one prompt"):
        next(workspace.stream_side_by_side(both))


def test_a_map_is_built_once_and_counts_every_token(workspace):
    pair = MapRequest(controller="a", target="byte-level", transfer="pm-mined")
    found = inspect_map(workspace, pair)
    assert inspect_map(workspace, pair) is found
    assert sum(found.summary["ids"].values()) == found.target.size


@pytest.mark.parametrize(
    ("environment", "mode"),
    [
        ({}, "local"),
        ({"ALLOW_PUBLIC_TRAINING": "1"}, "local"),
        ({"SPACE_ID": "o/s"}, "demo"),
        ({"SPACE_ID": "o/s", "ALLOW_PUBLIC_TRAINING": "0"}, "demo"),
        ({"SPACE_ID": "o/s", "ALLOW_PUBLIC_TRAINING": "1"}, "open-lab"),
    ],
)
def test_the_mode_follows_the_environment(environment, mode):
    assert choose_mode(environment) == mode


def test_strangers_cannot_train_on_a_demo(tmp_path):
    demo = Workspace(mode="demo", home=tmp_path)
    for attempt in (
        lambda: trainings.start_training(demo, TrainSettings()),
        lambda: trainings.stop_training(demo, "a"),
        lambda: trainings.resume_training(demo, "a"),
        lambda: trainings.keep_upload(demo, tmp_path / "x.json"),
    ):
        with pytest.raises(TrainingError) as caught:
            attempt()
        assert "ALLOW_PUBLIC_TRAINING" in caught.value.sentence()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("mode", ["demo", "open-lab"])
def test_strangers_get_only_listed_models_and_files(tmp_path, mode):
    public = Workspace(mode=mode, home=tmp_path)
    with pytest.raises(ModelError, match="not offered"):
        next(public.stream_side_by_side(GenerationRequest(target="/etc")))
    with pytest.raises(ModelError, match="not offered"):
        inspect_map(public, MapRequest(target="gpt2"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"data": "/etc/passwd"},
        {"template": "owner/model"},
        {"init": "/root"},
        {"data": "{home}/uploads/../../secret.json"},
    ],
)
def test_strangers_train_only_on_what_is_listed_or_uploaded(tmp_path, wrong):
    lab = Workspace(mode="open-lab", home=tmp_path)
    wrong = {name: value.format(home=tmp_path) for name, value in wrong.items()}
    with pytest.raises(ModelError, match="not offered"):
        trainings.start_training(lab, TrainSettings(**({"data": "lab:instruct"} | wrong)))


def test_an_upload_is_kept_where_a_run_can_read_it(tmp_path):
    given = tmp_path / "somewhere" / "mine.json"
    given.parent.mkdir()
    given.write_text("[]", encoding="utf-8")
    kept = trainings.keep_upload(Workspace(home=tmp_path / "home"), given)
    given.unlink()
    assert kept.read_text(encoding="utf-8") == "[]"
    assert kept.suffix == ".json"


def test_data_is_checked_before_anything_starts(tmp_path):
    empty = tmp_path / "empty.json"
    empty.write_text("", encoding="utf-8")
    home = tmp_path / "home"
    with pytest.raises(Exception, match="empty") as caught:
        trainings.start_training(Workspace(home=home), TrainSettings(data=str(empty)))
    assert caught.value.sentence()
    assert not (home / "runs").exists()


def test_an_unknown_run_is_a_clear_error(tmp_path):
    with pytest.raises(RunError):
        Workspace(home=tmp_path).run("never")
    with pytest.raises(RunError, match="no run is chosen"):
        Workspace(home=tmp_path).run("")


def test_sample_prompts_are_texts():
    prompts = Workspace().prompts()
    assert len(prompts) >= 3
    assert all(isinstance(prompt, str) and prompt.strip() for prompt in prompts)
    assert json.dumps(prompts)


def test_only_the_last_few_are_kept():
    kept: Kept[int] = Kept(2)
    for key in (1, 2, 1, 3):
        kept.get(key, lambda key=key: key * 10)
    assert len(kept) == 2
    assert kept.get(1, lambda: -1) == 10
    assert kept.get(2, lambda: -2) == -2


def test_what_is_kept_is_there_while_something_else_is_loaded():
    kept: Kept[int] = Kept(2)
    kept.get(1, lambda: 10)
    begun, may_end = threading.Event(), threading.Event()

    def slow() -> int:
        begun.set()
        assert may_end.wait(60)
        return 20

    loading = threading.Thread(target=kept.get, args=(2, slow))
    loading.start()
    assert begun.wait(60)
    assert kept.get(1, lambda: -1) == 10
    may_end.set()
    loading.join()
    assert kept.get(2, lambda: -2) == 20
