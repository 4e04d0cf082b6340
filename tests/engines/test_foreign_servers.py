"""Servers that are not ours: for each thing that one may answer, what comes of it.

A row of a table is one misbehaviour of a real server on loopback. All rows that end no run are
asked in one run, so each of them also shows that it costs the others nothing.
"""

from __future__ import annotations

import gzip
import json
import socket
import time
import zlib
from contextlib import suppress
from email.utils import formatdate
from typing import Any, NamedTuple

import pytest

from api_server import Fault, Handler, answer, completion, cut, hang, serve, status
from foreign_servers import altered, quick_pauses, run
from srlm_data.engines.protocol import Completion

pytest.importorskip("openai")

MIB = 1 << 20


class Row(NamedTuple):
    """One misbehaviour: what the server does at each try, and what the completion then has."""

    name: str
    faults: list[Fault]
    expected: dict[str, Any]


def message(content: Any, finish_reason: Any = "stop", **more: Any) -> Fault:
    """Answer with a message of this content, and with more in it."""
    body = completion("a b")
    body["choices"][0] |= {"finish_reason": finish_reason}
    body["choices"][0]["message"] |= {"content": content, **more}
    return answer(body)


def without(*names: str) -> Fault:
    """Answer as agreed on, without a field, of the body or of its choice."""
    body = completion("a b")
    for name in names:
        body.pop(name, None)
        body["choices"][0].pop(name, None)
    return answer(body)


def raw(data: bytes, content_type: str = "application/json", **headers: str) -> Fault:
    """Answer with these bytes."""

    def fault(handler: Handler) -> None:
        handler.send_response(200)
        for name, value in {"Content-Type": content_type, **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    return fault


def packed(layers: int = 1) -> bytes:
    """Return a body of a few KiB that unpacks to 40 MiB, packed again for each further layer."""
    packer = zlib.compressobj(1, wbits=31)
    data = b"".join(packer.compress(b" " * MIB) for _ in range(40)) + packer.flush()
    for _ in range(layers - 1):
        data = gzip.compress(data)
    return data


def long_text(handler: Handler) -> None:
    """Send a text of 300 MB, or as much of it as is taken."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(300 * MIB))
    handler.end_headers()
    handler.close_connection = True
    with suppress(OSError):
        handler.wfile.write(b'{"choices": [{"message": {"content": "')
        for _ in range(299):
            handler.wfile.write(b"x" * MIB)


def drip(handler: Handler) -> None:
    """Send a byte at a time, for longer than a try may take."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.close_connection = True
    with suppress(OSError):
        for _ in range(40):
            handler.wfile.write(b" ")
            handler.wfile.flush()
            time.sleep(0.05)


def reset(handler: Handler) -> None:
    """Reset the connection."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    handler.connection.close()
    handler.close_connection = True


def garbage(handler: Handler) -> None:
    """Answer with what is no HTTP."""
    handler.wfile.write(b"\x16\x03\x01 hello\r\n\r\n")
    handler.close_connection = True


def usage(**counts: Any) -> Fault:
    return altered(usage=counts)


def in_choice(**fields: Any) -> Fault:
    """Answer with further fields in the choice."""
    body = completion("a b")
    body["choices"][0] |= fields
    return answer(body)


KEPT = {"text": "a b", "finish_reason": "stop", "error": None}
NO_COUNTS = {**KEPT, "prompt_tokens": None, "completion_tokens": None, "cached_tokens": 0}
CUT = {"text": "", "finish_reason": "length", "note": "the tokens went into reasoning"}
FAILED = {"text": "", "finish_reason": "error"}
AGAIN = {"finish_reason": "stop", "error": None, "retries": 1}
TEXT = {"type": "text", "text": "a b"}
THOUGHT = {"type": "thinking", "thinking": "hm"}


def failed(kind: str, sentence: str) -> dict[str, Any]:
    return {**FAILED, "error_kind": kind, "error": sentence}


def unreadable(words: str) -> dict[str, Any]:
    return failed("unreadable", f"the answer cannot be read ({words})")


def taken(what: str) -> dict[str, Any]:
    return {**KEPT, "note": f"{what}, taken for 'stop'"}


CONTENTS = [
    Row("text parts", [message([TEXT, {"type": "text", "text": " c"}])], {**KEPT, "text": "a b c"}),
    Row("thinking part", [message([THOUGHT, TEXT])], {**KEPT, "reasoning": "hm"}),
    Row(
        "thinking part of parts",
        [message([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, TEXT])],
        {**KEPT, "reasoning": "hm"},
    ),
    Row("plain strings as parts", [message(["a ", "b"])], KEPT),
    Row("a part of a picture", [message([TEXT, {"type": "image_url", "image_url": {}}])], KEPT),
    Row("output_text part", [message([{"type": "output_text", "text": "a b"}])], KEPT),
    Row("no parts", [message([])], {**KEPT, "text": ""}),
    Row("null", [message(None)], {**KEPT, "text": ""}),
    Row("empty", [message("")], {**KEPT, "text": ""}),
    Row(
        "absent content",
        [answer({"choices": [{"message": {}}]})],
        {"text": "", "finish_reason": "stop"},
    ),
    Row("refusal", [message(None, refusal="I will not.")], {**KEPT, "text": "I will not."}),
    Row("refusal, no text", [message("", refusal="I will not.")], {**KEPT, "text": "I will not."}),
    Row(
        "reasoning_details",
        [
            message(
                "a b", reasoning=None, reasoning_details=[{"type": "reasoning.text", "text": "hm"}]
            )
        ],
        {**KEPT, "reasoning": "hm"},
    ),
    Row("thinking beside it", [message("a b", thinking="hm")], {**KEPT, "reasoning": "hm"}),
    Row(
        "channels",
        [
            message(
                "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final"
                "<|message|>a b"
            )
        ],
        {**KEPT, "reasoning": "hm"},
    ),
    Row(
        "marks around nothing, for ever",
        [message("<think></think>" * 20_000 + "a b")],
        {**KEPT, "reasoning": None},
    ),
    Row(
        "thinking parts without end",
        [message([THOUGHT, *[{"type": "thinking", "thinking": ""}] * 30_000, TEXT])],
        {**KEPT, "reasoning": "hm"},
    ),
    Row("content in a part", [message([{"type": "text", "content": "a b"}])], KEPT),
    Row(
        "reasoning in an object",
        [message("a b", reasoning={"content": "hm"})],
        {**KEPT, "reasoning": "hm"},
    ),
    Row("a call", [message(None, "tool_calls", tool_calls=[{}])], {"text": "", "error": None}),
    Row("reasoning_content", [message("a b", reasoning_content="hm")], {**KEPT, "reasoning": "hm"}),
    Row("reasoning", [message("a b", reasoning="hm")], {**KEPT, "reasoning": "hm"}),
    Row(
        "both names",
        [message("a b", reasoning="hm", reasoning_content="hm")],
        {**KEPT, "reasoning": "hm"},
    ),
    Row("null reasoning", [message("a b", reasoning=None)], {**KEPT, "reasoning": None}),
    Row("reasoning a number", [message("a b", reasoning=5)], {**KEPT, "reasoning": None}),
    Row("marks", [message("<think>hm</think>\n\na b")], {**KEPT, "reasoning": "hm"}),
    Row("a closing mark alone", [message("hm\n</think>\n\na b")], {**KEPT, "reasoning": "hm"}),
    Row(
        "marks and a field",
        [message("<think>x</think>a b", reasoning="hm")],
        {**KEPT, "reasoning": "hm"},
    ),
    Row("marks that stay open", [message("<think>hm", "length")], {**CUT, "reasoning": "hm"}),
    Row(
        "cut off in reasoning_content",
        [message(None, "length", reasoning_content="hm")],
        {**CUT, "reasoning": "hm"},
    ),
    Row(
        "cut off in reasoning", [message("", "length", reasoning="hm")], {**CUT, "reasoning": "hm"}
    ),
    Row("a number", [message(5)] * 2, unreadable("its content is not text: 5")),
    Row("an object", [message({"a": 1})] * 2, unreadable("its content is not text: {'a': 1}")),
    Row("true", [message(True)] * 2, unreadable("its content is not text: True")),
    Row(
        "half a surrogate pair",
        [message("a \ud83d")],
        {"text": "a \ud83d", "finish_reason": "stop"},
    ),
]

ENDS = [
    Row("null end", [message("a b", None)], taken("no finish_reason")),
    Row("no end", [without("finish_reason")], taken("no finish_reason")),
    Row("eos_token", [message("a b", "eos_token")], taken("finish_reason 'eos_token'")),
    Row("STOP", [message("a b", "STOP")], KEPT),
    Row("end_turn", [message("a b", "end_turn")], taken("finish_reason 'end_turn'")),
    Row("a number as end", [message("a b", 1)], taken("finish_reason 1")),
    Row("an object as end", [message("a b", {"type": "length"})], {"finish_reason": "length"}),
    Row(
        "no resources",
        [message("a", "insufficient_system_resource")],
        failed(
            "insufficient_system_resource",
            "the server ended it with 'insufficient_system_resource'",
        ),
    ),
    Row("PROHIBITED_CONTENT", [message("a", "PROHIBITED_CONTENT")], {**FAILED}),
    Row("MAX_TOKENS", [message("a b", "MAX_TOKENS")], {**KEPT, "finish_reason": "length"}),
    Row(
        "content_filter",
        [message("a", "content_filter")],
        failed("content_filter", "the server ended it with 'content_filter'"),
    ),
    Row("SAFETY", [message("a", "SAFETY")], failed("safety", "the server ended it with 'safety'")),
    Row(
        "a filter and its cause",
        [message("a", "content_filter: RECITATION")],
        {**FAILED, "error_kind": "content_filter"},
    ),
    Row("a call that is none", [message("a", "MALFORMED_FUNCTION_CALL")], FAILED),
    Row("TIMEOUT", [message("a", "TIMEOUT")], {**FAILED, "error_kind": "timeout"}),
    Row("a long reason", [message("a", "error " * 200_000)], {**FAILED, "error_kind": "error"}),
    Row("maxTokens", [message("a b", "maxTokens")], {**KEPT, "finish_reason": "length"}),
    Row(
        "no end, and no token left",
        [altered(choices=[{"message": {"content": "a b"}}], usage={"completion_tokens": 16})],
        {"finish_reason": "length", "note": "no finish_reason, taken for 'length'"},
    ),
    Row("abort", [message("a", "abort")], failed("abort", "the server ended it with 'abort'")),
]

ENDLESS = (
    b'{"choices": [{"message": {"content": "a b"}, "finish_reason": "stop"}], '
    b'"usage": {"prompt_tokens": 1e999, "completion_tokens": NaN}}'
)
COUNTS = [
    Row("usage null", [altered(usage=None)], NO_COUNTS),
    Row("usage absent", [without("usage")], NO_COUNTS),
    Row("usage a list", [altered(usage=[1])], NO_COUNTS),
    Row("counts null", [usage(prompt_tokens=None, completion_tokens=None)], NO_COUNTS),
    Row("counts text", [usage(prompt_tokens="many", completion_tokens="2")], NO_COUNTS),
    Row("counts endless", [raw(ENDLESS)], NO_COUNTS),
    Row("counts of 10^30", [usage(prompt_tokens=10**30, completion_tokens=-1)], NO_COUNTS),
    Row("counts true", [usage(prompt_tokens=True, completion_tokens={})], NO_COUNTS),
    Row(
        "counts with a point",
        [usage(prompt_tokens=3.0, completion_tokens=2.5)],
        {**KEPT, "prompt_tokens": 3, "completion_tokens": None},
    ),
    Row(
        "details null",
        [usage(prompt_tokens=3, completion_tokens=2, prompt_tokens_details=None)],
        {**KEPT, "prompt_tokens": 3, "cached_tokens": 0},
    ),
    Row(
        "cached text",
        [usage(prompt_tokens_details={"cached_tokens": "x"})],
        {**KEPT, "cached_tokens": 0},
    ),
    Row(
        "reasoning in the total alone",
        [usage(prompt_tokens=3, completion_tokens=2, total_tokens=105)],
        {**KEPT, "prompt_tokens": 3, "completion_tokens": 102},
    ),
    Row("a total alone", [usage(total_tokens=5)], NO_COUNTS),
    Row(
        "reasoning counted",
        [usage(completion_tokens=9, completion_tokens_details={"reasoning_tokens": 4})],
        {**KEPT, "reasoning_tokens": 4, "completion_tokens": 9},
    ),
]

BODIES = [
    Row(
        "two choices",
        [altered(choices=[*completion("a b")["choices"], *completion("c")["choices"]])],
        KEPT,
    ),
    Row("no choices", [altered(choices=[])] * 2, {**FAILED, "error_kind": "unreadable"}),
    Row("choices null", [altered(choices=None)] * 2, {**FAILED, "error_kind": "unreadable"}),
    Row(
        "choices an object", [altered(choices={"0": 1})] * 2, {**FAILED, "error_kind": "unreadable"}
    ),
    Row(
        "a choice that is text",
        [altered(choices=["a b"])] * 2,
        {**FAILED, "error_kind": "unreadable"},
    ),
    Row(
        "no message",
        [altered(choices=[{"text": "a b"}])] * 2,
        unreadable("its choice has no message, but None"),
    ),
    Row("a list", [answer([1, 2])] * 2, unreadable("it is not an object: [1, 2]")),
    Row("null body", [answer(None)] * 2, unreadable("it is not an object: None")),
    Row("nothing", [raw(b"")] * 2, unreadable("it is not JSON, it begins ''")),
    Row(
        "HTML",
        [raw(b"<html>Welcome</html>", "text/html")] * 2,
        unreadable("it is not JSON, it begins '<html>Welcome</html>'"),
    ),
    Row(
        "half a JSON",
        [raw(b'{"choices": [{"mess')] * 2,
        unreadable('it is not JSON, it begins \'{"choices": [{"mess\''),
    ),
    Row(
        "SSE",
        [raw(b'data: {"choices": []}\n\ndata: [DONE]\n\n', "text/event-stream")] * 2,
        {**FAILED, "error_kind": "unreadable"},
    ),
    Row(
        "another content type",
        [raw(json.dumps(completion("a b")).encode(), "text/plain; charset=undefined")],
        KEPT,
    ),
    Row("a byte order mark", [raw(b"\xef\xbb\xbf" + json.dumps(completion("a b")).encode())], KEPT),
    Row(
        "bytes that are no characters",
        [raw(json.dumps(completion("a X")).encode().replace(b"X", b"\xff"))],
        {**KEPT, "text": "a \ufffd"},
    ),
    Row(
        "a line end within a text",
        [raw(b'{"choices": [{"message": {"content": "a\nb"}, "finish_reason": "stop"}]}')],
        {**KEPT, "text": "a\nb"},
    ),
    Row("deep nesting", [raw(b"[" * 200_000)] * 2, unreadable("it is nested too deeply")),
    Row(
        "deep nesting in an error", [raw(b'{"error":' * 5000 + b"1" + b"}" * 5000)] * 2, {**FAILED}
    ),
    Row(
        "a number of 10,000 digits",
        [raw(b'{"choices": ' + b"1" * 10_000 + b"}")] * 2,
        {**FAILED, "error_kind": "unreadable"},
    ),
    Row(
        "small gzip",
        [raw(gzip.compress(json.dumps(completion("a b")).encode()), Content_Encoding="gzip")],
        KEPT,
    ),
    Row(
        "gzip that unpacks to gigabytes",
        [raw(packed(), Content_Encoding="gzip")] * 2,
        unreadable("its body has more than 32 MiB"),
    ),
    Row(
        "gzip in gzip",
        [raw(packed(2), Content_Encoding="gzip, gzip")] * 2,
        unreadable("its body has more than 32 MiB"),
    ),
    Row("no gzip at all", [raw(b"hello", Content_Encoding="gzip")] * 2, {**FAILED}),
    Row("an unknown encoding", [raw(b"hello", Content_Encoding="rot13")] * 2, {**FAILED}),
    Row("a text of 300 MB", [long_text] * 2, unreadable("its body has more than 32 MiB")),
    Row("another model", [altered(model="other")], {**KEPT, "note": "answered as 'other'"}),
    Row(
        "a folder as model", [altered(model="/srv/models/m1")], {**KEPT, "note": "answered as 'm1'"}
    ),
    Row(
        "a file as model",
        [altered(model=r"C:\Users\me\models\m1.gguf")],
        {**KEPT, "note": "answered as 'm1.gguf'"},
    ),
    Row("half a model", [altered(model="m\ud83d")], {**KEPT, "note": r"answered as 'm\ud83d'"}),
    Row("model null", [altered(model=None)], {**KEPT, "note": None}),
    Row("the pinned revision", [altered(model="served-2026-01-01")], {**KEPT, "note": None}),
]

ERRORS = [
    Row(
        "an error under 200, 429",
        [answer({"error": {"message": "wait", "code": 429}})],
        {**KEPT, "retries": 1, "text": "echo an error under 200, 429"},
    ),
    Row(
        "an error under 200, text",
        [answer({"error": "rate limit reached"})],
        {**KEPT, "retries": 1, "text": "echo an error under 200, text"},
    ),
    Row(
        "an error under 200, 400",
        [answer({"error": {"message": "too long", "code": "400"}})],
        failed("http_400", "HTTP 400, too long"),
    ),
    Row(
        "an error under 200, no code",
        [answer({"error": {"message": "odd"}})] * 2,
        failed("http_200", "HTTP 200, odd"),
    ),
    Row(
        "an error object of old",
        [answer({"object": "error", "message": "bad", "code": 400})],
        failed("http_400", "HTTP 400, bad"),
    ),
    Row(
        "an error in the choice",
        [in_choice(error={"message": "gone", "code": 502}, finish_reason="error")],
        {**KEPT, "retries": 1, "text": "echo an error in the choice"},
    ),
    Row(
        "a word of the prompt",
        [
            lambda h: h.json(
                422,
                {"detail": [{"loc": ["body", "x"], "msg": "bad", "input": "unknown temperature"}]},
            )
        ],
        failed("http_422", "HTTP 422, x: bad"),
    ),
    Row(
        "424 once",
        [status(424, "Request failed during generation")],
        {**KEPT, "retries": 1, "text": "echo 424 once"},
    ),
    Row(
        "larger than a minute's limit",
        [status(429, "Request too large for m on tokens per min (TPM): Limit 9")],
        {**FAILED, "error_kind": "http_429"},
    ),
    Row(
        "an error beside a model's words",
        [in_choice(error={"message": "odd"}, message={"content": "invalid api key"})] * 2,
        failed("http_200", "HTTP 200, odd"),
    ),
    Row("error null", [altered(error=None)], KEPT),
    Row("error empty", [altered(error={})], KEPT),
    Row("an error beside a choice", [altered(error={"message": "broke", "code": 502})], AGAIN),
    Row(
        "a router's provider",
        [
            answer(
                {"error": {"message": "It failed", "code": 400, "metadata": {"raw": "it is long"}}}
            )
        ],
        failed("http_400", "HTTP 400, It failed: it is long"),
    ),
    Row("nothing but words", [answer({"message": "API rate limit exceeded"})], AGAIN),
    Row("nothing but a state", [answer({"status": "IN_QUEUE"})] * 2, {"error_kind": "http_200"}),
    Row("too fast, 403", [status(403, "Rate Limit Exceeded")], AGAIN),
    Row("cancelled by the server", [status(499)], AGAIN),
    Row(
        "a firewall",
        [lambda h: h.raw(403, b"<html>blocked</html>")],
        failed("http_403", "HTTP 403, <html>blocked</html>"),
    ),
    Row(
        "flagged",
        [status(400, "the prompt was flagged by our content policy")],
        failed("content_filter", "HTTP 400, the prompt was flagged by our content policy"),
    ),
    Row(
        "too long",
        [status(400, "maximum context length is 4096, max_tokens is 5000")],
        {**FAILED, "error_kind": "http_400"},
    ),
    Row(
        "FastAPI's detail",
        [
            lambda h: h.json(
                422, {"detail": [{"loc": ["body", "messages"], "msg": "Field required"}]}
            )
        ],
        failed("http_422", "HTTP 422, messages: Field required"),
    ),
    Row(
        "an error as HTML",
        [lambda h: h.raw(418, b"<h1>teapot</h1>")],
        failed("http_418", "HTTP 418, <h1>teapot</h1>"),
    ),
    Row(
        "an error in a list",
        [lambda h: h.json(413, [{"error": {"message": "large"}}])],
        failed("http_413", "HTTP 413, large"),
    ),
    Row(
        "429 with seconds",
        [status(429, Retry_After="0.05")],
        {"finish_reason": "stop", "retries": 1},
    ),
    Row(
        "429 with a date",
        [status(429, Retry_After=formatdate(time.time(), usegmt=True))],
        {"finish_reason": "stop", "retries": 1},
    ),
    Row(
        "429 with garbage",
        [status(429, Retry_After="soon")],
        {"finish_reason": "stop", "retries": 1},
    ),
    Row(
        "500 for ever",
        [status(500, "no", Retry_After="1e9")] * 2,
        failed("http_500", "HTTP 500, no"),
    ),
    Row(
        "408 for a year",
        [status(408, "no", Retry_After="Fri, 01 Jan 99999 00:00:00 GMT")] * 2,
        failed("http_408", "HTTP 408, no"),
    ),
    Row("reset", [reset] * 2, {**FAILED, "error_kind": "connection"}),
    Row("no HTTP", [garbage] * 2, {**FAILED, "error_kind": "connection"}),
    Row("cut", [cut] * 2, {**FAILED, "error_kind": "connection"}),
    Row("hang", [hang] * 2, failed("timeout", "no answer within 0.3 s")),
    Row("slow drip", [drip] * 2, failed("timeout", "no answer within 0.3 s")),
]

TABLE = [*CONTENTS, *ENDS, *COUNTS, *BODIES, *ERRORS]
SLOW = ("hang", "slow drip")

quick = pytest.fixture(scope="module", autouse=True)(quick_pauses)


@pytest.fixture(scope="module")
def completions() -> dict[str, Completion]:
    with serve() as api:
        api.faults = {row.name: list(row.faults) for row in TABLE}
        quick = run(api.address, [row.name for row in TABLE if row.name not in SLOW])
        return quick | run(api.address, list(SLOW), timeout=0.3)


def test_the_table_is_of_some_length_and_no_row_stands_in_it_twice() -> None:
    assert len({row.name for row in TABLE}) == len(TABLE) >= 60


@pytest.mark.parametrize("row", TABLE, ids=[row.name for row in TABLE])
def test_what_a_server_answers_becomes(completions: dict[str, Completion], row: Row) -> None:
    done = completions[row.name]
    assert {name: getattr(done, name) for name in row.expected} == row.expected
    assert (done.finish_reason == "error") == (done.error is not None)
    assert len(done.error or "") < 400
