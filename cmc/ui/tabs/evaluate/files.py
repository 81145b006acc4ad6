"""A report to take along: CSV, JSON, and its examples for LLM Comparator."""

import json
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cmc.evaluation.examples import Example, as_csv, llm_comparator, rows_of

NAMES = ("report.csv", "report.json", "llm-comparator.json")


class Files:
    """Files of reports in a folder that goes when the app ends; each is written once."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="cmc-reports-")

    def written(
        self, name: str, report: Mapping[str, Any], examples: Sequence[Example]
    ) -> list[str | None]:
        """Return the paths of table, report and examples; None for examples where there are none.

        Args:
            name: of the run; with the report's seconds it tells one report from another.
            report: finished, of any kind.
            examples: of the same run.
        """
        safe = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.") or "report"
        stamp = re.sub(r"\W", "", str(report.get("seconds", "")))
        folder = Path(self._folder.name) / f"{safe}-{stamp}"
        paths = [folder / f"{safe}-{each}" for each in NAMES]
        if not folder.is_dir():
            comparator = llm_comparator(examples)
            comparator["metadata"]["source_path"] = name
            contents = (as_csv(rows_of(report)), _json(report), _json(comparator))
            # All at once: another page may look at the same report just now.
            aside = Path(tempfile.mkdtemp(dir=self._folder.name))
            for path, content in zip(paths, contents, strict=True):
                (aside / path.name).write_text(content, encoding="utf-8")
            try:
                aside.rename(folder)
            except OSError:
                if not folder.is_dir():
                    raise
                shutil.rmtree(aside)  # that page was first
        return [str(paths[0]), str(paths[1]), str(paths[2]) if examples else None]


def _json(content: Any) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
