"""From messages to the tokens of a prompt, for the engines that hold the model themselves."""

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
"""What a template, which is a program, may end with."""


class Prompts:
    """Turns requests into tokens by a tokenizer's own chat template, which separates turns alone.

    ``<|im_end|>`` in a message is ten characters that somebody wrote: a tokenizer would make the
    token of it that ends the turn, and a response could so speak to its judge in a turn of its own.
    Here it is read as the characters it is. Other prompts have the tokens that
    ``apply_chat_template`` gives.

    ``end_token`` is what the template ends an answer with. A base model that is lent a template may
    have no such token and spell it out: :meth:`stop` has it then.
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
        with suppress(*_TEMPLATE_ERRORS):  # of a template that wants more than a question
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
        # In an assistant's turn a template may look for its own marks, to leave out what was only
        # thought: "<think>" is no special token, and stays.
        self._marks_of_assistant = _any_of(special)
        self._last: tuple[Any, list[int]] = (None, [])

    def stop(self, sampling: Sampling) -> tuple[str, ...]:
        """Return the texts that end an answer."""
        return (*sampling.stop, self._end_text) if self._end_text else sampling.stop

    def split(
        self, sampling: Sampling, text: str, tokens: Sequence[int]
    ) -> tuple[str | None, str, int | None]:
        """Return the reasoning before an answer, the answer, and how many tokens are reasoning.

        ``text`` is without special tokens, which the marks of some models are, or are made of.
        """
        opened, in_marks = self._read_marks(sampling)
        if not in_marks.isdisjoint(tokens):
            ended = tokens[-1] in self._special_ids - in_marks
            shown = self._tokenizer.decode(tokens[:-1] if ended else tokens)
            whole = self._tokenizer.decode(tokens, skip_special_tokens=True)
            text = shown.removesuffix(whole[len(text) :])  # what a stop string has cut off
        reasoning, answer = sampling.split(text, opened=opened)
        if not in_marks.isdisjoint(tokens):
            answer = self._marks_of_assistant.sub("", answer)
        if reasoning is None:
            return None, answer, None
        return reasoning, answer, max(0, len(tokens) - len(self._encode(answer)))

    def _read_marks(self, sampling: Sampling) -> tuple[bool, frozenset[int]]:
        """Return whether the template itself begins an answer with reasoning.

        And the special tokens that the marks of reasoning are made of.
        """
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
        """Return a conversation as the template writes it, up to where the answer begins."""
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
        name = uuid.uuid4().hex  # what stands for a mark, so that no message can have it
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
        """Yield a mark as the characters it is: without its first one, the rest is no mark."""
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
    """Return a pattern of any of the texts, the longest first; of nothing where there is none."""
    longest_first = sorted(filter(str.strip, texts), key=lambda text: (-len(text), text))
    return re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")


def failed(request: Request, kind: str, reason: str, *, prompt_tokens: int = 0) -> Completion:
    """Return the completion of a request that got no answer."""
    return Completion(request, "", "error", prompt_tokens, 0, error=reason, error_kind=kind)
