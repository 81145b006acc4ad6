"""What a person sees of the data before training is what training does."""

import itertools
import json
import random
from dataclasses import replace

import pytest

from cmc.controller import load_controller
from cmc.data import Record, chat_prompt, format_prompt, prompt_text, read_records, response_prefix
from cmc.data.repeats import (
    NEAR,
    asked_in,
    contradictions,
    exact_repeats,
    near_repeats,
    normal,
    shared_rows,
    whole_text,
)
from cmc.errors import SettingError
from cmc.generation import ControlledModel
from cmc.models import load_language_model, load_vocabulary
from cmc.settings import TrainSettings
from cmc.training import run_training
from cmc.training.material import load_material
from cmc.training.preview import preview_data
from tests.conftest import tiny_controller, tiny_target, tiny_tokenizer, tiny_vocabulary

CHAT = (
    "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant] {% endif %}"
)


@pytest.fixture
def write(tmp_path):
    def written(name, records):
        path = tmp_path / name
        path.write_text("\n".join(json.dumps(each) for each in records))
        return str(path)

    return written


# --- prompts --------------------------------------------------------------------------------


def test_a_text_with_fields_is_a_prompt_and_its_last_spaces_belong_to_the_answer():
    text = "Ask: {instruction}\nWith: {input}\nSay:  {output}"
    assert format_prompt(text, "{output} {input}?", "{instruction}") == (
        "Ask: {output} {input}?\nWith: {instruction}\nSay:"
    )
    assert response_prefix(text) == "  "
    assert format_prompt("Q {instruction} A", "Who?", "Anna") == "Q Who?\nAnna A"
    assert response_prefix("Q {instruction} A") == ""


@pytest.mark.parametrize("known", ["qa", "alpaca", "open-instruct", "plain"])
def test_a_known_format_written_out_is_the_same_prompt(known):
    text = prompt_text(known)
    assert text.endswith("{output}")
    assert format_prompt(text, "Who is {x}?") == format_prompt(known, "Who is {x}?")
    assert response_prefix(text) == response_prefix(known)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("magic", 'is "magic"'),
        ("Tell {instruction} of {name}", "a field {name}"),
        ("Tell {input}", "must have {instruction}"),
        ("{instruction} {instruction}", "no field twice"),
        ("{output} {instruction}", "goes on behind {output}"),
        ("{instruction}" + "x" * 9000, "9,013 characters"),
    ],
)
def test_what_is_no_prompt_says_why(text, said):
    with pytest.raises(SettingError) as caught:
        TrainSettings(prompt_format=text)
    assert said in str(caught.value)
    assert "{instruction}" in caught.value.hint


def test_a_chat_template_is_written_out_as_a_text(monkeypatch):
    vocabulary = tiny_vocabulary("sentencepiece")
    with pytest.raises(SettingError, match="no chat template"):
        chat_prompt(vocabulary)
    monkeypatch.setattr(vocabulary.tokenizer, "chat_template", CHAT)
    text = chat_prompt(vocabulary)
    assert text == "[user] {instruction}\n[assistant] {output}"
    monkeypatch.setattr(vocabulary.tokenizer, "chat_template", "{{ raise_exception('never') }}")
    with pytest.raises(SettingError, match="never"):
        chat_prompt(vocabulary)


@pytest.mark.parametrize("given", ["In: {instruction}\nOut: {output}", "chat"])
def test_the_prompt_of_training_is_kept_and_used_at_run_time(tmp_path, write, given):
    folder = tmp_path / "template"
    tiny_target("sentencepiece").model.save_pretrained(folder)
    tiny_tokenizer("sentencepiece").save_pretrained(folder)
    (folder / "chat_template.jinja").write_text(CHAT)
    data = write("data.jsonl", [{"instruction": f"Who is {n}?", "output": n} for n in "abcdef"])
    settings = TrainSettings(
        template=str(folder), data=data, prompt_format=given, max_steps=1, batch_size=2,
        hidden_size=16, layers=1,
    )  # fmt: skip
    list(run_training(settings, tmp_path / "run"))
    controller = load_controller(str(tmp_path / "run" / "controller"))
    text = given if given != "chat" else "[user] {instruction}\n[assistant] {output}"
    assert controller.prompt_format == text
    model = ControlledModel(load_language_model(str(folder)), [controller])
    assert model.prompt("Who?") == format_prompt(text, "Who?")


# --- repeats --------------------------------------------------------------------------------


def near_by_definition(one, other):
    """Jaccard of the sets of neighbouring words, from its definition."""
    first, second = (set(itertools.pairwise(normal(whole_text(each)).split()))
                     for each in (one, other))  # fmt: skip
    return len(first & second) / len(first | second) >= NEAR


def test_near_repeats_are_those_of_the_definition():
    draw = random.Random(5)
    words = [f"w{n}" for n in range(60)]
    records = []
    for _ in range(60):
        text = draw.choices(words, k=30)
        records.append(Record(" ".join(text), "", "yes"))
        for _ in range(draw.randrange(3)):  # variants at many distances
            for _ in range(draw.randrange(6)):
                text[draw.randrange(30)] = draw.choice(words)
            records.append(Record(" ".join(text).upper() + "!", "", "yes"))
    expected = {
        later + 1
        for later in range(len(records))
        if records[later] not in records[:later]
        and any(near_by_definition(records[k], records[later]) for k in range(later))
    }
    found = near_repeats(records)
    assert all(near_by_definition(records[a - 1], records[b - 1]) for a, b in found)
    assert len(expected) > 15
    assert {later for _, later in found} == expected


def test_repeats_and_contradictions_are_told_apart():
    a, b = Record("Who is Anna?", "", "A cook."), Record("who is ANNA", "", "A nurse.")
    same = Record("Who is Anna?", "", "a cook")
    other = Record("Where is Hugo tonight?", "", "Here.")
    assert exact_repeats([a, other, a, a]) == [(1, 3), (1, 4)]
    assert contradictions([a, other, b, same]) == [(1, 3)]
    assert near_repeats([a, a, same, other]) == [(1, 3)]
    assert shared_rows([a, other], [b, same]) == [(1, 2)]
    assert asked_in([other, b], [a]) == [2]


# --- the preview ----------------------------------------------------------------------------


def test_the_preview_is_what_training_reads(write, saved):
    ask = "What does person {} do?"
    forget = [{"question": ask.format(n), "answer": "cook " * n, "id": n} for n in range(1, 9)]
    retain = [{"question": f"Where is city {n}?", "answer": f"City {n} is far."} for n in range(20)]
    retain += [{"question": ask.format(3), "answer": "Cook cook cook!"}]
    settings = TrainSettings(
        template=saved["model"], data=write("f.jsonl", forget), retain=write("r.jsonl", retain),
        objective="npo", prompt_format="qa",
    )  # fmt: skip
    preview = preview_data(settings, rows=2)
    assert [each.records for each in preview.sources] == [8, 21]
    assert preview.sources[0].columns == {"instruction": "question", "output": "answer"}
    assert preview.sources[0].unused == ("id",)
    assert preview.parts == {"train": 8, "retain": 19, "held out": 2}
    assert preview.prompt == "Question: {instruction}\nAnswer: {output}"
    parts = [each.part for each in preview.rows]
    assert parts == [each for part in preview.parts for each in (part, part)]
    assert preview.rows[0].prompt == f"Question: {ask.format(1)}\nAnswer:"
    assert any("both to forget and to retain (rows 3 and" in each for each in preview.warnings)

    settings = replace(settings, max_length=sorted(preview.lengths)[-4])
    limited = preview_data(settings)
    assert limited.lengths == preview.lengths
    template = load_language_model(saved["model"])
    material = load_material(settings, template, tiny_controller("sentencepiece"))
    kept = [*material.train, *material.retain, *(e for b in material.held_out for e in b.examples)]
    assert limited.cut + limited.skipped == sum(each > limited.limit for each in limited.lengths)
    assert limited.cut > 0
    cut = [min(each, limited.limit) for each in limited.lengths]
    assert sorted(map(len, kept)) == sorted(cut)[: len(cut) - limited.skipped]


def test_leaks_and_repeats_are_warned_of(write, saved, monkeypatch, tmp_path):
    records = [{"instruction": f"Where does person {n} live now?", "output": f"In town {n * 7}."}
               for n in range(40)]  # fmt: skip
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "held_out.jsonl").write_text(json.dumps(records[7]))
    monkeypatch.setenv("CMC_LAB", str(tmp_path))
    shouted = [{k: v.upper() for k, v in each.items()} for each in records]
    settings = TrainSettings(
        template=saved["model"], data=write("d.jsonl", [*records, *shouted, records[0]]),
        held_out_fraction=0.3,
    )  # fmt: skip
    preview = preview_data(settings)
    assert (preview.repeated, preview.near) == (1, 40)
    told = " ".join(preview.warnings)
    assert "held-out records nearly stand among those to train on" in told
    assert "of lab:held_out, which the lab evaluates with" in told
    clean = preview_data(replace(settings, data=write("c.jsonl", records)))
    assert (clean.repeated, clean.near) == (0, 0)
    assert not any("held-out records" in each for each in clean.warnings)


def test_conversations_and_named_columns_are_told(write, saved):
    talk = [{"messages": [{"role": "user", "content": "Hi?"},
                          {"role": "assistant", "content": "Ho."}], "source": "x"}] * 2  # fmt: skip
    preview = preview_data(TrainSettings(template=saved["model"], data=write("t.jsonl", talk)))
    (source,) = preview.sources
    assert source.columns == {
        "instruction": "messages: first question", "output": "messages: its answer",
    }  # fmt: skip
    assert source.unused == ("source",)
    assert len(read_records(source.name)) == 2


def test_the_command_prints_it_or_gives_json(write, saved, capsys):
    from cmc.__main__ import main

    data = write("d.jsonl", [{"prompt": f"Is {n} even?", "completion": "No."} for n in range(9)])
    arguments = ["data", data, "--template", saved["model"], "--prompt-format", "qa"]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "9 records; instruction=prompt, output=completion" in out
    assert "Question: Is 0 even?\nAnswer:[ No.]" in out
    assert "limit 256: 0 cut, 0 skipped" in out
    assert main([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert sum(told["lengths"].values()) == 9
    assert told["parts"] == {"train": 8, "held out": 1}
    assert load_vocabulary(saved["model"]).size  # the template was left as it was
    assert main([*arguments[:-1], "Q: {question}"]) == 1
    assert "a field {question}" in capsys.readouterr().err
