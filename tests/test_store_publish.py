"""Publishing: what arrives at a Hub, and that a token is told nowhere."""

import base64
import json
import logging
import shutil
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from huggingface_hub import HfApi

from cmc.__main__ import main
from cmc.controller import load_controller
from cmc.errors import RunError, SettingError, StoreError
from cmc.runs import Run
from cmc.settings import PublishRequest
from cmc.store import Store
from cmc.store import publish as publishing
from cmc.store.publish import publish_version
from cmc.workspace import Workspace
from cmc.workspace.publishing import publish_run
from tests.conftest import tiny_controller

TOKEN = "hf_" + "neverToBeTold" * 2


def is_private(repo):
    """Read what a repository was asked to be, as older and newer clients of the Hub write it."""
    return repo["private"] if "private" in repo else repo["visibility"] == "private"


class Hub(ThreadingHTTPServer):
    """A Hub that takes everything into memory, or refuses with one status."""

    def __init__(self, status: int = 200) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.status, self.asked, self.files, self.repo = status, [], {}, {}
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self._say({"sha": "0" * 40, "siblings": [], "id": "me/mine"})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        hub = self.server
        hub.asked.append((self.path, self.headers.get("Authorization")))
        if hub.status != 200:
            self._say({"error": f"no, {self.headers.get('Authorization')}"})
        elif self.path.endswith("/create"):
            hub.repo = json.loads(body)
            self._say({"url": f"{hub.address}/me/mine", "id": "me/mine"})
        elif "/preupload/" in self.path:
            files = [{"path": each["path"], "uploadMode": "regular", "shouldIgnore": False}
                     for each in json.loads(body)["files"]]  # fmt: skip
            self._say({"files": files})
        elif "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    value = line["value"]
                    hub.files[value["path"]] = base64.b64decode(value["content"])
            about = {"commitUrl": f"{hub.address}/me/mine/commit/1", "commitOid": "1" * 40}
            self._say(about | {"hookOutput": "", "success": True})
        else:
            self._say({})

    def _say(self, content):
        data = json.dumps(content).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # the Hub is our own
    monkeypatch.setattr(publishing, "get_token", lambda: None)
    hubs = []

    def start(status=200):
        hubs.append(Hub(status))
        return hubs[-1]

    yield start
    for each in hubs:
        each.shutdown()
        each.server_close()


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
    request, run = PublishRequest(repo="me/mine"), run_of(store, "mine")
    with pytest.raises(StoreError, match="switched off"):
        publish_run(Workspace(mode="demo", home=store.home), run, request, token=TOKEN)
    with pytest.raises(StoreError, match="your own token"):
        publish_run(Workspace(mode="open-lab", home=store.home), run, request)
    assert not used
    assert publish_run(Workspace(mode="open-lab", home=store.home), run, request, token=TOKEN)
    assert publish_run(Workspace(home=store.home), run, request)
    assert used == [TOKEN, ""]


def run_of(store, name: str) -> Run:
    """Return a finished run that made what the newest version of this name holds."""
    folder = store.home / "runs" / name
    folder.mkdir(parents=True)
    shutil.copytree(store.find("controller", name).content, folder / "controller")
    (folder / "status.json").write_text('{"state": "finished"}')
    return Run(folder)


def test_what_a_run_made_is_published_whatever_else_has_its_name(store, monkeypatch):
    published = []
    monkeypatch.setattr("cmc.workspace.publishing.publish_version",
                        lambda _, reference, *__, **___: published.append(reference))  # fmt: skip
    workspace, request = Workspace(home=store.home), PublishRequest(repo="me/mine")
    run = run_of(store, "mine")
    made = store.find("controller", "mine")
    other = store.home / "other"
    tiny_controller("byte-level").save_pretrained(other)
    newest = store.save("controller", "mine", other)  # of a run of this name that was deleted
    publish_run(workspace, run, request)
    shutil.rmtree(run.folder / "controller")
    with pytest.raises(RunError, match="no controller yet"):
        publish_run(workspace, run, request)
    assert made.number != newest.number
    assert published == [made.reference]


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
    monkeypatch.setattr(publishing, "HfApi", partial(_api_at, at.address))
    command = ["versions", "publish", "mine", "--repo", "me/mine", "--no-private", "--json"]
    assert main([*command, "--token-variable", "MY_TOKEN"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out) == {"address": f"{at.address}/me/mine", "version": "mine@1"}
    assert not is_private(at.repo)
    assert main(["versions", "publish", "mine", "--repo", "mine"]) == 1
    assert TOKEN not in said.out + said.err + capsys.readouterr().err
