"""The repository can be pushed to a Space as it stands."""

import re
import subprocess
import sys
from pathlib import Path

import gradio
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
ADDED_BY_A_SPACE = ("uvicorn>=0.14.0", "websockets>=10.4", "spaces")
COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
FLAVOURS = {"cpu-basic", "cpu-upgrade", "t4-small", "t4-medium", "l4x1", "a10g-small", "l40sx1"}
NO_REGISTRY = ("No matching distribution", "Could not fetch", "Connection", "Temporary failure")


def front_matter() -> dict:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    match = re.match(r"\A---\n(.*?)\n---\n", text, flags=re.DOTALL)
    assert match, "README.md must open with a front matter block"
    return yaml.safe_load(match.group(1))


def requirements(path: str) -> dict[str, str]:
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    wanted = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return {re.match(r"[A-Za-z0-9_.-]+", line).group(): line for line in wanted}


def test_front_matter_has_what_a_space_needs():
    block = front_matter()
    assert block["sdk"] == "gradio"
    assert block["python_version"] == "3.12"
    assert (ROOT / block["app_file"]).is_file()
    assert 0 < len(block["short_description"]) <= 60
    assert block["license"] == "apache-2.0"
    assert {block["colorFrom"], block["colorTo"]} <= COLOURS
    assert block["suggested_hardware"] in FLAVOURS
    assert block["tags"]


def test_sdk_version_is_the_pinned_and_the_installed_gradio():
    pinned = requirements("requirements.txt")["gradio"]
    assert pinned == f"gradio=={front_matter()['sdk_version']}"
    assert gradio.__version__ == front_matter()["sdk_version"]


def test_the_zerogpu_requirements_differ_only_in_torch():
    plain = requirements("requirements.txt")
    lent = requirements("spaces_config/requirements-zerogpu.txt")
    assert plain.pop("torch") == "torch==2.13.0"
    assert lent.pop("torch") == "torch>=2.8,<2.12"
    assert plain == lent


def test_space_settings_are_complete_and_hold_no_secret():
    space = yaml.safe_load((ROOT / "spaces_config" / "space.yml").read_text(encoding="utf-8"))
    assert space["create"]["space_hardware"] == front_matter()["suggested_hardware"]
    assert space["create"]["space_sleep_time"] == 1800
    assert space["create"]["space_variables"]["ALLOW_PUBLIC_TRAINING"] == "0"
    assert all(re.fullmatch(r"[A-Z_]+", name) for name in space["secrets"]["optional"])
    assert {volume["mount_path"] for volume in space["volumes"]} == {"/data"}
    assert space["create"]["space_variables"]["CMC_HOME"].startswith("/data/")
    assert (ROOT / space["zerogpu"]["requirements"]).is_file()


def test_requirements_resolve_with_what_a_space_adds():
    version = front_matter()["sdk_version"]
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet"]
    command += ["--disable-pip-version-check", "--retries", "1", "-r", "requirements.txt"]
    command += [f"gradio[oauth,mcp]=={version}", *ADDED_BY_A_SPACE]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
    except subprocess.TimeoutExpired:
        pytest.skip("the package registry did not answer in time")
    said = done.stdout + done.stderr
    if (
        done.returncode
        and "ResolutionImpossible" not in said
        and any(sign in said for sign in NO_REGISTRY)
    ):
        pytest.skip("the package registry cannot be reached")
    assert done.returncode == 0, said[-2000:]
