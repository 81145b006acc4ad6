"""The Vocabulary tab: what it shows is the map, text stays text, and what is typed is checked."""

import re
from dataclasses import replace
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from conftest import tiny_tokenizer, tiny_vocabulary
from gradio_client import Client
from hypothesis import given
from hypothesis import strategies as st

from cmc import models
from cmc.errors import DataError, StoreError
from cmc.settings import MapRequest, lab_folder
from cmc.ui.layout import build_app, launch_arguments
from cmc.ui.tabs.vocabulary.acts import ACTS, FileChoices
from cmc.ui.tabs.vocabulary.compare import CompareChoices, request_of
from cmc.ui.tabs.vocabulary.differences import counts_html, listed
from cmc.ui.tabs.vocabulary.entries import EntryChoices, build_entries, next_order
from cmc.ui.tabs.vocabulary.explained import explanation_html
from cmc.ui.tabs.vocabulary.figures import busiest_html, distance_counts, shares_of
from cmc.ui.tabs.vocabulary.head import head_html
from cmc.ui.tabs.vocabulary.override import NONE, controller_token
from cmc.ui.tabs.vocabulary.panel import BuiltChoices, PairChoices
from cmc.ui.tabs.vocabulary.spans import Span, Token, aligned, cut_alike, placed, spans_html
from cmc.ui.tabs.vocabulary.table import PAGE_ROWS, page_of, whole
from cmc.ui.tabs.vocabulary.text import LONGEST, measured_html, read_upload
from cmc.ui.tabs.vocabulary.versions import version_choices, versions_html
from cmc.vocab import Vocabulary
from cmc.vocab.visible import visible
from cmc.workspace import Workspace
from cmc.workspace.map_versions import override_entry, versions_of
from cmc.workspace.maps import compare_maps, inspect_map, measure_text

HOSTILE = '<img src=x onerror="alert(1)">'
MINED = MapRequest(controller="unigram", target="byte-level", transfer="pm-mined")
COVER = replace(MINED, transfer="cover")
has_lab = pytest.mark.skipif(
    not (lab_folder() / "models" / "byte").is_dir(), reason="the starter lab is not built"
)


def hostile_vocabulary() -> Vocabulary:
    """Return a vocabulary with a token that is markup."""
    tokenizer = tiny_tokenizer("byte-level")
    changed = type(tokenizer)(tokenizer_object=tokenizer.backend_tokenizer)
    changed.add_tokens([HOSTILE])
    return Vocabulary(changed)


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Workspace:
    def load(name: str) -> Vocabulary:
        return hostile_vocabulary() if name == "hostile" else tiny_vocabulary(name)

    monkeypatch.setattr(models, "load_vocabulary", load)
    return Workspace(home=tmp_path)


@pytest.fixture
def mined(workspace):
    return inspect_map(workspace, MINED)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b" a\n", "·a⏎"),
        (b"\xe2\x82", "<E2><82>"),
        (b"\x07", "<U+0007>"),
        (None, ""),
        ("é".encode(), "é"),
    ],
)
def test_white_space_and_broken_bytes_are_visible(data, text):
    assert visible(data) == text


@given(st.integers(1, 30), st.data())
def test_spans_are_cut_where_both_sides_have_a_boundary(length, draw):
    def side() -> list[Token]:
        inner = draw.draw(st.lists(st.integers(0, length), max_size=length))
        return [Token(number, "x", end) for number, end in enumerate(sorted([*inner, length]))]

    mine, theirs = side(), side()
    spans = cut_alike(mine, theirs)
    assert [token for span in spans for token in span.controller] == mine
    assert [token for span in spans for token in span.target] == theirs
    ends = {each.end for each in mine} & {each.end for each in theirs}
    assert [span.target[-1].end for span in spans] == sorted(ends)
    assert all(span.controller[-1].end == span.target[-1].end for span in spans)


def test_a_text_stands_whole_in_both_rows_of_spans(mined):
    text = "the painter lives\n in Oslo — 日本"
    spans = aligned(mined, text)
    shown = "".join(token.shown for span in spans for token in span.target)
    data = b"".join(
        mined.target.token_bytes[token.token_id] for span in spans for token in span.target
    )
    assert data == text.encode()
    assert "·lives" in shown.replace(" ", "·")
    assert any(span.is_alike for span in spans)
    assert not all(span.is_alike for span in spans)


def test_unknown_tokens_stand_for_the_bytes_they_leave_out():
    vocabulary = tiny_vocabulary("unigram")
    unknown = vocabulary.roles["unk"][0]
    a = vocabulary.id_of_bytes[b"a"]
    tokens = placed(vocabulary, [unknown, a, unknown], "日a本".encode(), ["?"] * vocabulary.size)
    assert [each.end for each in tokens] == [3, 4, 7]


def test_tokens_are_never_markup(workspace):
    token = Token(1, HOSTILE, 9, HOSTILE, HOSTILE)
    assert "<img" not in spans_html([Span((token,), (token,))])
    found = inspect_map(workspace, replace(MINED, controller="hostile", target="hostile"))
    hostile = found.pair.target_names.index(visible(HOSTILE.encode()))
    with gr.Blocks():
        entries, _ = build_entries()
    shown = entries.show(found, EntryChoices(wanted=f"#{hostile}"))[entries.table]
    pages = [
        shown,
        explanation_html(found, found.explain(hostile)),
        spans_html(aligned(found, f"a {HOSTILE}")),
        busiest_html(found),
        head_html(found.summary, HOSTILE),
        measured_html(measure_text(found, HOSTILE), 3),
    ]
    assert not any("<img" in page for page in pages)
    assert "&lt;img" in shown
    version = override_entry(workspace, found.request, hostile, 0, HOSTILE)
    assert "<img" not in versions_html([version], "")
    assert "&lt;img" in versions_html([version], "")


@pytest.mark.parametrize(
    ("wanted", "number"), [(1, 1), (3, 3), (4, 3), (0, 1), (-5, 1), (None, 1), ("x", 1), (1e400, 1)]
)
def test_any_page_that_is_asked_for_is_one_there_is(wanted, number):
    page = page_of(np.arange(2 * PAGE_ROWS + 1), wanted)
    assert (page.number, page.pages, page.total) == (number, 3, 2 * PAGE_ROWS + 1)
    assert len(page.ids) <= PAGE_ROWS
    empty = page_of(np.arange(0), wanted)
    assert (empty.ids, empty.number, empty.pages) == ((), 1, 1)


@pytest.mark.parametrize(
    ("value", "number"), [("7", 7), (7.0, 7), (None, -1), ([], -1), (float("nan"), -1)]
)
def test_what_a_browser_sends_becomes_a_number(value, number):
    assert whole(value, -1) == number


def test_the_table_shows_one_page_of_what_is_asked_for(mined):
    with gr.Blocks():
        entries, _ = build_entries()
    updates = entries.show(mined, EntryChoices(page=2, order="-bytes", token=-1))
    shown = [int(each) for each in re.findall(r'<tr data-token="(\d+)"', updates[entries.table])]
    lengths = [len(mined.target.token_bytes[each] or b"") for each in shown]
    assert len(shown) == PAGE_ROWS
    assert lengths == sorted(lengths, reverse=True)
    assert updates[entries.fields["page"]] == 2
    assert 'aria-sort="descending"' in updates[entries.table]
    none = entries.show(mined, EntryChoices(wanted="no such token"))[entries.table]
    assert "Nothing is like that" in none


def test_a_head_sorts_and_turns_round():
    assert [next_order("id", "token"), next_order("token", "token")] == ["token", "-token"]
    assert [next_order("id", "fan-in"), next_order("-fan-in", "fan-in")] == ["-fan-in", "fan-in"]
    assert next_order("id", HOSTILE) == "id"


def test_an_explanation_names_candidates_reason_and_what_cover_sums(mined):
    prefix = int(np.flatnonzero(mined.map.kinds == 2)[0])
    told = mined.explain(prefix)
    page = explanation_html(mined, told)
    assert told.reason.replace("'", "&#x27;") in page
    assert f"{told.candidate_count:,} candidate" in page
    assert "What cover sums" in page
    assert "Not what the rules" not in page
    assert "Choose a token" in explanation_html(None, None)


def test_what_a_person_chose_is_told_to_be_no_rule(workspace, mined):
    other = (int(mined.map.ids[300]) + 1) % mined.controller.size
    version = override_entry(workspace, MINED, 300, other)
    changed = inspect_map(workspace, replace(MINED, transfer="auto", saved=version.reference))
    page = explanation_html(changed, changed.explain(300))
    assert "Not what the rules below would take" in page
    assert "chosen" in page
    assert "by a person" in head_html(changed.summary, "mine")


def test_a_controller_token_is_named_by_id_or_as_it_is_shown(mined):
    names = mined.pair.controller_names
    token = mined.controller.id_of_bytes[b" the"]
    assert controller_token(mined, f"#{token}") == token
    assert controller_token(mined, " the") == names.index("·the")
    assert controller_token(mined, "·the") == names.index("·the")
    assert controller_token(mined, NONE) == -1
    for wrong in ("", None, "no such token"):
        with pytest.raises(DataError):
            controller_token(mined, wrong)


def test_charts_count_every_entry(mined):
    summary = mined.summary
    assert sum(shares_of(summary)["vocabulary"].values()) == mined.target.size
    counted = distance_counts(mined)
    assert sum(sum(each.values()) for each in counted.values()) == int((mined.distances >= 0).sum())
    assert counted["exact"] == {name: 0 for name in counted["exact"]} | {
        "0": int((mined.map.kinds == 1).sum())
    }
    assert "serve most" in busiest_html(mined)


def test_a_comparison_lists_what_it_counts(workspace):
    found = compare_maps(workspace, MINED, COVER)
    changes = {name: listed(found, name) for name in ("gained", "lost", "changed")}
    together = np.sort(np.concatenate(list(changes.values())))
    assert listed(found, "all").tolist() == together.tolist()
    for name, ids in changes.items():
        assert f"<span>{name}</span><b>{len(ids):,}</b>" in counts_html(found)
    assert "No entry differs" in counts_html(compare_maps(workspace, MINED, MINED))


def test_what_is_compared_is_of_the_pair_that_is_shown():
    shown = replace(COVER, saved="x@2")
    assert request_of(shown, "=pm-mined") == MINED
    assert request_of(shown, "=parity").parity
    assert request_of(shown, "a to b@3").saved == "a to b@3"
    first, second = CompareChoices(shown=shown).requests()
    assert {first.target, second.target} == {"byte-level"}


def test_a_change_of_the_pair_leaves_a_kept_version_behind():
    chosen = {"controller": " a ", "target": "b", "transfer": "cover", "saved": "x@2"}
    assert PairChoices(**chosen).request() == MapRequest(
        controller="a", target="b", transfer="cover", saved="x@2"
    )
    assert BuiltChoices(**chosen).request().saved == ""


def test_versions_are_kept_labelled_rolled_back_and_shown(workspace, mined):
    choices = FileChoices(shown=MINED, label="good")
    said, kept = ACTS["save"](workspace, choices)
    assert "@1 (good)" in said
    assert kept.saved.endswith("@1")
    second = override_entry(workspace, MINED, 300, 0)
    chosen = replace(choices, version=second.reference)
    assert ACTS["label"](workspace, chosen)[1] == MINED
    assert ACTS["open"](workspace, chosen)[1].saved == second.reference
    said, _ = ACTS["rollback"](workspace, chosen)
    assert "@1 (good)" in said
    versions = versions_of(workspace, mined)
    assert [value for _, value in version_choices(versions)] == [
        second.reference, kept.saved,
    ]  # fmt: skip
    assert 'class="chosen"' in versions_html(versions, kept.saved)
    for act in ("label", "rollback", "open"):
        with pytest.raises(StoreError, match="no version is chosen"):
            ACTS[act](workspace, choices)
    with pytest.raises(DataError, match="no file"):
        ACTS["import"](workspace, choices)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"\xff\xfe\x00", "no text in UTF-8"), (b"x" * (LONGEST + 1), "50,001 characters"),
     (b"x" * (5 * LONGEST), "250 kB")],
)  # fmt: skip
def test_an_upload_that_is_no_short_text_is_told(tmp_path, content, sentence):
    file = tmp_path / "mine.txt"
    file.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(sentence)):
        read_upload(str(file))
    file.write_text("Grüße", "utf-8")
    assert read_upload(str(file)) == "Grüße"


def test_a_text_in_two_scripts_is_told_by_script(mined):
    page = measured_html(measure_text(mined, "painter Москва"), 14)
    assert "<th>Latin</th>" in page
    assert "<th>Cyrillic</th>" in page
    assert "<th>Latin</th>" not in measured_html(measure_text(mined, "painter"), 7)


@has_lab
def test_the_public_api_measures_a_pair_and_a_text(tmp_path):
    demo = build_app(Workspace(home=tmp_path))
    demo.queue().launch(prevent_thread_lock=True, quiet=True, **launch_arguments())
    try:
        client = Client(demo.local_url, verbose=False)
        told = client.predict(transfer="pm-mined", text=HOSTILE, api_name="/map")
        assert told["transfer"] == "pm-mined"
        assert sum(told["ids"].values()) == told["fan_in"]["histogram"]["1"] + told["ids"]["role"]
        assert told["text"]["tokens"] > 0
        for wrong, sentence in (
            ({"target": "no/such"}, "no/such"),
            ({"transfer": "cover", "parity": True}, "parity"),
            ({"saved": "a@1"}, "the store has no map"),
            ({"text": "x" * (LONGEST + 1)}, "50,001 characters"),
        ):
            with pytest.raises(Exception, match=r"\w") as caught:
                client.predict(**wrong, api_name="/map")
            assert sentence.lower() in str(caught.value).lower()
            assert "Traceback" not in str(caught.value)
    finally:
        demo.close()


@has_lab
def test_a_demo_offers_reading_only(tmp_path):
    demo = build_app(Workspace(mode="demo", home=tmp_path))
    by_id = {block.elem_id: block for block in demo.blocks.values() if block.elem_id}
    assert not by_id["map-save"].visible
    assert not by_id["map-import"].visible
    assert by_id["map-export-json"].visible
    assert not by_id["map-controller"].allow_custom_value
    assert not list(Path(tmp_path).iterdir())
