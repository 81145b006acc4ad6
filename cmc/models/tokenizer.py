"""Load a tokenizer exactly as its file defines it."""

from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from cmc.errors import TokenizerError
from cmc.vocab.trial import try_tokenizer

PROBE = "The naïve cat sat,\n  1 + 2 = 3: καλημέρα 日本 👍"


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
        raise TokenizerError(
            f"the tokenizer of {name} cannot be read ({type(error).__name__})",
            hint="Choose a folder with a valid tokenizer.json.",
        ) from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise TokenizerError(
            f"{name} has only a slow tokenizer", hint="Choose a model with a tokenizer.json."
        )
    return tokenizer
