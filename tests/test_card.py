"""Model cards: all there is to tell, nothing of this machine, nothing that breaks out."""

import pytest
import yaml

from cmc.card import model_card
from cmc.controller import default_settings

SETTINGS = default_settings() | {
    "objective": "npo", "template": "/home/me/secret/template", "parent": "lab:prior",
    "data": {"/home/me/secret/data.jsonl": "ab12"}, "recommended_strength": 0.5,
    "settings": {"max_steps": 300, "learning_rate": 0.001, "data": "/home/me/secret/data.jsonl"},
    "metrics": {"steps": 300, "held_out": {"template": 1.25, "controlled": 0.5}, "note": "x"},
}  # fmt: skip


def test_a_card_tells_what_it_is_how_to_use_it_and_how_it_did():
    card = model_card("me/mine", SETTINGS, 1234567, origin="version 3 of mine", licence="mit")
    metadata = yaml.safe_load(card.split("---")[1])
    assert metadata["license"] == "mit"
    assert "cross-model-control" in metadata["tags"]
    for wanted in ("# mine", "--controller me/mine:0.5", "1,234,567", "`npo`", "version 3 of mine",
                   "`data.jsonl`", "max_steps 300", "held_out, controlled: 0.5", "`lab:prior`",
                   "not erasure"):  # fmt: skip
        assert wanted in card
    assert "No licence is stated" not in card


def test_a_card_tells_no_path_of_this_machine():
    for name in ("me/mine", "/home/me/secret/mine"):
        assert "secret" not in model_card(name, SETTINGS, 1)


@pytest.mark.parametrize("text", ["a`\n# owned", "<script>x</script>", "x\n---\nlicense: mit"])
def test_what_a_person_wrote_opens_nothing(text):
    card = model_card("me/mine", SETTINGS | {"template": text, "prompt_format": text}, 1)
    lines = card.splitlines()
    assert not any(line.startswith(("# owned", "license:")) for line in lines)
    assert lines.count("---") == 2
    assert "<script" not in card


def test_without_a_licence_the_card_says_so_and_instructions_are_no_suppression():
    card = model_card("me/mine", default_settings(), 1)
    assert "No licence is stated" in card
    assert "erasure" not in card
    assert "license" not in yaml.safe_load(card.split("---")[1])
