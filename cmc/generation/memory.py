"""Tell in whose forward memory ran out."""

from collections.abc import Iterator
from contextlib import contextmanager

from cmc.errors import ControlError
from cmc.models import is_out_of_memory


@contextmanager
def memory_told(name: str) -> Iterator[None]:
    """Turn exhausted memory into a `ControlError` that names whose forward it was."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise ControlError(
            f"there is too little memory to go on with {name}",
            hint="Ask fewer things at once, shorten the prompt, or choose a smaller model.",
        ) from error
