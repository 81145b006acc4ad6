"""Tell that memory has run out as an error a person can act on, and let go of what is kept."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from cmc.errors import CmcError, ModelError
from cmc.models import is_out_of_memory


@contextmanager
def memory_told(let_go: Callable[[], None]) -> Iterator[None]:
    """Turn exhausted memory, of the GPU or of the machine, into a `ModelError`.

    Args:
        let_go: drops what is kept loaded, so that the next attempt starts with free memory.

    Raises:
        ModelError: memory ran out inside the block.
    """
    told: CmcError | None = None
    try:
        yield
    except CmcError as error:
        if error.__cause__ is None or not is_out_of_memory(error.__cause__):
            raise
        told = type(error)(str(error), hint=error.hint)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        told = ModelError(
            "there is not enough memory for this",
            hint="All loaded models were let go. Choose a smaller target, or ask for fewer "
            "tokens, strengths or controllers, and try again.",
        )
    # Outside the handlers: there, the error's traceback would keep the tensors alive.
    if told is not None:
        let_go()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        raise told
