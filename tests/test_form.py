"""Forms turn components into one request, and errors into toasts."""

import inspect
import logging
from collections.abc import Iterator
from dataclasses import dataclass

import gradio as gr
import pytest

from cmc.errors import SettingError
from cmc.ui.form import Form, guarded


@dataclass(frozen=True)
class Order:
    dish: str
    plates: float = 1


@pytest.fixture
def form() -> Form[Order]:
    with gr.Blocks():
        return Form(Order, {"dish": gr.Textbox(), "plates": gr.Number()})


def test_a_callback_gets_its_values_as_one_request(form):
    assert form.bind(lambda order: order)("soup", 2) == Order("soup", 2)


def test_a_generator_stays_a_generator_and_closes_its_source(form):
    closed = []

    def serve(order: Order) -> Iterator[str]:
        try:
            yield order.dish
            yield "more"
        finally:
            closed.append(True)

    running = form.bind(serve)("soup", 1)
    assert next(running) == "soup"
    running.close()
    assert closed == [True]


def test_the_callback_shows_the_names_of_the_fields(form):
    assert list(inspect.signature(form.bind(lambda order: order)).parameters) == ["dish", "plates"]


def test_a_component_without_a_field_is_refused():
    with gr.Blocks(), pytest.raises(TypeError, match="dishes"):
        Form(Order, {"dishes": gr.Textbox()})


def test_one_input_can_be_read_from_another_component(form):
    with gr.Blocks():
        slider = gr.Slider()
    assert form.inputs_with(plates=slider) == [form.components["dish"], slider]


def test_an_error_for_people_becomes_its_sentence(form):
    def refuse(_: Order) -> None:
        raise SettingError("plates is -1", hint="Give at least one.")

    with pytest.raises(gr.Error) as caught:
        form.bind(refuse)("soup", -1)
    assert caught.value.message == "Plates is -1. Give at least one."
    assert not caught.value.print_exception


def test_any_other_error_becomes_a_code_and_its_traceback_goes_to_the_log(form, caplog):
    def fail(_: Order) -> None:
        raise ZeroDivisionError("secret detail")

    with caplog.at_level(logging.ERROR), pytest.raises(gr.Error) as caught:
        form.bind(fail)("soup", 1)
    code = caught.value.message.split("code ")[1][:4]
    assert "secret detail" not in caught.value.message
    assert code in caplog.text
    assert "secret detail" in caplog.text


def test_a_callback_without_a_form_is_guarded_too():
    def refuse(state: dict[str, str]) -> None:
        raise SettingError(f"{state['run']} is gone", hint="Choose another.")

    with pytest.raises(gr.Error, match="Choose another"):
        guarded(refuse)({"run": "a"})
