"""Any OpenAI-compatible server as judge, asked with patience, limits and one key it never tells."""

import json
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from cmc.errors import JudgeError
from cmc.evaluation.judges.pairs import Pair, Verdict, shows_reference_last
from cmc.evaluation.judges.prompt import MAX_TOKENS, ranking_messages, read_ranking
from cmc.evaluation.preferences import swapped
from cmc.settings import JudgeSettings

MAX_BYTES = 1_000_000  # of an answer; a ranking has some hundred
AGAIN = {408, 409, 425, 429, 500, 502, 503, 504, 529}  # worth asking again
sleep = time.sleep


@dataclass(frozen=True)
class _Reply:
    """What came back: a text, or trouble with what to do about it."""

    text: str | None = None
    trouble: str = ""
    is_final: bool = False  # asking again would change nothing
    wait: float | None = None  # seconds the server asked for


class EndpointJudge:
    """Asks a server to rank two answers by the published prompt, in an order drawn by chance.

    A key is read from the environment variable each time it is needed; it stands in no report,
    annotation or error, and is sent to this address only, since redirects are not followed.

    Args:
        settings: address, model, patience.
    """

    is_final = False

    def __init__(self, settings: JudgeSettings) -> None:
        self._settings = settings
        self.name = f"endpoint:{settings.judge_model}"

    def compare(self, pair: Pair) -> Verdict:
        """Return the verdict, asking again after trouble or nonsense.

        Raises:
            JudgeError: the server refuses, or could not be reached however often it was tried.
        """
        model_first = shows_reference_last(pair, self._settings.seed)
        shown = (pair.answer, pair.reference) if model_first else (pair.reference, pair.answer)
        messages = ranking_messages(pair.instruction, *shown)
        reply, started = _Reply(), time.perf_counter()
        for attempt in range(self._settings.attempts):
            if attempt:
                sleep(self._pause(attempt, reply.wait))
            reply = self._ask(messages)
            if reply.is_final:
                break
            ranking = None if reply.text is None else read_ranking(reply.text)
            if ranking is not None:
                return Verdict(
                    swapped(ranking) if model_first else ranking,
                    self._without_key(reply.text),
                    first_shown=2 - ranking,
                    details={"time_per_example": round(time.perf_counter() - started, 3)},
                )
        if reply.text is not None:
            return Verdict(None, f"no ranking: {self._without_key(reply.text[:200])}")
        raise JudgeError(
            f"{self._settings.endpoint} {reply.trouble}",
            hint="What was measured is kept: resume goes on with the rest.",
        )

    def _pause(self, attempt: int, wanted: float | None) -> float:
        """Return seconds to wait: what the server wants, else 1, 2, 4, …, up to the limit."""
        wait = 2.0 ** (attempt - 1) if wanted is None else wanted
        return min(wait, self._settings.longest_wait)

    def _ask(self, messages: list[dict[str, str]]) -> _Reply:
        settings = self._settings
        key = os.environ.get(settings.key_variable)
        body = {
            "model": settings.judge_model, "messages": messages, "temperature": 0,
            "max_tokens": MAX_TOKENS,
        }  # fmt: skip
        try:
            status, headers, data = self._posted(body, key)
        except httpx.TimeoutException:
            return _Reply(trouble=f"gave no answer within {settings.timeout:g} seconds")
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            return _Reply(trouble=f"cannot be reached ({type(error).__name__})")
        if status == 200:
            return _read_reply(data)
        known = "no key is set" if key is None else "a key is set"
        why = f" ({settings.key_variable}: {known})" if status in (401, 403) else ""
        # The body of an error is not repeated: some servers quote the key in it.
        trouble = f"answered with status {status}{why}"
        return _Reply(None, trouble, status not in AGAIN, _retry_after(headers))

    def _posted(self, body: dict[str, Any], key: str | None) -> tuple[int, httpx.Headers, bytes]:
        """Post and read, all within the time limit, however slowly bytes drip."""
        settings = self._settings
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        end = time.monotonic() + settings.timeout
        url = f"{settings.endpoint.rstrip('/')}/chat/completions"
        data = b""
        with (
            httpx.Client(timeout=settings.timeout) as client,
            client.stream("POST", url, json=body, headers=headers) as response,
        ):
            for chunk in response.iter_bytes():
                data += chunk
                if time.monotonic() > end:
                    raise httpx.ReadTimeout("too slow")
                if len(data) > MAX_BYTES:
                    raise httpx.DecodingError("too long")
            return response.status_code, response.headers, data

    def _without_key(self, text: str) -> str:
        key = os.environ.get(self._settings.key_variable)
        return text.replace(key, "…") if key else text


def _read_reply(data: bytes) -> _Reply:
    try:
        text = json.loads(data)["choices"][0]["message"]["content"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return _Reply(text="")  # nonsense: no ranking in it
    return _Reply(text=text if isinstance(text, str) else "")


def _retry_after(headers: httpx.Headers) -> float | None:
    """Return the seconds of a Retry-After header, which may also hold a date."""
    value = headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())
