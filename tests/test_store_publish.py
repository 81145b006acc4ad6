"""Publishing: what arrives at a Hub, and that a token is told nowhere."""

import json
import logging
from functools import partial

import pytest
from huggingface_hub import HfApi

from cmc.__main__ import main
from cmc.controller import load_controller
from cmc.errors import SettingError, StoreError
from cmc.settings import PublishRequest
from cmc.store import Store
from cmc.store import hub as the_hub
from cmc.store.publish import publish_version
from cmc.workspace import Workspace
from cmc.workspace.publishing import publish
from tests.conftest import tiny_controller
from tests.fake_hub import is_private

TOKEN = "hf_" + "neverToBeTold" * 2


@pytest.fixture
def store(tmp_path):
    folder = tmp_path / "controller"
    tiny_controller("sentencepiece").save_pretrained(folder)
    (folder / "notes.pdf").write_text("nobody's business")
    store = Store(tmp_path / "home")
    store.save("controller", "mine", folder, provenance={"folder": str(folder)})
    return store


def test_what_arrives_is_the_version_with_a_card(store, hub, tmp_path):
    at = hub()
    request = PublishRequest(repo="me/mine", licence="mit")
    address = publish_version(store, "mine@1", request, token=TOKEN, endpoint=at.address)
    assert address == f"{at.address}/me/mine"
    assert is_private(at.repo)
    assert {said for _, said in at.asked} == {f"Bearer {TOKEN}"}
    content = store.find("controller", "mine").content
    assert "notes.pdf" not in at.files
    for name, data in at.files.items():
        path = tmp_path / "arrived" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        if name != "README.md":
            assert data == (content / name).read_bytes()
        assert TOKEN.encode() not in data
    arrived = load_controller(str(tmp_path / "arrived"))
    card = at.files["README.md"].decode()
    assert f"parameters: {arrived.parameters:,}" in card
    assert f"SHA-256 {store.find('controller', 'mine').digest}" in card
    assert str(tmp_path) not in card


@pytest.mark.parametrize("status", [401, 403, 404, 409, 500])
def test_a_refusal_is_told_without_the_token(store, hub, capsys, caplog, status, monkeypatch):
    at = hub(status)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
    caplog.set_level(logging.DEBUG)
    with pytest.raises(StoreError) as caught:
        publish_version(
            store, "mine", PublishRequest(repo="me/mine"), token=TOKEN, endpoint=at.address
        )
    assert caught.value.hint
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    said = capsys.readouterr()
    for told in (caught.value.sentence(), said.out, said.err, caplog.text):
        assert TOKEN not in told


def test_a_hub_that_is_not_there_is_told(store, hub):
    at = hub()
    at.shutdown()
    at.server_close()
    with pytest.raises(StoreError, match="could not be published"):
        publish_version(
            store, "mine", PublishRequest(repo="me/mine"), token=TOKEN, endpoint=at.address
        )


def test_without_a_token_nothing_is_asked(store, hub):
    at = hub()
    with pytest.raises(StoreError, match="no token") as caught:
        publish_version(store, "mine", PublishRequest(repo="me/mine"), endpoint=at.address)
    assert "hf auth login" in caught.value.hint
    assert not at.asked


def test_in_an_app_for_others_only_a_visitors_own_token_counts(store, monkeypatch):
    used = []
    monkeypatch.setattr("cmc.workspace.publishing.publish_version",
                        lambda *_, token: used.append(token) or "address")  # fmt: skip
    request = PublishRequest(repo="me/mine")
    with pytest.raises(StoreError, match="switched off"):
        publish(Workspace(mode="demo", home=store.home), "mine", request, token=TOKEN)
    with pytest.raises(StoreError, match="your own token"):
        publish(Workspace(mode="open-lab", home=store.home), "mine", request)
    assert publish(Workspace(mode="open-lab", home=store.home), "mine", request, token=TOKEN)
    assert publish(Workspace(home=store.home), "mine", request)
    assert used == [TOKEN, ""]


def _api_at(address, *, token, **_):
    return HfApi(token=token, endpoint=address)


@pytest.mark.parametrize("repo", ["", "mine", "me/", "/mine", "me/mine/more", "me/../x", "a b/c"])
def test_names_that_are_no_repository_are_refused(repo):
    with pytest.raises(SettingError, match="repository"):
        PublishRequest(repo=repo)


def test_the_command_takes_the_token_from_a_variable(store, hub, monkeypatch, capsys):
    at = hub()
    monkeypatch.setenv("CMC_HOME", str(store.home))
    monkeypatch.setenv("MY_TOKEN", TOKEN)
    monkeypatch.setattr(the_hub, "HfApi", partial(_api_at, at.address))
    command = ["versions", "publish", "mine", "--repo", "me/mine", "--no-private", "--json"]
    assert main([*command, "--token-variable", "MY_TOKEN"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out) == {"address": f"{at.address}/me/mine", "version": "mine@1"}
    assert not is_private(at.repo)
    assert main(["versions", "publish", "mine", "--repo", "mine"]) == 1
    assert TOKEN not in said.out + said.err + capsys.readouterr().err
