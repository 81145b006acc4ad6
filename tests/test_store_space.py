"""Deploying a Space: what arrives at a Hub, what it is made with, and that it runs."""

import json
import os
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from urllib.request import urlopen

import pytest
import yaml
from huggingface_hub import HfApi

from cmc.__main__ import main
from cmc.errors import SettingError, StoreError
from cmc.settings import SpaceRequest, lab_folder
from cmc.store import hub as the_hub
from cmc.store.space import ROOT, deploy_space, planned
from tests.fake_hub import is_private

TOKEN = "hf_" + "neverToBeTold" * 2
SECRET = "a\N{MIDDLE DOT}secret\N{MIDDLE DOT}of the owner"
REQUEST = SpaceRequest(repo="me/steer")


def deployed(hub, request=REQUEST, **more):
    return deploy_space(request, token=TOKEN, endpoint=hub.address, **more)


def test_a_new_space_gets_all_that_the_app_needs_and_no_more(hub):
    at = hub()
    told = deployed(at)
    assert told["created"]
    assert told["address"] == f"{at.address}/spaces/me/steer"
    assert {name.partition("/")[0] for name in at.files} == {
        "app.py", "requirements.txt", "README.md", "LICENSE", "pyproject.toml", "assets", "cmc",
        "spaces_config",
    }  # fmt: skip
    assert not any("__pycache__" in name or "/." in name for name in at.files)
    for name in ("app.py", "cmc/store/space.py", "requirements.txt"):
        assert at.files[name] == (ROOT / name).read_bytes()
    assert told["files"] == len(at.files)
    assert told["bytes"] == sum(map(len, at.files.values()))


def test_a_new_space_is_made_as_the_settings_say(hub):
    at = hub()
    deployed(at)
    settings = yaml.safe_load((ROOT / "spaces_config" / "space.yml").read_text("utf-8"))["create"]
    assert is_private(at.repo)
    assert at.repo["sdk"] == "gradio"
    assert at.repo["hardware"] == settings["space_hardware"]
    assert at.repo["sleepTimeSeconds"] == settings["space_sleep_time"]
    variables = {each["key"]: each["value"] for each in at.repo["variables"]}
    assert variables == settings["space_variables"]
    assert "secrets" not in at.repo or not at.repo["secrets"]
    (volume,) = at.repo["volumes"]
    assert (volume["source"], volume["mountPath"]) == ("me/cross-model-control", "/data")
    assert any(path.startswith("/api/buckets/me/cross-model-control") for path, _ in at.asked)


def test_lent_hardware_gets_its_own_requirements_and_no_storage_no_home(hub):
    at = hub()
    deployed(at, SpaceRequest(repo="me/steer", hardware="zero-a10g", storage=False))
    lent = ROOT / "spaces_config" / "requirements-zerogpu.txt"
    assert at.files["requirements.txt"] == lent.read_bytes()
    assert at.repo["hardware"] == "zero-a10g"
    assert "sleepTimeSeconds" not in at.repo  # it costs nothing, and when it sleeps is fixed
    assert not at.repo.get("volumes")
    assert "CMC_HOME" not in {each["key"] for each in at.repo["variables"]}


def test_a_space_that_is_there_gets_the_files_and_keeps_its_settings(hub):
    at = hub()
    at.repo, at.files = {"made": "before"}, {"old.py": b"", "app.py": b"old"}
    told = deployed(at)
    assert not told["created"]
    assert at.repo == {"made": "before"}
    assert "old.py" not in at.files
    assert at.files["app.py"] == (ROOT / "app.py").read_bytes()
    asked = [path for path, _ in at.asked]
    assert not any(path.endswith(("/hardware", "/variables", "/create")) for path in asked)
    deployed(at, SpaceRequest(repo="me/steer", hardware="cpu-basic"))
    assert any(path.endswith("/hardware") for path, _ in at.asked)


def test_a_secret_goes_only_where_it_was_asked_for(hub, monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", SECRET)
    at = hub()
    told = deployed(at)
    assert told["secrets"] == []
    assert SECRET.encode() not in b"".join(at.files.values())
    other = hub()
    told = deployed(other, SpaceRequest(repo="me/steer", secrets=("HF_TOKEN",)))
    assert other.repo["secrets"] == [{"key": "HF_TOKEN", "value": SECRET}]
    assert SECRET not in json.dumps(told) + capsys.readouterr().out
    with pytest.raises(StoreError, match="no secret the app knows"):
        planned(SpaceRequest(repo="me/steer", secrets=("PATH",)))
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(StoreError, match="is not set"):
        planned(SpaceRequest(repo="me/steer", secrets=("HF_TOKEN",)))


@pytest.mark.parametrize(
    ("status", "about"), [(401, "does not let"), (402, "paid plan"), (500, "refused")]
)
def test_what_the_hub_refuses_is_told_without_the_token(hub, status, about):
    with pytest.raises(StoreError, match=about) as caught:
        deployed(hub(status))
    assert caught.value.hint
    assert TOKEN not in caught.value.sentence()
    assert caught.value.__cause__ is None


def test_no_token_no_network_and_no_repository_are_told(hub, tmp_path):
    at = hub()
    with pytest.raises(StoreError, match="no token"):
        deploy_space(REQUEST, endpoint=at.address)
    with pytest.raises(StoreError, match="could not be published"):
        deploy_space(REQUEST, token=TOKEN, endpoint="http://127.0.0.1:9")
    with pytest.raises(StoreError, match="no app") as caught:
        planned(REQUEST, tmp_path)
    assert "clone" in caught.value.hint
    for wrong in ("", "steer", "me/../you", "a/b/c"):
        with pytest.raises(SettingError, match="no name of a repository"):
            SpaceRequest(repo=wrong)
    with pytest.raises(SettingError, match="no name of hardware"):
        SpaceRequest(repo="me/steer", hardware="a GPU, please")


def test_a_dry_run_asks_nobody_and_the_command_tells_what_it_would_do(hub, monkeypatch, capsys):
    at = hub()
    monkeypatch.setattr(the_hub, "HfApi", partial(HfApi, endpoint=at.address))
    assert main(["space", "deploy", "--repo", "me/steer", "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["files"] > 100
    assert told["hardware"] == "l4x1"
    assert at.asked == []
    assert main(["space", "deploy", "--repo", "me/steer", "--dry-run"]) == 0
    assert "me/steer would get" in capsys.readouterr().out
    assert main(["space", "deploy", "--repo", "steer"]) == 1
    assert "owner/name" in capsys.readouterr().err


@pytest.mark.skipif(not (lab_folder() / "lab.json").is_file(), reason="there is no starter lab")
def test_what_is_uploaded_starts_and_answers(hub, tmp_path):
    at = hub()
    deployed(at)
    place = tmp_path / "space"
    for name, data in at.files.items():
        path = place / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = os.environ | {
        "PYTHONPATH": str(place), "CMC_HOME": str(tmp_path / "home"), "GRADIO_SERVER_PORT": port,
    }  # fmt: skip
    environment.pop("CMC_LAB", None)
    log = tmp_path / "log.txt"
    with log.open("w") as out:
        app = subprocess.Popen(
            [sys.executable, "app.py"], cwd=place, env=environment, stdout=out, stderr=out
        )
        try:
            page = _page(f"http://127.0.0.1:{port}", app, log)
        finally:
            app.terminate()
            app.wait(20)
    assert "Cross-model Control" in page


def _page(address: str, app: subprocess.Popen, log: Path) -> str:
    for _ in range(240):
        assert app.poll() is None, log.read_text()
        try:
            with urlopen(address, timeout=5) as answer:
                return answer.read().decode()
        except OSError:
            time.sleep(0.5)
    raise AssertionError(log.read_text())
