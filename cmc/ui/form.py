"""Turn the components of a tab into one request, and errors into toasts."""

import html
import inspect
import logging
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeVar

import gradio as gr
from gradio.components.base import Component

from cmc.errors import CmcError

Request = TypeVar("Request")

# Everything that may hold the accelerator waits in one line; what only reads does not wait.
GPU = {"concurrency_id": "gpu", "concurrency_limit": 1}
QUIET = {"show_progress": "hidden", "api_visibility": "private", "concurrency_limit": None}
PRIVATE = {"api_visibility": "private"}


@dataclass(frozen=True)
class Form(Generic[Request]):
    """Components named after the fields of a request dataclass, in order."""

    request: type[Request]
    components: Mapping[str, Component]

    def __post_init__(self) -> None:
        unknown = set(self.components) - {field.name for field in fields(self.request)}
        if unknown:
            raise TypeError(f"{self.request.__name__} has no field {', '.join(sorted(unknown))}")

    @property
    def inputs(self) -> list[Component]:
        """Return the components in order, for `inputs=` of an event."""
        return list(self.components.values())

    def inputs_with(self, **others: Component) -> list[Component]:
        """Return the inputs with some fields read from other components."""
        return [others.get(name, component) for name, component in self.components.items()]

    def bind(self, handler: Callable[[Request], Any]) -> Callable[..., Any]:
        """Turn `handler(request)` into the positional callback that Gradio calls."""
        if inspect.isgeneratorfunction(handler):

            def callback(*values: Any) -> Iterator[Any]:
                with errors_as_toasts():
                    yield from handler(self._read(values))
        else:

            def callback(*values: Any) -> Any:
                with errors_as_toasts():
                    return handler(self._read(values))

        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [inspect.Parameter(name, kind) for name in self.components]
        callback.__signature__ = inspect.Signature(parameters)
        callback.__name__, callback.__doc__ = handler.__name__, handler.__doc__
        return callback

    def bind_event(self, handler: Callable[[Request, Mapping[str, Any]], Any]) -> Callable:
        """Turn `handler(request, data)` into a callback that is also told what was clicked."""

        def callback(event: gr.EventData, *values: Any) -> Any:
            with errors_as_toasts():
                data = event._data
                return handler(self._read(values), data if isinstance(data, Mapping) else {})

        callback.__name__, callback.__doc__ = handler.__name__, handler.__doc__
        return callback

    def _read(self, values: tuple[Any, ...]) -> Request:
        return self.request(**dict(zip(self.components, values, strict=True)))


@contextmanager
def errors_as_toasts() -> Iterator[None]:
    """Show a `CmcError` as its sentence; anything else as a code that leads to the log."""
    try:
        yield
    except gr.Error:
        raise
    except CmcError as error:
        # A toast is drawn as HTML, and the sentence may hold what somebody typed.
        raise gr.Error(
            html.escape(error.sentence(), quote=False),
            title="That did not work",
            duration=20,
            print_exception=False,
        ) from None
    except Exception:
        code = secrets.token_hex(2).upper()
        logging.getLogger(__name__).exception("unexpected error, code %s", code)
        raise gr.Error(
            f"Something went wrong on our side (code {code}). Your inputs and runs are safe. "
            "The log has the details under this code.",
            title="Unexpected error",
            duration=20,
            print_exception=False,
        ) from None


def guarded(handler: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a callback without a form so that its errors become toasts as well."""

    def callback(*values: Any) -> Any:
        with errors_as_toasts():
            return handler(*values)

    callback.__signature__ = inspect.signature(handler)
    callback.__name__, callback.__doc__ = handler.__name__, handler.__doc__
    return callback
