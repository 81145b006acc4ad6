"""The Generate tab: its requests, links, pictures of tokens, and what goes wrong in it."""

import json
import shutil
from dataclasses import replace
from itertools import pairwise
from urllib.parse import parse_qsl

import pytest
import torch
from conftest import tiny_controller, tiny_network, tiny_target, tiny_tokenizer
from gradio_client import Client
from hypothesis import given
from hypothesis import strategies as st

from cmc import workspace as workspace_module
from cmc.generation import Decoder, TokenDetail, TokenOption
from cmc.settings import TRANSFERS, CompareRequest, GenerationRequest, Sampling
from cmc.ui.layout import TABS, build_app, launch_arguments
from cmc.ui.tabs.generate import choices as choices_module
from cmc.ui.tabs.generate.choices import CompareChoices, GenerateChoices
from cmc.ui.tabs.generate.compare import comparison_data, grid_html
from cmc.ui.tabs.generate.desk import ticks_html
from cmc.ui.tabs.generate.heat import heat_html, signed, told_otherwise, top_html
from cmc.ui.tabs.generate.history import MOST, WHOLE, history_html, remembered
from cmc.ui.tabs.generate.link import LONGEST_PROMPT, Offer, link_query, read_link
from cmc.ui.tabs.generate.panes import Result
from cmc.workspace import SideBySide, Workspace
from cmc.workspace.advice import StrengthAdvice
from cmc.workspace.comparison import Compared
from cmc.workspace.evaluations import Recommendation
from cmc.workspace.result import result_data

HOSTILE = '<img src=x onerror="alert(1)">'
OFFER = Offer(
    tabs=TABS,
    targets=["lab:byte"],
    controllers=["lab:instruct", "lab:style"],
    is_open=True,
    find_map=str,
)


def option(token_id: int, text: str, base: float, controlled: float) -> TokenOption:
    return TokenOption(token_id, text, base, controlled)


def detail(text: str, base: float = -4.0, controlled: float = -1.0, other: str = "") -> TokenDetail:
    chosen = option(1, text, base, controlled)
    before = option(2, other, -0.5, -3.0) if other else chosen
    return TokenDetail(chosen, before, (controlled - base,), (before,), (chosen,))


def shown(*tokens: TokenDetail, controlled: str = "b") -> SideBySide:
    return SideBySide(
        base="a", controlled=controlled, base_tokens=1, controlled_tokens=len(tokens),
        base_seconds=1.0, controlled_seconds=1.0, strengths={"one": 1.0}, transfers=("cover",),
        is_finished=True, tokens=tokens,
    )  # fmt: skip


# Folders of random models: everything the app does with a path, without the lab.


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    home = tmp_path_factory.mktemp("models")
    for name in ("target", "nan"):
        model = tiny_network(tiny_target("byte-level").vocabulary.size, architecture="gpt_neox")
        if name == "nan":
            model.get_output_embeddings().weight.fill_(float("nan"))
        model.save_pretrained(home / name)
        tiny_tokenizer("byte-level").save_pretrained(home / name)
    for name in ("controller", "damaged"):
        tiny_controller("sentencepiece").save_pretrained(home / name)
    (home / "damaged" / "tokenizer.json").write_text('{"model": {}}', encoding="utf-8")
    return home


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    demo = build_app(Workspace(home=tmp_path_factory.mktemp("home")))
    demo.queue().launch(prevent_thread_lock=True, quiet=True, **launch_arguments())
    yield Client(demo.local_url, verbose=False)
    demo.close()


def asked(folders, **others):
    common = {"prompt": "Where is it?", "target": str(folders / "target"), "max_new_tokens": 6}
    return common | {"controller": str(folders / "controller")} | others


def test_generate_gives_texts_sentences_and_data(client, folders):
    base, controlled, *_, data, identity, provenance = client.predict(
        **asked(folders, strength=3), api_name="/generate"
    )
    assert (data["base"]["text"], data["controlled"]["text"]) == (base, controlled)
    assert len(data["tokens"]) == data["controlled"]["tokens"] == 6
    changed = sum(each["base_choice"] is not None for each in data["tokens"])
    assert f"<b>{changed} of 6</b> tokens" in identity
    assert "controller at 3 (cover)" in provenance
    assert len(data["tokens"][0]["before"]) == len(data["tokens"][0]["after"]) == 10


def test_a_muted_controller_is_silent_and_a_second_one_counts(client, folders):
    base, muted, *_ = client.predict(**asked(folders, strength=5, muted=True), api_name="/generate")
    assert base == muted
    shutil.copytree(folders / "controller", folders / "other", dirs_exist_ok=True)
    two = asked(folders, second_controller=str(folders / "other"), second_strength=2)
    *_, data, _, _ = client.predict(**two, api_name="/generate")
    assert list(data["request"]["controllers"].values()) == [1.0, 2.0]
    assert all(len(token["shifts"]) == 2 for token in data["tokens"])


def test_both_panes_grow_together_and_text_stays_as_it_is(client, folders):
    question = asked(folders, strength=3, max_new_tokens=120)
    seen = [(base, said) for base, said, *_ in client.submit(**question, api_name="/generate")]
    last = seen[-1]
    both = [
        pair for pair in seen if all(0 < len(a) < len(b) for a, b in zip(pair, last, strict=True))
    ]
    assert both, "while it streams, neither pane waits for the other"
    for one, pane in ((0, "base"), (1, "controlled")):
        said = [pair[one] for pair in seen]
        grown = pairwise(said)
        assert all(after.startswith(before) for before, after in grown), pane


def test_a_seed_repeats_what_was_drawn_and_another_draws_anew(client, folders):
    def said(**sampling) -> str:
        return client.predict(**asked(folders, **sampling), api_name="/generate")[1]

    drawn = said(temperature=1.5, seed=3)
    assert said(temperature=1.5, seed=3) == drawn
    assert len({said(temperature=1.5, seed=seed) for seed in (3, 4, 5)}) > 1
    greedy = said(temperature=0)
    assert said(temperature=1.5, seed=3, top_k=1) == greedy
    assert said(temperature=1.5, seed=3, min_p=1) == greedy
    assert said(temperature=1.5, seed=3, top_p=0) == greedy


def test_a_stopped_call_leaves_the_app_ready(client, folders):
    job = client.submit(**asked(folders, max_new_tokens=200), api_name="/generate")
    assert next(iter(job))[1] is not None
    job.cancel()
    assert client.predict(**asked(folders), api_name="/generate")[1]


def test_what_an_endpoint_gives_back_has_names(client):
    api = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    given = [each["label"] for name in ("/generate", "/compare") for each in api[name]["returns"]]
    assert [each for each in given if each.startswith("value_")] == []
    assert len(set(given)) == len(given)
    for name, needed in (("/generate", "Result as data"), ("/compare", "Comparison as data")):
        assert needed in api[name]["description"]
        assert needed in given


def test_compare_gives_a_row_per_target_and_a_column_per_strength(client, folders):
    targets = [str(folders / "target"), str(folders / "nan")]
    grid, data = client.predict(
        **asked(folders, targets=targets, strengths="0, 0.5 3"), api_name="/compare"
    )
    good, bad = data["rows"]
    assert [each["strength"] for each in good["answers"]] == [0.0, 0.5, 3.0]
    assert good["answers"][0]["text"] != good["answers"][2]["text"]
    assert "scores that are no numbers" in bad["error"]
    assert "scores that are no numbers" in grid
    alone, *_ = client.predict(**asked(folders), api_name="/generate")
    assert good["answers"][0]["text"] == alone


def exhausted(*_, **__):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


def exhausted_processor(*_, **__):
    raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")


@pytest.mark.parametrize("error", [exhausted, exhausted_processor])
@pytest.mark.parametrize(
    ("where", "name"), [(workspace_module, "load_language_model"), (Decoder, "step")]
)
def test_exhausted_memory_is_told_and_the_app_goes_on(
    client, folders, monkeypatch, error, where, name
):
    shutil.copytree(folders / "target", folders / "fresh", dirs_exist_ok=True)
    question = asked(folders, target=str(folders / "fresh"))
    with monkeypatch.context() as patched:
        patched.setattr(where, name, error)
        patched.setattr(workspace_module.Kept, "get", lambda _, __, load: load())
        with pytest.raises(Exception, match="not enough memory for this") as caught:
            client.predict(**question, api_name="/generate")
    assert "Choose a smaller target" in str(caught.value)
    assert client.predict(**question, api_name="/generate")[1]


@pytest.mark.parametrize("error", [exhausted, exhausted_processor])
def test_a_comparison_tells_of_exhausted_memory_in_its_row(client, folders, monkeypatch, error):
    targets = [str(folders / "target"), str(folders / "nan")]
    question = asked(folders, targets=targets, strengths="0 1")
    with monkeypatch.context() as patched:
        patched.setattr(Decoder, "step", error)
        _, data = client.predict(**question, api_name="/compare")
    assert all("not enough memory for this" in row["error"] for row in data["rows"])
    _, data = client.predict(**question, api_name="/compare")
    assert all(each["text"] for each in data["rows"][0]["answers"])


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"target": "nan"}, "gave scores that are no numbers"),
        ({"controller": "damaged"}, "The tokenizer of .* cannot be read"),
        ({"prompt": "word " * 400}, "256 tokens that .* can read. Shorten the prompt"),
        ({"target": HOSTILE}, "&lt;img src=x"),
        ({"seed": None}, "Seed is empty. Give a number from 0 to 9223372036854775808"),
        ({"strength": None}, "Strength of .* is empty. Give a number from -10 to 10"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_one_sentence_and_the_app_goes_on(client, folders, wrong, sentence):
    paths = {
        name: str(folders / value) if (folders / str(value)[:20]).is_dir() else value
        for name, value in wrong.items()
    }
    with pytest.raises(Exception, match=sentence) as caught:
        client.predict(**asked(folders, **paths), api_name="/generate")
    assert "Traceback" not in str(caught.value)
    assert client.predict(**asked(folders), api_name="/generate")[1]


def test_memory_that_ran_out_leaves_nothing_loaded(monkeypatch, tmp_path, folders):
    workspace = Workspace(home=tmp_path)
    request = GenerationRequest(
        target=str(folders / "target"), controllers={str(folders / "controller"): 1.0}
    )
    workspace.controlled_model(request)
    monkeypatch.setattr(Decoder, "step", exhausted)
    with pytest.raises(Exception, match="not enough memory"):
        list(workspace.stream_side_by_side(request))
    assert [len(each) for each in (workspace._models, workspace._pairs)] == [0, 0]


# Requests


def test_a_request_holds_all_channels_with_a_controller():
    desk = GenerateChoices(
        prompt="a", second_controller="lab:style", second_strength=0.5, fourth_controller="mine",
        fourth_strength=2.0, fourth_muted=True,
    )  # fmt: skip
    assert desk.request().controllers == {"lab:instruct": 1.0, "lab:style": 0.5, "mine": 0.0}


@pytest.mark.parametrize("text", ["0,0.5, 1", "0 0.5 1", "0; 0.5; 1; 0.5"])
def test_strengths_are_read_however_they_are_parted(text):
    assert CompareChoices(prompt="a", strengths=text).comparison().strengths == (0.0, 0.5, 1.0)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"prompt": " "}, "prompt is empty"),
        ({"strengths": ()}, "0 strengths"),
        ({"strengths": tuple(range(-6, 7))}, "13 strengths"),
        ({"strengths": ("x",)}, "no number"),
        ({"targets": ()}, "0 targets"),
        ({"controllers": {}}, "no controller"),
    ],
)
def test_a_comparison_is_checked(wrong, sentence):
    with pytest.raises(ValueError, match=sentence):
        CompareRequest(**wrong)


# Links

names = st.sampled_from(["lab:instruct", "lab:style", "owner/name@main", "/a b/c:d", "x=1&y"])
strengths = st.integers(-200, 200).map(lambda hundredths: hundredths / 20)


@given(
    st.lists(
        st.tuples(names, strengths, st.booleans()), min_size=1, max_size=4, unique_by=lambda x: x[0]
    ),
    st.text(min_size=1, max_size=80),
    st.sampled_from(TRANSFERS),
    st.integers(0, 2**40),
)
def test_a_link_restores_what_it_was_made_from(desk, prompt, transfer, seed):
    values = {"prompt": prompt, "transfer": transfer, "seed": seed, "temperature": 0.7}
    for prefix, (name, strength, muted) in zip(choices_module.CHANNELS, desk, strict=False):
        values |= {f"{prefix}controller": name, f"{prefix}strength": strength}
        values[f"{prefix}muted"] = muted
    choices = GenerateChoices(**values)
    query = parse_qsl(link_query(choices)[1:], keep_blank_values=True)
    found, told = read_link(query, OFFER)
    assert told == []
    assert GenerateChoices(**found) == choices


def test_a_link_is_short():
    assert link_query(GenerateChoices(prompt="Who is it?")) == (
        "?prompt=Who+is+it%3F&target=lab:byte&controller=lab:instruct:1"
    )
    with pytest.raises(ValueError, match="too many for a link"):
        link_query(GenerateChoices(prompt="a" * (LONGEST_PROMPT + 1)))


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        (("tab", "nowhere"), "nowhere"),
        (("strength", "abc"), "no number"),
        (("strength", "nan"), "out of range"),
        (("strength", "11"), "out of range"),
        (("target", "lab:nowhere"), "not offered here"),
        (("target", "a\x00b"), "no name of a model"),
        (("controller", "lab:instruct"), "has no strength"),
        (("controller", "lab:gone:1"), "not offered here"),
        (("controller", "lab:style:99"), "out of range"),
        (("transfer", "magic"), "transfer is"),
        (("seed", "-1"), "out of range"),
        (("top_p", "2"), "out of range"),
        (("max_new_tokens", "1.5"), "whole number"),
        (("prompt", "a" * (LONGEST_PROMPT + 1)), "characters"),
        (("strenght", "1"), "no part of a link"),
    ],
)
def test_every_bad_part_of_a_link_is_told_and_left_out(query, sentence):
    found, told = read_link([query, ("prompt", "Hi")], OFFER)
    assert len(told) == 1
    assert sentence in told[0].lower()
    assert found == {"prompt": "Hi"}


def test_a_public_demo_opens_links_to_what_it_offers_only():
    closed = replace(OFFER, is_open=False)
    _, told = read_link([("target", "owner/model"), ("controller", "owner/tiny:1")], closed)
    assert len(told) == 2
    assert read_link([("target", "owner/model")], OFFER) == ({"target": "owner/model"}, [])
    assert read_link([("__theme", "dark"), ("__sign", "x")], OFFER) == ({}, [])


# What is shown


def test_tokens_are_text_whatever_they_hold():
    token = detail(HOSTILE, other=HOSTILE)
    drawn = heat_html([token]) + top_html(replace(token, shifts=(1, 2)), ["one", HOSTILE])
    drawn += history_html([Result(GenerateChoices(prompt=HOSTILE), shown(controlled=HOSTILE))])
    request = CompareRequest(prompt="a", targets=(HOSTILE,), controllers={HOSTILE: 1.0})
    drawn += grid_html(request, [Compared(target=HOSTILE, texts=(HOSTILE,), token_counts=(1,))])
    assert "<img" not in drawn
    assert drawn.count("&lt;img") >= 6


def test_white_space_is_visible_and_a_new_line_is_one():
    drawn = heat_html([detail(" a"), detail("\n"), detail("b")])
    assert ">·a</button>" in drawn
    assert ">⏎</button><br>" in drawn


def test_the_colour_goes_with_a_number_and_grows_with_the_shift():
    weak, strong, down = heat_html(
        [detail("a", -1.5, -1.0), detail("b", -9.0, -1.0), detail("c", -1.0, -4.0)]
    ).split("</button>")[:3]
    assert "--heat:0.083" in weak
    assert "+0.5 nats" in weak
    assert "--heat:1.000" in strong
    assert 'class="down"' in down
    assert "−3.0 nats" in down
    assert (signed(float("inf")), signed(float("-inf"))) == ("+∞", "−∞")


def test_what_the_base_would_have_said_is_counted_and_named():
    tokens = [detail("a"), detail("b", other="c"), detail("d", other="e")]
    assert "at <b>2 of 3</b> tokens" in told_otherwise(tokens)
    assert heat_html(tokens).count('class="up other"') == 2
    assert "would have said c" in heat_html(tokens)
    assert told_otherwise([]) == ""


def test_the_table_of_a_token_shows_both_sides_and_each_controller():
    token = replace(detail("a", -4.0, -1.0, other="b"), shifts=(2.0, 1.5))
    drawn = top_html(token, ["one", "two"])
    assert "36.8 %" in drawn  # exp(-1) under control
    assert "60.7 %" in drawn  # exp(-0.5) of the base's choice
    assert "+3.0" in drawn
    assert "two alone +1.5" in drawn


@pytest.mark.parametrize(
    ("advice", "places"),
    [
        (StrengthAdvice(1.0, -1.0, 2.0), ["-1", "0 base", "1 as trained", "2"]),
        (StrengthAdvice(0.5, 0.0, 0.8), ["0 base", "0.8"]),
        (StrengthAdvice(-1.0, -2.0, 0.0), ["-2", "0 base"]),
    ],
)
def test_ticks_stand_at_the_ends_at_0_and_at_1(advice, places):
    drawn = ticks_html(advice)
    assert "<u" not in drawn
    assert [part.split(">")[-1] for part in drawn.split("</span>")[:-1]] == places
    assert f"recommended: {advice.recommended:g}" in drawn


def test_what_a_sweep_found_goes_before_what_the_controller_says():
    found = Recommendation(0.5, ((1.25, 9.0),), "best within harm", "sweep <1>")
    advice = StrengthAdvice(1.0, -1.0, 2.0).measured(found)
    assert (advice.recommended, advice.low, advice.high) == (0.5, -1.0, 2.0)
    drawn = ticks_html(advice)
    assert 'style="--at:0.5000" title="recommended: 0.5, best within harm' in drawn
    assert "sweep &lt;1&gt;" in drawn
    assert 'style="--at:0.7500;--to:1.0000"' in drawn  # cut where the slider ends
    assert StrengthAdvice().measured(None) == StrengthAdvice()


def test_a_controller_that_cannot_be_read_gets_the_usual_range(tmp_path):
    (tmp_path / "controller.json").write_text("{", encoding="utf-8")
    workspace = Workspace(home=tmp_path / "home")
    for name in (str(tmp_path), "run:gone", "owner/on-the-hub", "", "lab:nothing"):
        assert workspace.strength_advice(name, "lab:byte") == StrengthAdvice()


def test_the_history_keeps_the_newest_once():
    results = [Result(GenerateChoices(prompt=str(n)), shown()) for n in range(MOST + 5)]
    kept: list[Result] = []
    for result in [*results, results[-1]]:
        kept = remembered(kept, result)
    assert kept == results[: -MOST - 1 : -1]


def test_the_history_lets_go_of_what_takes_most_memory():
    kept: list[Result] = []
    for number in range(WHOLE + 1):
        kept = remembered(kept, Result(GenerateChoices(prompt=str(number)), shown(detail("a"))))
    assert [len(each.shown.tokens[0].before) for each in kept] == [1] * WHOLE + [0]
    old = kept[-1].shown.tokens[0]
    assert old.chosen == detail("a").chosen
    assert "generate again" in top_html(old)


def test_an_exported_result_is_json_even_where_a_token_was_impossible():
    data = result_data(
        GenerationRequest(sampling=Sampling(seed=5)), shown(detail("a", float("-inf"), -1.0))
    )
    again = json.loads(json.dumps(data, allow_nan=False))
    assert again["tokens"][0]["base_logprob"] is None
    assert again["request"]["sampling"]["seed"] == 5


def test_a_comparison_as_data_names_what_could_not_take_part():
    request = CompareRequest(targets=("a", "b"), strengths=(0, 1))
    found = [
        Compared(target="a", texts=("x", "y"), token_counts=(1, 2), seconds=0.5),
        Compared(target="b", error="It is too large."),
    ]
    first, second = comparison_data(request, found)["rows"]
    assert [each["text"] for each in first["answers"]] == ["x", "y"]
    assert (second["error"], second["answers"]) == ("It is too large.", [])
