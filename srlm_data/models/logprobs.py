"""Log-probabilities: how likely a model finds a text that is given, not generated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from os.path import commonprefix
from pathlib import Path
from typing import Any, Final, TypeVar

from srlm_data.core.errors import DataError
from srlm_data.core.messages import for_template
from srlm_data.core.schema import Message
from srlm_data.models.network import load_network

T = TypeVar("T")

_BATCH: Final = 64
_WINDOW: Final = 32
"""Batches that are read ahead and sorted by length, so that each needs little padding."""


class Reader:
    """Reads with the model in a folder, in float32 on a CPU and in its own type on a GPU.

    Texts that are longer than the model's longest sequence are refused.
    """

    def __init__(self, folder: Path) -> None:
        import torch  # slow to import, and only such a step needs it
        import transformers

        transformers.utils.logging.disable_progress_bar()
        gpu = torch.cuda.is_available()
        self._torch = torch
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        network = load_network(folder, DataError, dtype="auto" if gpu else torch.float32)
        self._network = network.to("cuda" if gpu else "cpu").eval()

    def log_probabilities(
        self, answers: Iterable[tuple[Sequence[Message], str]]
    ) -> Iterator[float]:
        """The log-probability of each answer and its end after its conversation; in order."""
        texts = (self._answered(prompt, answer) for prompt, answer in answers)
        yield from self._read(texts, _sum_log_probabilities)

    def choices(
        self, beginnings: Iterable[tuple[Sequence[Message], str, Sequence[str]]]
    ) -> Iterator[list[float]]:
        """How likely each of some endings is, given that it is one of them; in order.

        An item is a conversation, the beginning of its answer, and the endings, which must differ
        in the first token after what they share.
        """
        texts = (self._endings(*beginning) for beginning in beginnings)
        yield from self._read(texts, _share)

    def _answered(self, prompt: Sequence[Message], answer: str) -> tuple[list[int], list[int]]:
        """Return the tokens of a conversation with its answer, and those of the answer alone."""
        before = self._tokens(prompt)
        turns, tools = for_template(prompt)
        tokens: list[int] = self._tokenizer.apply_chat_template(
            [*turns, {"role": "assistant", "content": answer}], tools=tools, return_dict=False
        )
        if tokens[: len(before)] != before:
            raise DataError(
                "log-probabilities: the chat template changes a conversation once it is answered. "
                "Use a model whose template only appends to it."
            )
        return tokens, tokens[len(before) :]

    def _endings(
        self, prompt: Sequence[Message], beginning: str, endings: Sequence[str]
    ) -> tuple[list[int], list[int]]:
        """Return the tokens that all endings share, and the first token of each after them."""
        before = self._tokens(prompt)
        whole = [
            before + self._tokenizer.encode(beginning + ending, add_special_tokens=False)
            for ending in endings
        ]
        shared = len(commonprefix(whole))
        following = [tokens[shared] for tokens in whole if len(tokens) > shared]
        if len(set(following)) != len(endings):
            raise DataError(
                f"choices: the tokenizer does not distinguish {list(endings)} by one token. "
                "Use a model that does, or the scores as they were written."
            )
        return whole[0][:shared], following

    def _tokens(self, prompt: Sequence[Message]) -> list[int]:
        turns, tools = for_template(prompt)
        tokens: list[int] = self._tokenizer.apply_chat_template(
            turns, tools=tools, add_generation_prompt=True, return_dict=False
        )
        return tokens

    def _read(
        self, texts: Iterable[tuple[list[int], list[int]]], pick: Callable[[Any, list[int]], T]
    ) -> Iterator[T]:
        """Yield ``pick(logits, wanted)`` of each (tokens, wanted); logits: (place, vocabulary)."""
        source = iter(texts)
        while window := list(islice(source, _BATCH * _WINDOW)):
            order = sorted(range(len(window)), key=lambda place: len(window[place][0]))
            picked: dict[int, T] = {}
            for start in range(0, len(order), _BATCH):
                places = order[start : start + _BATCH]
                logits = self._forward([window[place][0] for place in places])
                for place, read in zip(places, logits, strict=True):
                    tokens, wanted = window[place]
                    # The logits of padding are cut off.
                    picked[place] = pick(read[: len(tokens)].float(), wanted)
            yield from (picked[place] for place in range(len(window)))

    def _forward(self, texts: list[list[int]]) -> Any:
        torch, longest = self._torch, max(map(len, texts))
        limit = getattr(self._network.config, "max_position_embeddings", longest)
        if longest > limit:
            raise DataError(
                f"log-probabilities: a text has {longest} tokens, the model reads {limit}. "
                "Filter it out with a sql step."
            )
        tokens = torch.zeros(len(texts), longest, dtype=torch.long)
        mask = torch.zeros_like(tokens)
        for row, text in enumerate(texts):
            tokens[row, : len(text)] = torch.tensor(text)
            mask[row, : len(text)] = 1
        device = self._network.device
        with torch.inference_mode():
            return self._network(input_ids=tokens.to(device), attention_mask=mask.to(device)).logits


def _sum_log_probabilities(logits: Any, last: list[int]) -> float:
    """Return the log-probability of a text's last tokens, each given those before it."""
    chances = logits[-len(last) - 1 : -1].log_softmax(-1)
    return float(chances[range(len(last)), last].sum())


def _share(logits: Any, following: list[int]) -> list[float]:
    """Return the probability of each token to come next, normalised over these tokens."""
    shares: list[float] = logits[-1][following].softmax(-1).tolist()
    return shares
