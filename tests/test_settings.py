"""Requests refuse what cannot be meant."""

import pytest

from cmc.errors import SettingError
from cmc.settings import GenerationRequest, Sampling, TrainSettings, checked_number, home


@pytest.mark.parametrize("value", ["abc", None, float("nan"), float("inf"), 11, -11, "", [1]])
def test_a_strength_is_a_number_in_range(value):
    with pytest.raises(SettingError) as caught:
        checked_number("strength", value, -10, 10)
    assert caught.value.hint == "Give a number from -10 to 10."


def test_numbers_may_come_as_text():
    assert Sampling(max_new_tokens="12", temperature="0.5").max_new_tokens == 12
    with pytest.raises(SettingError, match="new tokens is"):
        Sampling(max_new_tokens=1.5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"objective": "magic"}, "objective"),
        ({"data": " "}, "no data is named"),
        ({"prompt_format": "chatty"}, "prompt format"),
        ({"learning_rate": 0}, "learning rate"),
        ({"objective": "npo"}, "retain"),
    ],
)
def test_training_settings_say_what_is_wrong(fields, message):
    with pytest.raises(SettingError, match=message):
        TrainSettings(**fields)


def test_every_controller_has_a_strength():
    request = GenerationRequest(prompts=("Hi",), controllers={"a": "1.5", "b": -2})
    assert request.controllers == {"a": 1.5, "b": -2.0}
    with pytest.raises(SettingError, match="strength of a"):
        GenerationRequest(prompts=("Hi",), controllers={"a": "strong"})
    with pytest.raises(SettingError, match="prompt is empty"):
        GenerationRequest(prompts=(" ",))


def test_runs_live_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("CMC_HOME", str(tmp_path))
    assert home() == tmp_path
