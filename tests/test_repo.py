"""The repository is what its README and its rules say."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
MODULES = sorted(ROOT.glob("cmc/**/*.py"))
# A module imports its own layer and those below.
LAYERS = (
    {"ui", "commands"},
    {"workspace"},
    {"training", "generation", "evaluation", "store", "runs", "charts", "lab"},
    {"controller", "models", "data", "card"},
    {"vocab", "combine", "arguments"},
    {"settings"},
    {"errors"},
)
TOP_LEVEL = {
    "requirements.txt", "README.md", "app.py", "cmc", "tests", "assets", "spaces_config",
    "pyproject.toml", "LICENSE",
}  # fmt: skip


def tracked() -> list[str]:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.skip("this is no git checkout")
    return done.stdout.splitlines()


def layer(name: str) -> int:
    return next(number for number, names in enumerate(LAYERS) if name in names)


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
    return found


def described(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "").splitlines()[0]


def test_the_top_level_holds_what_was_asked_for():
    tops = {name.split("/")[0] for name in tracked()}
    assert {each for each in tops if not each.startswith(".")} == TOP_LEVEL


def test_every_module_stands_in_the_readme_with_its_first_line():
    tree = README.read_text("utf-8")
    for path in [ROOT / "app.py", *MODULES]:
        is_package = path.name == "__init__.py"
        name = f"{path.parent.name}/" if is_package and path.parent.name != "cmc" else path.name
        line = rf"^ *{re.escape(name)} +{re.escape(described(path))}$"
        assert re.search(line, tree, re.MULTILINE), f"{path}: {described(path)}"


def test_the_readme_names_no_file_that_is_not_there():
    block = re.search(r"```\n(app\.py.*?)```", README.read_text("utf-8"), re.DOTALL)[1]
    names = {path.name for path in ROOT.rglob("*") if ".git" not in path.parts}
    for line in block.splitlines():
        if line.strip():
            assert line.split()[0].rstrip("/").split("/")[-1] in names, line


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_down(path):
    part = path.relative_to(ROOT / "cmc").parts[0].removesuffix(".py")
    names = imported(path)
    if part != "ui":
        assert not any(name.split(".")[0] == "gradio" for name in names)
    if part in ("__init__", "__main__"):
        return
    for name in names:
        if name.startswith("cmc.") and (other := name.split(".")[1]) != part:
            assert layer(other) >= layer(part), f"{part} imports {other}"


def test_no_module_and_no_function_grows_too_long():
    for path in MODULES:
        text = path.read_text("utf-8")
        assert text.count("\n") <= 300, path
        most = 80 if "ui" in path.parts else 60
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno - node.lineno < most, f"{path}: {node.name}"


def test_what_can_run_strangers_code_is_not_used():
    for path in [ROOT / "app.py", *MODULES]:
        text = path.read_text("utf-8")
        for word in ("trust_remote_code=True", "torch.load(", "pickle", "shell=True", "eval("):
            assert not re.search(rf"(?<![\w.]){re.escape(word)}", text), f"{path}: {word}"


def test_every_module_has_a_test_file():
    tests = " ".join(path.name for path in (ROOT / "tests").rglob("test_*.py"))
    for name in set().union(*LAYERS) - {"arguments", "combine", "commands", "errors", "ui"}:
        assert f"test_{name}" in tests, name


def test_importing_the_package_is_quiet_and_needs_no_torch():
    code = "import cmc, cmc.settings, sys; print(sorted({'torch', 'gradio'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_every_public_name_is_there():
    import cmc

    assert all(getattr(cmc, name) is not None for name in cmc.__all__)
    assert set(cmc.__all__) == set(cmc._MODULES)


@pytest.mark.parametrize("arguments", [["check"], ["format", "--check"]], ids=" ".join)
def test_the_linter_agrees(arguments):
    command = [sys.executable, "-m", "ruff", *arguments, "--quiet", "."]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if "No module named ruff" in done.stderr:
        pytest.skip("ruff is not installed")
    assert done.returncode == 0, done.stdout + done.stderr


def test_continuous_integration_runs_the_readmes_test_command():
    script = (ROOT / ".ci" / "run").read_text("utf-8").strip().splitlines()
    command = script[-1].replace("pip install -q", "pip install")
    assert command in README.read_text("utf-8")


def test_the_readmes_tables_are_what_the_commands_print(capsys):
    from cmc.commands.evaluate import show_transfer
    from cmc.commands.lab import show_lab
    from cmc.lab.describe import lab_info
    from cmc.settings import lab_folder

    report = lab_folder() / "report.json"
    if not report.is_file():
        pytest.skip("there is no starter lab")
    show_lab(lab_info())
    show_transfer(json.loads(report.read_text("utf-8")))
    readme = README.read_text("utf-8")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 8
    for line in lines:
        assert line.rstrip() in readme
