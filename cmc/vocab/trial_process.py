"""The process that tries a stranger's tokenizer: little memory, little time, few imports.

It is started by its path and imports nothing of the package. Its last line on stdout is a JSON
object: `{"error": why}`, or `{"turn_ends": token strings behind which the chat template goes on
after an answer}`.
"""

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MOST_IDS = 4_000_000
MOST_ADDED = 100_000  # tokens that the settings beside a tokenizer may add
LONGEST_TOKEN = 20_000  # characters
# Every prefix of every token is looked up when a map is built, so that its cost is this sum.
MOST_PREFIXES = 400_000_000  # sum of squared token lengths
ANSWER = "An answer."
# A tag of transformers around what the assistant says; it writes nothing.
GENERATION = re.compile(r"\{%-?\s*(end)?generation\s*-?%\}")
PROBES = (
    "The naïve cat sat,\n  1 + 2 = 3: καλημέρα 日本 👍",
    *(sign * 400 for sign in ("a", "A", " ", "1", "\n", "!", "_", "é", "日", "\u0301", "ab ")),
    *(sign * 400 + end for sign in ("a", " ", "1", "\n", "!", "ab") for end in ("\x00", "!", "b ")),
)  # fmt: skip


class Refused(Exception):
    """The tokenizer is not safe to read; says why."""


def main(folder: Path, memory: int, seconds: int) -> None:
    """Try the tokenizer of a folder and print what came of it."""
    _limit(memory, seconds)
    try:
        found = _try_folder(folder)
    except Refused as refused:
        found = {"error": str(refused)}
    except MemoryError:
        found = {"error": "reading it takes too much memory"}
    # A panic of the Rust code is no Exception.
    except BaseException as error:
        reason = str(error).strip().splitlines()
        found = {"error": f"{type(error).__name__}: {reason[0][:160] if reason else 'no reason'}"}
    sys.stdout.write(json.dumps(found) + "\n")
    sys.stdout.flush()
    # What a broken tokenizer leaves behind is not worth cleaning up.
    os._exit(0)


def _limit(memory: int, seconds: int) -> None:
    try:
        import resource
    except ImportError:  # there is none on Windows; the parent still watches the time
        return
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _try_folder(folder: Path) -> dict[str, Any]:
    settings = {}
    for file in sorted(folder.glob("*.json")):
        if file.name == "tokenizer.json":
            continue
        if "token" in file.name or file.name in ("config.json", "generation_config.json"):
            found = _read_json(file)
            if not isinstance(found, dict) and file.name != "added_tokens.json":
                raise Refused(f"{file.name} is no JSON object")
            settings[file.name] = found
            _check_settings(file.name, found)
    told = settings.get("tokenizer_config.json", {})
    if not (folder / "tokenizer.json").is_file():
        return _try_conversion(folder, told)
    file = folder / "tokenizer.json"
    described = _read_json(file)
    if not isinstance(described, dict) or not isinstance(described.get("model"), dict):
        raise Refused("tokenizer.json describes no tokenizer")
    added = _check_ids(described)
    from tokenizers import Tokenizer

    _probe(Tokenizer.from_file(str(file)))
    return {"turn_ends": _turn_ends(_chat_template(folder, told), told, added)}


def _read_text(file: Path) -> str:
    try:
        return file.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise Refused(f"{file.name} is not UTF-8") from None


def _read_json(file: Path) -> Any:
    try:
        return json.loads(_read_text(file))
    except RecursionError:
        raise Refused(f"{file.name} is nested too deeply") from None
    except ValueError as error:
        raise Refused(f"{file.name} is no JSON ({error})") from None


def _check_settings(name: str, told: Any) -> None:
    """Check the tokens that settings add or name: they are read where the app runs."""
    if "token" not in name or not isinstance(told, dict):
        return
    added = told if name == "added_tokens.json" else told.get("added_tokens_decoder") or {}
    if len(added) > MOST_ADDED:
        raise Refused(f"{name} adds {len(added):,} tokens")
    longest = max(map(len, _strings({**told, "chat_template": ""})), default=0)
    if longest > LONGEST_TOKEN:
        raise Refused(f"a token of {name} has {longest:,} characters")


def _strings(value: Any) -> Iterator[str]:
    """Yield every string in what JSON can hold, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, each in value.items():
            yield key
            yield from _strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)


def _check_ids(described: dict[str, Any]) -> list[str]:
    """Check all ids and token strings; return the added tokens."""
    token_of = _check_vocab(described["model"].get("vocab"))
    added = described.get("added_tokens") or []
    for each in added:
        if len(str(each.get("content"))) > LONGEST_TOKEN:
            raise Refused(f"an added token has {len(str(each.get('content'))):,} characters")
        _note(token_of, each.get("content"), each.get("id"))
    if max(token_of) > 4 * len(token_of) + 100_000:
        raise Refused(f"an id is {max(token_of):,}, of {len(token_of):,} tokens")
    return [each["content"] for each in added]


def _check_vocab(vocab: Any) -> dict[int, str]:
    """Check the ids and strings of a model; return the string of every id."""
    token_of: dict[int, str] = {}
    squares = 0
    for token, token_id in _pairs(vocab):
        if len(token) > LONGEST_TOKEN:
            raise Refused(f"a token has {len(token):,} characters")
        squares += len(token) ** 2
        _note(token_of, token, token_id)
    if not token_of:
        raise Refused("the vocabulary is empty")
    if squares > MOST_PREFIXES:
        raise Refused("its tokens are too long in all")
    return token_of


def _note(token_of: dict[int, str], token: Any, token_id: Any) -> None:
    if not isinstance(token, str) or not isinstance(token_id, int):
        raise Refused(f"a token is {str(token)[:40]!r} with the id {str(token_id)[:40]!r}")
    if not 0 <= token_id < MOST_IDS:
        raise Refused(f"the token {token[:40]!r} has the id {token_id}")
    if token_of.setdefault(token_id, token) != token:
        raise Refused(f"{token_of[token_id][:40]!r} and {token[:40]!r} have the same id {token_id}")


def _pairs(vocab: Any) -> Iterator[tuple[Any, Any]]:
    """Yield token and id; a Unigram model lists its pieces with their scores, by id."""
    if isinstance(vocab, dict):
        yield from vocab.items()
    elif isinstance(vocab, list):
        for token_id, piece in enumerate(vocab):
            if not (isinstance(piece, list) and len(piece) == 2 and isinstance(piece[0], str)):
                raise Refused(f"the piece {token_id} is {str(piece)[:40]}")
            yield piece[0], token_id
    else:
        raise Refused("it has no vocabulary")


def _probe(tokenizer: Any) -> None:
    # What is put around a text is another part of it, which may be as broken.
    tokenizer.encode(PROBES[0], add_special_tokens=True)
    for text in PROBES:
        tokenizer.decode(tokenizer.encode(text, add_special_tokens=False).ids)


def _try_conversion(folder: Path, told: dict[str, Any]) -> dict[str, Any]:
    """Try a folder of an older format the way the app will read it."""
    # What can be seen without it is not left to a large library.
    if (folder / "vocab.json").is_file():
        _check_vocab(_read_json(folder / "vocab.json"))
    for name in ("merges.txt", "vocab.txt"):
        if not (folder / name).is_file():
            continue
        longest = max(map(len, _read_text(folder / name).split("\n")))
        if longest > 2 * LONGEST_TOKEN:
            raise Refused(f"a line of {name} has {longest:,} characters")
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    added = _check_ids(json.loads(tokenizer.backend_tokenizer.to_str()))
    for text in PROBES:
        tokenizer(text)
    return {"turn_ends": _turn_ends(_chat_template(folder, told), told, added)}


def _chat_template(folder: Path, told: dict[str, Any]) -> str:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_bytes().decode("utf-8", "replace")
    template = told.get("chat_template")
    if isinstance(template, list):  # several, by name
        named = {each.get("name"): each.get("template") for each in template}
        template = named.get("default")
    return template if isinstance(template, str) else ""


def _turn_ends(template: str, told: dict[str, Any], added: list[str]) -> list[str]:
    """Return the added token that the chat template puts right behind an answer, if any.

    A template that cannot be rendered here tells nothing, and that is no error.
    """
    if not template:
        return []
    try:
        from jinja2.ext import loopcontrols
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols]
        )
        special = {name: _content(told.get(name)) for name in ("bos_token", "eos_token")}
        chat = [{"role": "user", "content": "?"}, {"role": "assistant", "content": ANSWER}]
        text = environment.from_string(GENERATION.sub("", template)).render(
            messages=chat, add_generation_prompt=False, **special
        )
    except Exception:
        return []
    rest = text.rpartition(ANSWER)[2].lstrip()
    begun = [token for token in added if token and rest.startswith(token)]
    return sorted(begun, key=len)[-1:]


def _content(token: Any) -> str:
    return token.get("content", "") if isinstance(token, dict) else token or ""


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
