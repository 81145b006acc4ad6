"""Errors a person can act on."""


class CmcError(Exception):
    """Base of all errors shown to people: the message says what, the hint what to do next."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint
        if hint:
            self.add_note(hint)

    def sentence(self) -> str:
        """Return message and hint as one short paragraph, for a toast or a terminal."""
        message = str(self).rstrip(".")
        # The name of a file or a model stays as it is written.
        if message.partition(" ")[0].isalpha():
            message = message[:1].upper() + message[1:]
        return f"{message}. {self.hint}".strip()


class SettingError(CmcError, ValueError):
    """A setting is out of its range or not of its kind."""


class DataError(CmcError, ValueError):
    """A data file cannot be used as it is."""


class ModelError(CmcError, OSError):
    """A model, tokenizer or controller cannot be found or read."""


class TokenizerError(CmcError, ValueError):
    """A tokenizer cannot be understood."""


class VocabMismatch(CmcError, ValueError):
    """Two things were made for different vocabularies."""


class ControlError(CmcError, RuntimeError):
    """A model or controller gave scores that cannot be used."""


class TrainingError(CmcError, RuntimeError):
    """Training had to stop; the last good checkpoint is kept."""


class RunError(CmcError, RuntimeError):
    """A run folder cannot be used for what was asked."""


class StoreError(CmcError, RuntimeError):
    """A version cannot be kept, found or trusted."""


class JudgeError(CmcError, RuntimeError):
    """A judge cannot be asked any longer; verdicts so far are kept."""
