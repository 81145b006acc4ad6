"""The lab's table: what is in it, and that a second run repeats nothing."""

import pytest

from cmc.commands.evaluate_lab import show_lab
from cmc.evaluation.lab_table import evaluate_lab
from cmc.settings import LabTableRequest, lab_folder


@pytest.mark.skipif(not (lab_folder() / "lab.json").is_file(), reason="there is no starter lab")
def test_the_table_has_a_row_per_strength_and_is_not_worked_out_twice(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("cmc.evaluation.lab_table.FINETUNE_STEPS", 2)
    request = LabTableRequest(
        targets=("lab:template",), strengths=("0", "1"), limit=2, items=2, out=str(tmp_path)
    )
    steps = list(evaluate_lab(request))
    assert [each.done for each in steps] == [1, 2, 3, 4, 5, 5]
    rows = steps[-1].report["rows"]
    assert [(row["target"], row["strength"]) for row in rows] == [
        ("lab:template", 0.0), ("lab:template", 1.0)
    ]  # fmt: skip
    alone, controlled = (row["against_base"] for row in rows)
    assert (alone["win_rate"], alone["n_draws"]) == (50.0, 2)  # the base against itself
    assert (controlled["win_rate"], controlled["n_total"]) == (100.0, 2)
    assert controlled["low"] < 100.0
    forgetting = [row["forgetting"]["splits"]["forget"]["probability"] for row in rows]
    assert forgetting[1] < forgetting[0]
    show_lab(steps[-1].report)
    assert "n=2+6" in capsys.readouterr().out

    for name in ("evaluate_tofu", "finetune"):
        monkeypatch.setattr(f"cmc.evaluation.lab_table.{name}", None)
    monkeypatch.setattr("cmc.generation.ControlledModel.generate", None)
    assert list(evaluate_lab(request))[-1].report == steps[-1].report
