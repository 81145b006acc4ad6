"""Load a tokenizer exactly as its file defines it."""

from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from cmc.errors import CmcError, TokenizerError
from cmc.vocab import Vocabulary
from cmc.vocab.ends import stored_eos_ids
from cmc.vocab.trial import try_tokenizer

PROBE = "The naïve cat sat,\n  1 + 2 = 3: καλημέρα 日本 👍"


def read_vocabulary(folder: Path, name: str) -> Vocabulary:
    """Read the vocabulary of a folder, with all that its settings and chat template let end a turn.

    Raises:
        TokenizerError: the tokenizer cannot be read.
        ModelError: settings beside it are damaged.
    """
    ends = stored_eos_ids(folder, name)
    tokenizer = load_tokenizer(folder, name)
    ends += tokenizer.convert_tokens_to_ids(try_tokenizer(folder, name))
    try:
        return Vocabulary(tokenizer, eos_ids=ends)
    except CmcError:
        raise
    # Settings that make no sense show where roles are asked for, in whatever way.
    except Exception as error:
        raise _unreadable(name, error) from error


def load_tokenizer(folder: Path, name: str) -> PreTrainedTokenizerFast:
    """Load a tokenizer exactly as its `tokenizer.json` defines it.

    Loading by model type may rebuild a tokenizer and drop its pre-tokenizer, so the file goes
    first; only folders without one are converted. What does not come with the lab is first read
    by a process that may break.

    Raises:
        TokenizerError: the tokenizer is damaged, hostile, or has no fast form.
    """
    try_tokenizer(folder, name)
    try:
        if (folder / "tokenizer.json").is_file():
            tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
        else:
            tokenizer = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        tokenizer(PROBE)
    # A damaged tokenizer can raise a panic of its Rust code, which is no Exception.
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        raise _unreadable(name, error) from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise TokenizerError(
            f"{name} has only a slow tokenizer", hint="Choose a model with a tokenizer.json."
        )
    return tokenizer


def _unreadable(name: str, error: BaseException) -> TokenizerError:
    return TokenizerError(
        f"the tokenizer of {name} cannot be read ({type(error).__name__})",
        hint="Choose a folder with a valid tokenizer.json.",
    )
