"""From messages to the tokens of a prompt, for the engines that hold the model themselves."""

from __future__ import annotations

from typing import Any

from jinja2 import TemplateError

from srlm_data.engines import Completion, Request
from srlm_data.errors import EngineError
from srlm_data.schema import Message


class Prompts:
    """Turns requests into prompts by a tokenizer's own chat template, applied exactly once.

    The template writes the beginning-of-text token, so the tokenizer must not add another:
    engines are given tokens, never text.
    """

    def __init__(self, tokenizer: Any, model: str, longest: int) -> None:
        """Take the ``tokenizer`` of ``model``, whose sequences have at most ``longest`` tokens.

        Raises:
            EngineError: the tokenizer has no chat template.
        """
        if tokenizer.chat_template is None:
            raise EngineError(
                f"model {model}: its tokenizer has no chat template, so it is not known how to "
                "write a conversation. Save one beside the model as chat_template.jinja."
            )
        self._tokenizer = tokenizer
        self._longest = longest
        self._last: tuple[tuple[Message, ...], list[int]] = ((), [])

    def tokens(self, request: Request) -> list[int] | Completion:
        """The prompt's tokens, or a failed completion when there can be no answer."""
        if request.messages == self._last[0]:  # the samples of a prompt come one after another
            return self._last[1]
        try:
            tokens: list[int] = self._tokenizer.apply_chat_template(
                [dict(turn) for turn in request.messages],
                add_generation_prompt=True,
                return_dict=False,
            )
        except TemplateError as error:
            return failed(request, 0, f"the chat template refuses the conversation: {error}")
        if len(tokens) >= self._longest:
            return failed(
                request,
                len(tokens),
                f"the prompt has {len(tokens)} tokens; the longest sequence is {self._longest}, "
                "prompt and answer together",
            )
        self._last = (request.messages, tokens)
        return tokens


def failed(request: Request, prompt_tokens: int, reason: str) -> Completion:
    """The completion of a request that got no answer."""
    return Completion(request, "", "error", prompt_tokens, 0, error=reason)
