"""The app calls the package, shows what it says, and keeps errors to one sentence."""

import gradio as gr
import pytest
from gradio_client import Client, handle_file

from cmc.settings import lab_folder
from cmc.ui import sentences
from cmc.ui.layout import build_app, launch_arguments
from cmc.ui.tabs.generate.choices import GenerateChoices
from cmc.ui.tabs.train.choices import TrainChoices
from cmc.workspace import SideBySide, Workspace

PUBLIC = {"/generate", "/compare", "/train", "/map", "/evaluate", "/evaluation", "/stop_evaluation"}
HOSTILE = '<img src=x onerror="alert(1)">'
has_lab = pytest.mark.skipif(
    not (lab_folder() / "models" / "byte").is_dir(), reason="the starter lab is not built"
)


def shown(base: str, controlled: str, strength: float, is_finished: bool = True) -> SideBySide:
    return SideBySide(
        base=base, controlled=controlled, base_tokens=3, controlled_tokens=3, base_seconds=1.0,
        controlled_seconds=1.0, strengths={"lab:instruct": strength}, transfers=("cover",),
        is_finished=is_finished,
    )  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def demo(home) -> gr.Blocks:
    return build_app(Workspace(home=home))


@pytest.fixture(scope="module")
def client(demo):
    demo.queue().launch(prevent_thread_lock=True, quiet=True, **launch_arguments())
    yield Client(demo.local_url, verbose=False)
    demo.close()


def test_only_the_actions_of_the_app_are_public_and_each_is_described(demo):
    api = demo.get_api_info()["named_endpoints"]
    assert set(api) == PUBLIC
    assert all(endpoint["description"] for endpoint in api.values())
    names = [each["parameter_name"] for each in api["/generate"]["parameters"]]
    assert {"prompt", "target", "controller", "strength", "second_controller", "seed"} <= set(names)
    compared = [each["parameter_name"] for each in api["/compare"]["parameters"]]
    assert {"prompt", "targets", "strengths", "controller", "transfer"} <= set(compared)


def test_every_input_has_a_label(demo):
    inputs = (gr.Textbox, gr.Number, gr.Slider, gr.Dropdown, gr.Radio, gr.Checkbox, gr.File)
    unlabelled = [
        block for block in demo.blocks.values() if isinstance(block, inputs) and not block.label
    ]
    assert not unlabelled


def test_the_app_is_served_without_telemetry_links_or_files():
    arguments = launch_arguments()
    assert not any(arguments[name] for name in ("share", "ssr_mode", "mcp_server", "allowed_paths"))
    assert not arguments["show_error"]


@has_lab
def test_generate_opens_ready_and_control_changes_the_answer(client):
    base, controlled, *_, identity, provenance = client.predict(
        prompt=Workspace().prompts()[0], strength=1, max_new_tokens=24, api_name="/generate"
    )
    assert controlled
    assert controlled != base
    assert "identical" not in identity
    assert "lab:instruct at 1 (cover)" in provenance


@has_lab
def test_strength_zero_is_shown_to_be_the_base(client):
    base, controlled, *_, identity, _ = client.predict(
        prompt="Where does Olga Holm live?", strength=0, max_new_tokens=8, api_name="/generate"
    )
    assert base == controlled
    assert "strength 0: identical to the base ✓" in identity


@has_lab
@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"prompt": "  "}, "The prompt is empty. Type what the model should answer."),
        ({"strength": 11}, "from -10 to 10"),
        ({"strength": None}, "Give a number"),
        ({"strength": "abc"}, "abc"),
        ({"target": "no/such/model"}, "no/such/model"),
        ({"target": "/tmp"}, "/tmp"),
        ({"max_new_tokens": 0}, "0"),
        ({"target": ""}, "No model is chosen"),
        ({"controller": None}, "No controller is on the desk. Add one"),
        ({"second_controller": "lab:instruct"}, "The desk has lab:instruct twice. Remove one"),
    ],
)
def test_bad_input_is_one_sentence_and_no_traceback(client, wrong, sentence):
    with pytest.raises(Exception, match=r"\w") as caught:
        client.predict(**({"prompt": "Hello"} | wrong), api_name="/generate")
    assert sentence in str(caught.value)
    assert "Traceback" not in str(caught.value)


def test_training_on_what_is_no_data_says_what_to_do_and_starts_nothing(client, home, tmp_path):
    broken = tmp_path / "broken.json"
    broken.write_text('[{"question": "a"}]', encoding="utf-8")
    with pytest.raises(Exception, match="instruction"):
        client.predict(data=str(broken), upload=None, api_name="/train")
    assert not (home / "runs").exists()


def test_an_upload_goes_before_a_named_set_and_is_checked_too(client, home, tmp_path):
    empty = tmp_path / "empty.jsonl"
    empty.write_text("", encoding="utf-8")
    with pytest.raises(Exception, match=r"empty\.jsonl is empty"):
        client.predict(data="lab:instruct", upload=handle_file(str(empty)), api_name="/train")
    assert not (home / "runs").exists()


@has_lab
def test_a_public_demo_refuses_to_train_however_it_is_asked(tmp_path):
    demo = build_app(Workspace(mode="demo", home=tmp_path))
    demo.queue().launch(prevent_thread_lock=True, quiet=True, **launch_arguments())
    try:
        with pytest.raises(Exception, match="switched off"):
            Client(demo.local_url, verbose=False).predict(upload=None, api_name="/train")
    finally:
        demo.close()
    assert not (tmp_path / "runs").exists()


def test_size_and_upload_become_settings(tmp_path):
    file = tmp_path / "mine.json"
    file.write_text("[]", encoding="utf-8")
    workspace = Workspace(home=tmp_path / "home")
    common = {"template": "lab:template", "data": "lab:instruct"}
    settings = TrainChoices(**common, upload=str(file), size="small").settings(workspace)
    assert settings.data.startswith(str(tmp_path / "home"))
    assert (settings.hidden_size, settings.init) == (64, "")
    assert TrainChoices(**common).settings(workspace).init == "lab:prior"


def test_identity_is_said_only_where_it_was_compared():
    assert "identical to the base ✓" in sentences.identity_line(shown("a", "a", 0.0))
    assert "must not happen" in sentences.identity_line(shown("a", "b", 0.0))
    assert "first 2 words" in sentences.identity_line(shown("one two x", "one two y", 1.0))
    assert sentences.identity_line(shown("a", "a", 0.0, is_finished=False)) == ""


def test_provenance_escapes_what_people_typed():
    choices = GenerateChoices(prompt=HOSTILE, target=HOSTILE)
    line = sentences.provenance_line(choices.request(), shown("a", "b", 1.0))
    assert "<img" not in line


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (41.2, "42s"), (65, "1m05s"), (7380, "2h03m")]
)
def test_durations_are_short(seconds, text):
    assert sentences.duration(seconds) == text


def test_speed_is_that_of_the_last_steps():
    records = [{"step": step, "seconds": step / 4} for step in range(1, 100)]
    assert sentences.steps_per_second(records) == pytest.approx(4)
    assert sentences.steps_per_second(records[:1]) == 0


def test_a_target_is_labelled_with_what_is_known_of_it():
    about = {"parameters": 2_500_000, "architecture": "gpt_neox", "tokenizer": "byte-level"}
    assert sentences.model_label("lab:byte", about) == "lab:byte · gpt_neox, byte-level, 2.5M"
    assert sentences.model_label("owner/model", {}) == "owner/model"
