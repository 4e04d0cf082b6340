"""Classifies why a server gave no answer, and so whether to wait, retry, fail or end the run.

- *Away*: the server is unreachable or busy (429, 498, 502 to 504, 520 to 530) and is waited for.
  The run ends when the server answered nothing for ``patience`` seconds. Where it answered
  anything else, this request is a failed row (a gateway gave it up), unless told to wait (429).
- *Request*: the request may be the cause (500, a cut connection, a time-out, an unreadable answer).
  It gets ``retries`` more tries and at most ``patience`` seconds of pauses, then is a failed row.
- *Refused*: the server refuses the request (other 4xx; 403 by a firewall): a failed row at once.
- *Fatal*: a wrong key, model or address, a redirect, a used-up quota or a parameter that the server
  does not know ends the run. So do too many failed rows, with every engine
  (:mod:`srlm_data.engines.failures`).

An error is classified by its content as well, because some servers send errors with status 200.
"""

from __future__ import annotations

import json
import random
import re
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from enum import Enum, auto
from typing import Any, Final

import httpx2
import openai

from srlm_data.engines.backends._bounded_client import TooLongError
from srlm_data.engines.protocol import DRAWING

_AWAY: Final = frozenset({429, 498, 502, 503, 504, *range(520, 531)})
_AGAIN: Final = frozenset({200, 408, 409, 424, 425, 499})  # 200: an error without a code
_WRONG: Final = frozenset({401, 402, 403, 404, 405, 410})

FIRST_PAUSE: Final = 0.5
"""Seconds before the second try, less jitter; doubled for each further one, to LONGEST_PAUSE."""

LONGEST_PAUSE: Final = 30.0

_LONGEST_REASON: Final = 200
_LONGEST_SEARCH: Final = 4000  # characters of a body that are searched for known errors


def _any_of(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), re.IGNORECASE | re.DOTALL)


_NO_CREDIT: Final = _any_of(
    "insufficient_quota|billing_(hard_limit|not_active)|arrearage|spend(ing)? (limit|cap)",
    "insufficient (balance|credit)|balance is (insufficient|too low)",
    "(used all|no|out of) (available )?credits|budget.{0,20}exceeded|exceeded.?budget",
)
_NO_KEY: Final = _any_of("invalid.api.?key", "authentication.error", "no_db_connection")
_NO_MODEL: Final = _any_of(
    "model_not_found|model_decommissioned|(unknown|no such) model|invalid model(:| name)",
    "model (not exist|unloaded)|unexpected endpoint",
)
_BUSY: Final = _any_of("rate.?limit", "too many requests", "resource_exhausted", "overloaded")
_TOO_LARGE: Final = _any_of("request too large")
_FILTERED: Final = _any_of("content.?(filter|policy|management)", "moderation", "flagged")

_OF_ENGINE: Final = ("seed", "temperature", "top_p")
_OF_STEP: Final = (*DRAWING, "stop", "reasoning_effort", "chat_template_kwargs")
_LIMITS: Final = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}
_FORMS: Final = ("structured_outputs", "response_format")
_FIELDS: Final = {  # keyed without '_': a server may write presencePenalty
    name.replace("_", ""): name for name in (*_OF_ENGINE, *_OF_STEP, *_LIMITS, *_FORMS)
}
_FIELD: Final = f"({'|'.join(_FIELDS.values()).replace('_', '_?')})"
_UNKNOWN: Final = (
    "(?:unrecogni[sz]ed|unsupported|not.supported|not.support|unknown|unexpected|extra.forbidden"
    "|extra.inputs|not.permitted|not.allowed|not.enabled|not.implemented|unavailable|deprecated"
    "|cannot.both|may.only|unset|only.{0,8}(?:is|are).allowed)"
)
_BOUND: Final = (
    "(?:less.than|<=|at.most|no.more.than|maximum|too.(?:large|big|high)|out.of.range|exceed"
    "|overflow|int32|32.bit|2147483647|between|in.the.range)"
)
_NEAR: Final = ".{0,60}?"
_NOT_TAKEN: Final = _any_of(rf"{_UNKNOWN}{_NEAR}\b{_FIELD}\b", rf"\b{_FIELD}\b{_NEAR}{_UNKNOWN}")
_SEED_BOUND: Final = _any_of(rf"{_BOUND}{_NEAR}\bseed\b", rf"\bseed\b{_NEAR}{_BOUND}")


class Trouble(Enum):
    """Whose fault a failure is, and so what follows from it."""

    AWAY = auto()
    REQUEST = auto()
    REFUSED = auto()
    FATAL = auto()


@dataclass(eq=False)
class FaultError(Exception):
    """A failed try."""

    trouble: Trouble
    kind: str  # what failures are counted by
    reason: str  # shown to the user
    retry_after: float = 0.0  # seconds
    status: int | None = None
    advice: str = ""  # what to do about a fatal fault, where its answer tells


def classify(error: Exception, timeout: float) -> FaultError:
    """Return the fault that an exception is; ``timeout`` is how many seconds the try had."""
    if isinstance(error, FaultError):
        return error
    if isinstance(error, openai.APIStatusError):
        return _classify_response(error.response)
    trouble, cause = Trouble.REQUEST, error.__cause__
    if isinstance(cause, httpx2.ConnectError | httpx2.ConnectTimeout):
        trouble, kind = Trouble.AWAY, "unreachable"
        reason = f"it cannot be reached ({str(cause) or 'no connection in time':.200})"
    elif isinstance(error, TimeoutError | openai.APITimeoutError):
        kind, reason = "timeout", f"no answer within {timeout:g} s"
    elif isinstance(error, openai.APIConnectionError) and not isinstance(cause, TooLongError):
        kind, reason = "connection", f"the connection broke ({cause!r:.200})"
    else:
        nested = isinstance(error, RecursionError)
        what = "it is nested too deeply" if nested else str(cause or error)
        kind, reason = "unreadable", f"the answer cannot be read ({what:.200})"
    return FaultError(trouble, kind, reason)


def pause(tries: int, retry_after: float) -> float:
    """Return the seconds to wait after so many tries; never less than the server asked for.

    The jitter spreads requests that failed together, so that they do not come back together.
    """
    longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(tries - 1, 16))
    if retry_after:
        return retry_after + random.uniform(0, longest)
    return random.uniform(longest / 2, longest)


def refuse_error(answer: Any, retry_after: str = "") -> None:
    """Raise the fault that an answer with status 200 reports, if it reports one."""
    if not isinstance(answer, dict):
        return
    choices = answer.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    within = choice.get("error") if isinstance(choice, dict) else None  # an error while generating
    if error := answer.get("error") or within or ("choices" not in answer and answer):
        names = ("code", "status", "status_code")
        codes = [error.get(name) for name in names] if isinstance(error, dict) else []
        known = [int(code) for code in map(str, codes) if re.fullmatch("[45][0-9][0-9]", code)]
        body = json.dumps(error if isinstance(error, dict) else {"error": error})
        raise classify_status(known[0] if known else 200, body, retry_after)


def _classify_response(response: httpx2.Response) -> FaultError:
    if not response.is_redirect:
        retry_after = response.headers.get("retry-after", "")
        return classify_status(response.status_code, response.text, retry_after)
    try:
        host = httpx2.URL(response.headers.get("location", "")).host
    except httpx2.InvalidURL:
        host = ""
    reason = f"HTTP {response.status_code}, it redirects to {host or 'another path'}"
    advice = "Redirects are not followed: set 'base_url' to the address that answers."
    return FaultError(Trouble.FATAL, "redirect", reason, advice=advice)


def classify_status(status: int, body: str, retry_after: str = "") -> FaultError:
    """Return the fault that the status and the body of a response describe."""
    try:
        content = json.loads(body, object_hook=_without_input)
        searched = json.dumps(content)[:_LONGEST_SEARCH]
    except (ValueError, RecursionError):
        content, searched = body, body[:_LONGEST_SEARCH]
    number = status
    if status in (200, 400, 422):  # a gateway may send these for an unknown key or model
        status = 401 if _NO_KEY.search(searched) else 404 if _NO_MODEL.search(searched) else status
    if status in (200, 403) and _BUSY.search(searched):
        status = 429
    kind, advice = f"http_{status}", ""
    if status == 402 or (status in (200, 400, 403, 412, 429) and _NO_CREDIT.search(searched)):
        trouble, kind, advice = Trouble.FATAL, "no_credit", "Raise the account's limit."
    elif status in (200, 400, 403, 451) and _FILTERED.search(searched):
        trouble, kind = Trouble.REFUSED, "content_filter"
    elif status in (200, 400, 422) and (advice := _name_setting(searched)):
        trouble = Trouble.FATAL
    elif status == 429 and _TOO_LARGE.search(searched):
        trouble = Trouble.REFUSED  # waiting does not make it smaller
    elif status == 403 and body.lstrip().startswith("<"):
        trouble = Trouble.REFUSED  # an HTML page: a firewall refused what this request holds
    elif status in _AWAY:
        trouble = Trouble.AWAY
    elif status >= 500 or status in _AGAIN:
        trouble = Trouble.REQUEST
    else:
        trouble = Trouble.FATAL if status in _WRONG or status < 400 else Trouble.REFUSED
    words = " ".join((_words_of(content) or "no reason").split())
    reason = f"HTTP {number}, {words[:_LONGEST_REASON]}".rstrip(".")
    return FaultError(trouble, kind, reason, _seconds(retry_after), status, advice)


def _without_input(value: dict[str, Any]) -> dict[str, Any]:
    """Return an object without ``input``, where a validator repeats the user's text."""
    return {name: value[name] for name in value if name != "input"}


def _name_setting(body: str) -> str:
    """Return advice on how to omit a field that the server rejects; empty for any other error."""
    if _SEED_BOUND.search(body):
        return "Set the engine's 'seed_bits: 31'."
    if not (match := _NOT_TAKEN.search(body)):
        return ""
    field = _FIELDS[(match[1] or match[2]).lower().replace("_", "")]
    if field in _LIMITS:
        return f"Set the engine's 'limit_field: {_LIMITS[field]}'."
    if field in _FORMS:
        return "Set the step's 'guided: false'."
    if field in _OF_ENGINE:
        return f"Set the engine's 'omit: [{field}]'."
    return f"Remove '{field}' from the settings of the step, or from the engine's 'extra'."


def _words_of(body: Any) -> str:
    """Return the message in an error's body, wherever this kind of server puts it."""
    value = body
    for _ in range(4):
        if isinstance(value, list) and value:
            value = value[0]
        elif isinstance(value, dict):
            place, names = value.get("loc"), ("error", "message", "detail", "msg")
            provider = value.get("metadata")  # where OpenRouter puts the provider's message
            value = next((value[name] for name in names if value.get(name)), None)
            if isinstance(provider, dict) and provider.get("raw"):
                value = f"{value}: {provider['raw']}"
            if isinstance(place, list) and place:  # FastAPI names the field separately
                value = f"{place[-1]}: {value}"
    return value if isinstance(value, str) else json.dumps(body)


def _seconds(header: str) -> float:
    """Return the seconds that a ``Retry-After`` header (a number or a date) asks to wait, or 0."""
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0
