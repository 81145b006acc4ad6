"""Kept vocab maps in the Generate tab, its API, its links, and on the command line."""

import json
from dataclasses import replace
from urllib.parse import parse_qsl

import numpy as np
import pytest
from conftest import tiny_vocabulary
from gradio_client import Client

from cmc.__main__ import main
from cmc.errors import SettingError, VocabMismatch
from cmc.settings import GenerationRequest
from cmc.store.maps import followed_maps, keep_map
from cmc.ui.layout import TABS, build_app, launch_arguments
from cmc.ui.tabs.generate.choices import GenerateChoices
from cmc.ui.tabs.generate.link import Offer, link_query, read_link
from cmc.vocab import build_map
from cmc.workspace import Workspace
from cmc.workspace.map_versions import maps_to_follow

MINE, THEIRS, OTHER = (tiny_vocabulary(each) for each in ("sentencepiece", "byte-level", "unigram"))
PAIR = {"controller": "tiny one", "target": "tiny bytes", "transfer": "pm-mined"}


def silent_map():
    """Return a map without any entry: a controller that follows it moves nothing."""
    built = build_map(MINE, THEIRS)
    return replace(built, ids=np.full_like(built.ids, -1))


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    workspace = Workspace(home=tmp_path_factory.mktemp("home"))
    keep_map(workspace.store, "built", build_map(MINE, THEIRS), provenance=PAIR)
    keep_map(workspace.store, "silent", silent_map(), provenance=PAIR)
    workspace.store.label("map", "silent@1", "quiet")
    return workspace


@pytest.fixture(scope="module")
def client(workspace):
    demo = build_app(workspace)
    demo.queue().launch(prevent_thread_lock=True, quiet=True, **launch_arguments())
    yield Client(demo.local_url, verbose=False)
    demo.close()


def asked(saved, **others):
    pair = {"target": saved["byte"], "controller": saved["controller"]}
    common = {"prompt": "Where is it?", "strength": 8, "max_new_tokens": 6}
    return pair | common | {"transfer": "pm-mined"} | others


@pytest.mark.parametrize("name", ["silent@1", "silent@quiet", "silent"])
def test_a_kept_map_is_followed_instead_of_the_built_one(client, saved, name):
    base, built, *_ = client.predict(**asked(saved), api_name="/generate")
    assert built != base
    for transfer in ("pm-mined", "auto"):
        question = asked(saved, vocab_map=name, transfer=transfer)
        alone, followed, *_, data, _, made_from = client.predict(**question, api_name="/generate")
        assert (alone, followed) == (base, base)
        assert data["maps"] == ["silent@1"]
        assert data["request"]["maps"] == [name]
        assert data["transfers"] == ["pm-mined"]
        assert "controller at 8 (pm-mined, silent@1)" in made_from
    again = asked(saved, vocab_map="built@1")
    assert client.predict(**again, api_name="/generate")[1] == built


def test_a_comparison_follows_it_where_it_fits_and_says_where_not(client, saved):
    targets = [saved["byte"], saved["model"]]
    question = asked(saved, vocab_map="silent@1", targets=targets, strengths="0 8")
    _, data = client.predict(**question, api_name="/compare")
    fits, other = data["rows"]
    assert fits["answers"][0]["text"] == fits["answers"][1]["text"]
    assert data["maps"] == ["silent@1"]
    assert "was built for tiny one and tiny bytes, not for this pair" in other["error"]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"target": "model"}, "silent@1 was built for tiny one and tiny bytes, not for this pair"),
        ({"transfer": "cover"}, "transfer cover does not follow this map"),
        ({"vocab_map": "gone@1"}, 'store has no map "gone"'),
        ({"vocab_map": "silent@9"}, 'no version or label "9"'),
        ({"vocab_map": "a" * 5000}, "no name for a map"),
    ],
)
def test_a_map_that_cannot_be_followed_is_one_sentence(client, saved, wrong, sentence):
    wrong = {name: saved.get(value, value) for name, value in wrong.items()}
    with pytest.raises(Exception, match=sentence) as caught:
        client.predict(**asked(saved, **({"vocab_map": "silent@1"} | wrong)), api_name="/generate")
    assert "Traceback" not in str(caught.value)
    assert client.predict(**asked(saved), api_name="/generate")[1]


def test_a_map_is_followed_by_every_controller_of_its_vocabulary(workspace):
    store = workspace.store
    found = followed_maps(["silent@1"], [MINE, OTHER, MINE], THEIRS, store)
    assert [name for name, _ in found] == ["silent@1", "", "silent@1"]
    assert found[1] == ("", None)
    assert (found[0][1].ids == -1).all()
    keep_map(store, "other", build_map(OTHER, THEIRS))
    both = followed_maps(["other@1", "built@1"], [MINE, OTHER], THEIRS, store)
    assert [name for name, _ in both] == ["built@1", "other@1"]
    with pytest.raises(SettingError, match="no controller is left to follow the vocab map built@1"):
        followed_maps(["silent@1", "built@1"], [MINE], THEIRS, store)
    with pytest.raises(VocabMismatch, match="other@1 was built for other vocabularies"):
        followed_maps(["other@1"], [MINE], THEIRS, store)


def test_the_maps_of_the_pairs_on_the_desk_are_offered(workspace, saved):
    names = [saved["controller"], saved["controller"], "/no/such/folder"]
    offered = maps_to_follow(workspace, saved["byte"], names)
    assert [each.reference for each in offered] == ["built@1", "silent@1"]
    assert maps_to_follow(workspace, saved["model"], names) == []


def test_strangers_name_versions_and_no_files(tmp_path, workspace):
    silent_map().save(tmp_path / "map.safetensors")
    path = str(tmp_path / "map.safetensors")
    assert workspace.map_name(path) == path
    public = Workspace(mode="demo", home=workspace.home)
    assert public.map_name("silent@quiet") == "silent@1"
    with pytest.raises(Exception, match="no name for a map"):
        public.map_name(path)


def test_a_link_carries_the_map_and_tells_where_it_is_not_kept(workspace):
    offer = Offer(
        tabs=TABS, targets=["lab:byte"], controllers=["lab:instruct"], is_open=True,
        find_map=workspace.map_name,
    )  # fmt: skip
    choices = GenerateChoices(prompt="Hi", transfer="pm-mined", vocab_map="silent@quiet")
    query = parse_qsl(link_query(choices)[1:])
    found, told = read_link(query, offer)
    assert (GenerateChoices(**found), told) == (choices, [])
    for name, sentence in (("gone@1", 'has no map "gone"'), ("a\x00b", "is no name")):
        found, told = read_link([("prompt", "Hi"), ("vocab_map", name)], offer)
        assert found == {"prompt": "Hi"}
        assert sentence in told[0]


def test_the_request_of_the_tab_names_a_map_only_where_one_is_chosen():
    assert GenerateChoices(prompt="a", vocab_map=" silent@1 ").request().maps == ("silent@1",)
    assert GenerateChoices(prompt="a", vocab_map=None).request() == GenerationRequest(
        prompts=("a",)
    )


def test_the_command_follows_a_kept_map(capsys, saved, workspace, monkeypatch):
    monkeypatch.setenv("CMC_HOME", str(workspace.home))
    pair = ["--controller", f"{saved['controller']}:8", "--target", saved["byte"]]
    common = ["generate", *pair, "--max-new-tokens", "6", "Where is it?", "--json"]

    def said(*options: str) -> dict:
        assert main([*common, *options]) == 0
        return json.loads(capsys.readouterr().out)

    built = said("--transfer", "pm-mined")
    followed = said("--map", "silent@quiet")
    assert built["outputs"][0]["controlled"] != built["outputs"][0]["base"]
    assert followed["outputs"][0]["controlled"] == built["outputs"][0]["base"]
    assert (built["maps"], followed["maps"]) == ([""], ["silent@quiet"])
    pair[-1] = saved["model"]
    assert main(["generate", *pair, "--map", "silent@1", "Hi"]) == 1
    assert "not for this pair" in capsys.readouterr().err
