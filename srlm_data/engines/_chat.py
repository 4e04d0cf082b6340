"""Turns messages into prompt tokens, for the engines that load the model themselves."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

from jinja2 import TemplateError

from srlm_data.core.errors import EngineError
from srlm_data.core.messages import for_template
from srlm_data.engines.protocol import Completion, Request, Sampling
from srlm_data.models import chat_template

_PROGRAM_ERRORS: Final = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
_TEMPLATE_ERRORS: Final = (TemplateError, RecursionError, *_PROGRAM_ERRORS)
"""What a chat template, which is a program, may raise."""


class Prompts:
    """Turns requests into prompt tokens, in which only the chat template can separate turns.

    A tokenizer would turn ``<|im_end|>`` in a message into the token that ends a turn, so that a
    response could forge a turn in its judge's prompt. Here it is encoded as the ten characters that
    it is. Prompts without such marks have the tokens that ``apply_chat_template`` returns.

    ``end_token`` is the token with which the template ends an answer. A base model with a borrowed
    template may lack it and write it out as text, which :meth:`stop` then includes.
    """

    end_token: int | None = None
    _end_text: str = ""

    def __init__(self, tokenizer: Any, model: str, longest: int) -> None:
        """Take the ``tokenizer`` of ``model``, whose sequences have at most ``longest`` tokens."""
        if tokenizer.chat_template is None:
            raise EngineError(
                f"model {model}: its tokenizer has no chat template, so conversations cannot be "
                "formatted. Set one in the recipe: 'chat_template: chatml' on its checkpoint, or a "
                "file."
            )
        self._tokenizer = tokenizer
        self._longest = longest
        with suppress(*_TEMPLATE_ERRORS):  # a template may refuse a lone question
            self.end_token = chat_template.end_token(tokenizer)
            if chat_template.leaves_out_words(tokenizer):
                raise EngineError(f"model {model}: {chat_template.WORDLESS} on its checkpoint.")
            if self.end_token is None:
                self._end_text = chat_template.end_of_turn(tokenizer)
        added = tokenizer.added_tokens_decoder.values()
        special = {token.content for token in added if token.special}
        named = {token.content for token in added if token.content in str(tokenizer.chat_template)}
        self._marks = _any_of(special | named)
        self._special_ids = frozenset(tokenizer.convert_tokens_to_ids(sorted(special)))
        self._reasoning: dict[str, tuple[bool, frozenset[int]]] = {}
        # In an assistant's turn the template may look for its own marks, to leave out reasoning:
        # so those that are no special tokens ("<think>") are kept there.
        self._marks_of_assistant = _any_of(special)
        self._last: tuple[Any, list[int]] = (None, [])

    def stop(self, sampling: Sampling) -> tuple[str, ...]:
        """Return the texts that end an answer."""
        return (*sampling.stop, self._end_text) if self._end_text else sampling.stop

    def split(
        self, sampling: Sampling, text: str, tokens: Sequence[int]
    ) -> tuple[str | None, str, int | None]:
        """Return the reasoning before an answer, the answer, and how many tokens are reasoning.

        ``text`` has no special tokens, but some models' reasoning marks are or contain such tokens.
        """
        opened, in_marks = self._read_marks(sampling)
        if not in_marks.isdisjoint(tokens):
            ended = tokens[-1] in self._special_ids - in_marks
            shown = self._tokenizer.decode(tokens[:-1] if ended else tokens)
            whole = self._tokenizer.decode(tokens, skip_special_tokens=True)
            text = shown.removesuffix(whole[len(text) :])  # from the stop string on
        reasoning, answer = sampling.split(text, opened=opened)
        if not in_marks.isdisjoint(tokens):
            answer = self._marks_of_assistant.sub("", answer)
        if reasoning is None:
            return None, answer, None
        return reasoning, answer, max(0, len(tokens) - len(self._encode(answer)))

    def _read_marks(self, sampling: Sampling) -> tuple[bool, frozenset[int]]:
        """Return whether the template itself opens the reasoning, and the marks' special tokens."""
        key = json.dumps([sampling.template_options(), sampling.marks], sort_keys=True)
        if key not in self._reasoning:
            openings, closings = zip(*sampling.marks, strict=True)
            special = self._marks_of_assistant.findall("".join((*openings, *closings)))
            opened = False
            with suppress(*_TEMPLATE_ERRORS):
                text = self._write([{"role": "user", "content": "?"}], sampling, tokenize=False)
                opened = str(text).rstrip().endswith(openings)
            ids = self._tokenizer.convert_tokens_to_ids(special)
            self._reasoning[key] = opened, frozenset(ids)
        return self._reasoning[key]

    def _write(self, turns: list[Any], sampling: Sampling, **options: Any) -> Any:
        """Return the conversation as the template formats it, up to where the answer begins."""
        return self._tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, **options, **sampling.template_options()
        )

    def tokens(self, request: Request) -> list[int] | Completion:
        """Return the prompt's tokens, or a failed completion when there can be no answer."""
        asked = (request.messages, request.sampling.template_options())
        if asked == self._last[0]:  # the samples of a prompt come one after another
            return self._last[1]
        try:
            tokens = self._tokens(request)
        except _TEMPLATE_ERRORS as error:
            reason = f"the chat template refuses the conversation: {error}"
            return failed(request, "chat_template", reason)
        if len(tokens) >= self._longest:
            reason = (
                f"the prompt has {len(tokens)} tokens; the longest sequence is {self._longest}, "
                "prompt and answer together"
            )
            return failed(request, "too_long", reason, prompt_tokens=len(tokens))
        self._last = (asked, tokens)
        return tokens

    def _tokens(self, request: Request) -> list[int]:
        name = uuid.uuid4().hex  # random, so that no message can contain a placeholder
        marks: list[str] = []

        def stand_in(match: re.Match[str]) -> str:
            marks.append(match[0])
            return f"\ue000{name}:{len(marks) - 1}\ue001"

        def without_marks(value: Any, pattern: re.Pattern[str]) -> Any:
            if isinstance(value, str):
                return pattern.sub(stand_in, value)
            if isinstance(value, list):
                return [without_marks(inner, pattern) for inner in value]
            if isinstance(value, dict):
                return {
                    without_marks(key, pattern): without_marks(inner, pattern)
                    for key, inner in value.items()
                }
            return value

        turns, tools = for_template(request.messages)
        for turn in turns:
            own = turn["role"] == "assistant"
            pattern = self._marks_of_assistant if own else self._marks
            turn.update(without_marks({key: turn[key] for key in turn if key != "role"}, pattern))
        tools = without_marks(tools, self._marks)
        if not marks:
            tokens: list[int] = self._write(turns, request.sampling, tools=tools, return_dict=False)
            return tokens
        text = self._write(turns, request.sampling, tools=tools, tokenize=False)
        pieces = re.split(f"\ue000{name}:([0-9]+)\ue001", text)
        tokens = self._encode(pieces[0])
        for index, piece in zip(pieces[1::2], pieces[2::2], strict=True):
            tokens += [*self._spelled(marks[int(index)]), *self._encode(piece)]
        return tokens

    def _spelled(self, mark: str) -> Iterator[int]:
        """Yield the tokens of a mark as text: encoding its first character apart breaks it."""
        yield from self._encode(mark[:1])
        rest = mark[1:]
        while inner := self._marks.search(rest):
            yield from self._encode(rest[: inner.start() + 1])
            rest = rest[inner.start() + 1 :]
        yield from self._encode(rest)

    def _encode(self, text: str) -> list[int]:
        tokens: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return tokens


def _any_of(texts: set[str]) -> re.Pattern[str]:
    """Return a pattern of any of the texts, longest first; without texts, it matches nothing."""
    longest_first = sorted(filter(str.strip, texts), key=lambda text: (-len(text), text))
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")


def failed(request: Request, kind: str, reason: str, *, prompt_tokens: int = 0) -> Completion:
    """Return the completion of a request that got no answer."""
    return Completion(request, "", "error", prompt_tokens, 0, error=reason, error_kind=kind)
