"""Charts show what the data say, at any size of data."""

import pandas as pd
import pytest

from cmc import charts

ROWS = [
    {"target": "lab:byte", "transfer": "cover", "exact_match": 0.6, "low": 0.5, "high": 0.75},
    {"target": "lab:byte", "transfer": "pm-mined", "exact_match": 0.1, "low": 0.0, "high": 0.2},
]


def records(count: int) -> pd.DataFrame:
    rows = [
        {"step": step, "loss": 3 / step, "held_out_controlled": None} for step in range(1, count)
    ]
    rows += [{"step": count, "loss": 3 / count, "held_out_controlled": 1.5}]
    return pd.DataFrame(rows)


@pytest.mark.parametrize("count", [1, 2, 399, 400, 401, 5000])
def test_a_curve_has_a_bounded_number_of_points_and_keeps_the_last(count):
    steps, values = charts.thinned(records(count), "loss")
    assert 1 <= len(steps) <= charts.MAX_POINTS
    assert steps[-1] == count
    assert values[-1] == pytest.approx(3 / count)
    assert steps == sorted(steps)


def test_an_empty_run_says_what_will_be_there():
    figure = charts.loss_curve(pd.DataFrame())
    assert not figure.data
    assert "first step" in figure.layout.annotations[0].text


def test_held_out_is_drawn_only_where_it_was_measured():
    figure = charts.loss_curve(records(20))
    by_name = {trace.name: trace for trace in figure.data}
    assert list(by_name["held out, controlled"].x) == [20]
    assert "held out, base" not in by_name


def test_bars_have_their_intervals():
    figure = charts.transfer_bars(ROWS, {"exact_match": 0.7})
    cover = next(trace for trace in figure.data if trace.name == "cover")
    assert list(cover.y) == [0.6]
    assert cover.error_y.array[0] == pytest.approx(0.15)
    assert cover.error_y.arrayminus[0] == pytest.approx(0.1)
    assert "0.70" in figure.layout.annotations[0].text


def test_bars_mark_the_target_alone_and_fine_tuned_where_known():
    rows = [row | {"base": 0.01, "finetuned": 0.44} for row in ROWS]
    names = {trace.name for trace in charts.transfer_bars(rows, {}).data}
    assert {"target alone", "target fine-tuned"} <= names
    assert "target alone" not in {trace.name for trace in charts.transfer_bars(ROWS, {}).data}


def test_no_report_is_no_error():
    assert charts.transfer_bars([], {}).layout.annotations


def test_shares_add_up_to_a_hundred_and_nothing_counted_is_nothing_drawn():
    shares = {"vocabulary": {"exact": 3, "none": 1}, "running text": {"exact": 0.0}}
    figure = charts.kind_shares(shares)
    first = [trace.x[0] for trace in figure.data]
    assert sum(first) == pytest.approx(100)
    assert all(trace.x[1] == 0 for trace in figure.data)
