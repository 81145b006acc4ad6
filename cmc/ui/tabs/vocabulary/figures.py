"""Charts: kinds of entries, languages, distances, and controller tokens that serve many."""

import html
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr
import numpy as np

from cmc import charts
from cmc.vocab import Kind
from cmc.workspace.maps import InspectedMap

BUSIEST = 10  # controller tokens that are listed
FURTHEST = 10  # bytes; longer distances are one bar


@dataclass(frozen=True)
class ChartsPart:
    """The components of the sub-tab."""

    kinds: gr.Plot
    languages: gr.Plot
    distances: gr.Plot
    fan_in: gr.Plot
    busiest: gr.HTML

    @property
    def outputs(self) -> list[Any]:
        """Everything that `show` sets."""
        return [self.kinds, self.languages, self.distances, self.fan_in, self.busiest]

    def show(self, found: InspectedMap) -> dict[Any, Any]:
        """Draw what is known of a map."""
        summary = found.summary
        return {
            self.kinds: charts.kind_shares(shares_of(summary)),
            self.languages: charts.language_shares(summary["languages"]),
            self.distances: charts.distance_bars(distance_counts(found)),
            self.fan_in: charts.fan_in_bars(fan_in_counts(summary)),
            self.busiest: busiest_html(found),
        }


def build_charts() -> ChartsPart:
    """Lay out the charts."""
    kinds = _plot("Kinds of entries", "map-shares")
    languages = _plot("One story in each language: what the map carries of it", "map-languages")
    with gr.Row(equal_height=False):
        with gr.Column(min_width=300):
            distances = _plot("Bytes between a token and what it is mapped to", "map-distances")
        with gr.Column(min_width=300):
            fan_in = _plot("Fan-in: target tokens per controller token", "map-fan-in")
    busiest = gr.HTML("", padding=False, elem_id="map-busiest")
    return ChartsPart(kinds, languages, distances, fan_in, busiest)


def _plot(title: str, elem_id: str) -> gr.Plot:
    """Lay out a chart under its title."""
    gr.HTML(f'<h3 class="chart-title">{title}</h3>', padding=False)
    return gr.Plot(show_label=False, label=title, elem_id=elem_id)


def shares_of(summary: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return counts by id and by mass, named as the chart shows them."""
    both = {"English text": summary["mass"], "vocabulary": summary["ids"]}
    return {
        name: {kind: float(count or 0) for kind, count in counts.items()}
        for name, counts in both.items()
    }


def fan_in_counts(summary: Mapping[str, Any]) -> dict[str, int]:
    """Return target tokens per controller token, written short, to controller tokens."""
    counts = summary["fan_in"]["histogram"]
    return {name.replace("over", ">"): count for name, count in counts.items()}


def distance_counts(found: InspectedMap) -> dict[str, dict[str, int]]:
    """Return kind to distance (`0`, `1` …, `> 10`) to the number of entries."""
    counted: dict[str, dict[str, int]] = {}
    names = [*map(str, range(FURTHEST + 1)), f"> {FURTHEST}"]
    near = np.minimum(found.distances, FURTHEST + 1)
    for kind in Kind:
        of_kind = near[(found.map.kinds == kind) & (near >= 0)]
        if len(of_kind):
            counts = Counter(of_kind.tolist())
            counted[kind.word] = {name: counts.get(number, 0) for number, name in enumerate(names)}
    return counted


def busiest_html(found: InspectedMap) -> str:
    """Return the controller tokens that serve most target tokens; all text is escaped."""
    told = found.summary["fan_in"]
    if not told["largest"] or told["largest"][0]["count"] < 2:
        return '<p class="told">No two target tokens share a controller token.</p>'
    names = found.pair.controller_names
    tokens = "".join(
        f"<li><code>{html.escape(names[each['id']])}</code> {each['count']:,}</li>"
        for each in told["largest"][:BUSIEST]
    )
    shared = f"{100 * told['shared']:.1f} % of the mapped tokens share their controller token."
    return f'<p class="told">{shared} These serve most:</p><ol class="busiest">{tokens}</ol>'
