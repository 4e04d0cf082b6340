"""Text generation with transformers: batches of similar length, a seed for every request.

``generate`` of transformers has one random state for a whole batch and keeps every row until the
last one ends. Here each row draws from its own seed, so that its text does not depend on its
neighbours, and rows that have ended leave the batch. What prompts share is computed once: the
beginning that all of a batch have in common, and prompts that are asked several times.
"""

from __future__ import annotations

import gc
import inspect
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from os.path import commonprefix
from typing import Any

import torch
import transformers
from torch import Tensor

from srlm_data.core.errors import EngineError, SrlmError
from srlm_data.engines._chat import Prompts, failed
from srlm_data.engines.backends._forms import Forms
from srlm_data.engines.backends._growing_cache import cache_for
from srlm_data.engines.protocol import Completion, Engine, Request, Sampling
from srlm_data.engines.settings import TransformersEngine
from srlm_data.models.network import load_network

_WINDOW = 8
"""Batches of requests read ahead, so that prompts of similar length can share a batch."""

_PAD_TO = 32
"""Prompts are padded to a multiple of this, because each new tensor shape costs start-up time."""


def load(
    settings: TransformersEngine, model: str, digest: str, revision: str | None = None
) -> Engine:
    """Load ``model``, a folder or a Hub name (see ``opening.open_engine``)."""
    device = settings.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = settings.dtype
    if dtype == "auto" and device == "cpu":
        dtype = "float32"
    transformers.utils.logging.disable_progress_bar()
    where = {"revision": revision, "trust_remote_code": settings.trust_remote_code}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(model, **where)
        network = load_network(model, EngineError, dtype=dtype, **where).to(device)
    except SrlmError:
        raise
    except Exception as error:  # the libraries raise many types
        raise EngineError(
            f"engine 'transformers': the model {model} cannot be loaded: {error}"
        ) from error
    if "cache_params" in inspect.signature(network.forward).parameters:  # as Mamba has
        raise EngineError(
            f"engine 'transformers': the model {model} keeps only a running state, which this "
            "engine cannot continue from. Set 'engine: {kind: vllm}'."
        )
    return Transformers(network.eval(), tokenizer, digest, settings.batch_size)


@dataclass
class _Row:
    """A request, its prompt, and its answer so far."""

    request: Request
    prompt: tuple[int, ...]
    matcher: Any = None  # holds the answer to its form
    cached: int = 0
    answer: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.request.seed)


class Transformers:
    """An engine over a transformers model. Satisfies :class:`srlm_data.engines.protocol.Engine`."""

    def __init__(self, network: Any, tokenizer: Any, digest: str, batch_size: int) -> None:
        self._network = network
        self._tokenizer = tokenizer
        self.model = digest
        self._batch_size = batch_size
        config = network.config.get_text_config()
        longest = getattr(config, "max_position_embeddings", None)
        self._longest = longest or tokenizer.model_max_length
        self._vocabulary: int = network.get_input_embeddings().weight.shape[0]
        self._prompts = Prompts(tokenizer, network.name_or_path, self._longest)
        self._ends = _end_tokens(network, tokenizer) | {self._prompts.end_token}
        self._forms = Forms(tokenizer, self._ends)

    def generate(
        self, requests: Iterable[Request], *, total: int | None = None
    ) -> Iterator[Completion]:
        """Yield completions of ``requests`` as they finish."""
        source = iter(requests)
        while window := list(islice(source, self._batch_size * _WINDOW)):
            rows = []
            for request in window:
                prompt = self._prompts.tokens(request)
                if isinstance(prompt, Completion):
                    yield prompt
                elif max(prompt, default=-1) not in range(self._vocabulary):
                    reason = f"the prompt has tokens other than the model's {self._vocabulary}"
                    yield failed(request, "tokens", reason, prompt_tokens=len(prompt))
                else:
                    rows.append(_Row(request, tuple(prompt), self._forms.matcher(request.sampling)))
            # Sorted by content within a length, so that equal prompts share a batch.
            rows.sort(key=lambda row: (len(row.prompt), row.prompt))
            for start in range(0, len(rows), self._batch_size):
                batch = rows[start : start + self._batch_size]
                try:
                    yield from self._decode(batch)
                except torch.OutOfMemoryError as error:
                    raise EngineError(
                        f"engine 'transformers': {len(batch)} requests of up to "
                        f"{len(batch[-1].prompt)} prompt tokens do not fit in the device's memory. "
                        "Set a smaller batch_size."
                    ) from error

    def close(self) -> None:
        """Release the model and the memory it holds."""
        self._network = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _decode(self, rows: list[_Row]) -> Iterator[Completion]:
        """Answer a batch; yield each row's completion as soon as the row ends."""
        logits, cache, mask = self._prefill(rows)
        alive: list[_Row | None] = list(rows)  # None: ended, but still in the batch
        while True:
            tokens = _choose(logits, alive)
            for index, (row, token) in enumerate(zip(alive, tokens.tolist(), strict=True)):
                if row is not None and (completion := self._append(row, token)):
                    alive[index] = None
                    yield completion
            keep = [index for index, row in enumerate(alive) if row is not None]
            if not keep:
                return
            if 2 * len(keep) <= len(alive):
                # Shrink once half have ended: few tensor shapes, and at most half the work wasted.
                chosen = torch.tensor(keep, device=mask.device)
                cache.batch_select_indices(chosen)
                mask, tokens = mask[chosen], tokens[chosen]
                alive = [alive[index] for index in keep]
            mask = torch.cat([mask, mask.new_ones(len(alive), 1)], dim=1)
            logits = self._forward(tokens[:, None], mask, cache)

    def _prefill(self, rows: list[_Row]) -> tuple[Tensor, Any, Tensor]:
        """Run the model on the prompts; return next tokens' logits, cache and mask (row, token).

        Columns are the shared beginning, padding, and the rest of each prompt.
        """
        unique = list(dict.fromkeys(row.prompt for row in rows))
        cache, splits = cache_for(self._network)
        shared = 0
        if splits and len(unique) > 1:
            # The last token is never shared, because the logits after it are needed for each row.
            beginning = len(commonprefix([prompt[:-1] for prompt in unique]))
            shared = beginning // _PAD_TO * _PAD_TO
        longest = len(unique[-1]) - shared
        width = min(-(-longest // _PAD_TO) * _PAD_TO, self._longest)
        device = self._network.device
        suffixes = torch.zeros(len(unique), width, dtype=torch.long)
        mask = torch.ones(len(unique), shared + width, dtype=torch.long)
        for index, prompt in enumerate(unique):
            own = torch.tensor(prompt[shared:])
            suffixes[index, width - len(own) :] = own
            mask[index, shared : shared + width - len(own)] = 0
        mask = mask.to(device)
        if shared:
            common = torch.tensor([unique[0][:shared]], device=device)
            self._forward(common, mask[:1, :shared], cache)
            cache.batch_select_indices(torch.zeros(len(unique), dtype=torch.long, device=device))
        logits = self._forward(suffixes.to(device), mask, cache)

        seen: set[tuple[int, ...]] = set()
        for row in rows:
            row.cached = len(row.prompt) if row.prompt in seen else shared if seen else 0
            seen.add(row.prompt)
        places = {prompt: index for index, prompt in enumerate(unique)}
        chosen = torch.tensor([places[row.prompt] for row in rows], device=device)
        if len(unique) < len(rows):
            cache.batch_select_indices(chosen)
        return logits[chosen], cache, mask[chosen]

    @torch.inference_mode()
    def _forward(self, tokens: Tensor, mask: Tensor, cache: Any) -> Tensor:
        """Return logits (row, vocabulary) after the last of ``tokens``; ``cache`` grows by them."""
        positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -tokens.shape[1] :]
        output = self._network(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: Tensor = output.logits[:, -1].float()
        if logits[:, 0].isnan().any():
            raise EngineError(
                "engine 'transformers': the model computes NaN, because its weights are damaged or "
                "overflow in their number type. Set 'dtype: float32', or replace the weights."
            )
        return logits

    def _append(self, row: _Row, token: int) -> Completion | None:
        """Add a token to a row's answer; return the completion if the token ends the answer."""
        row.answer.append(token)
        if row.matcher is not None and not row.matcher.consume_token(token):
            return failed(row.request, "form", row.matcher.get_error())
        sampling = row.request.sampling
        if token in self._ends:
            # Drop the end token: decoding leaves it out only where it is a special token.
            return self._completion(row, "stop", self._text(row.answer[:-1]))
        if stop := self._prompts.stop(sampling):
            # Decode only the end, where a stop string appears: a character has at most four tokens.
            newest = 4 * max(map(len, stop)) + 4
            if _cut(self._text(row.answer[-newest:]), stop) is not None:
                text = self._text(row.answer)
                if (end := _cut(text, stop)) is not None:
                    return self._completion(row, "stop", text[:end])
        length = len(row.prompt) + len(row.answer)
        if len(row.answer) == sampling.limit or length == self._longest:
            return self._completion(row, "length", self._text(row.answer))
        return None

    def _text(self, tokens: list[int]) -> str:
        """Return the text of tokens, without a last character whose bytes are incomplete."""
        text: str = self._tokenizer.decode(
            tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text.rstrip("\N{REPLACEMENT CHARACTER}")

    def _completion(self, row: _Row, finish_reason: str, text: str) -> Completion:
        reasoning, answer, thought = self._prompts.split(row.request.sampling, text, row.answer)
        return Completion(
            row.request,
            answer,
            finish_reason,
            len(row.prompt),
            len(row.answer),
            row.cached,
            reasoning=reasoning,
            reasoning_tokens=thought,
        )


def _choose(logits: Tensor, rows: list[_Row | None]) -> Tensor:
    """Return the next token of each row: the likeliest at temperature 0, else one of its nucleus.

    Settings apply in vLLM's order: penalties, the form, temperature, ``min_p``, ``top_k``,
    ``top_p``. The nucleus is the fewest likeliest tokens whose probabilities add up to ``top_p``.
    One number from the row's own random generator picks among them by their cumulative sum, so the
    choice depends on nothing but the row's logits, tokens and seed.
    """
    if any(
        row and (row.matcher is not None or _has_penalties(row.request.sampling)) for row in rows
    ):
        logits = logits.clone()
        for scores, row in zip(logits, rows, strict=True):
            if row:
                _penalize(scores, row)
                if row.matcher is not None:
                    _forbid(scores, row.matcher)
    tokens = logits.argmax(-1)
    drawn = {
        index: (row.request.sampling.temperature, row.request.sampling.top_p, row.random.random())
        for index, row in enumerate(rows)
        if row and row.request.sampling.temperature > 0
    }
    if not drawn:
        return tokens
    chosen = torch.tensor(list(drawn), device=logits.device)
    settings = torch.tensor(list(drawn.values()), dtype=torch.float32, device=logits.device)
    temperature, top_p, point = settings[:, :, None].unbind(1)
    probabilities, order = (logits[chosen] / temperature).softmax(-1).sort(-1, descending=True)
    samplings = [row.request.sampling for index, row in enumerate(rows) if row and index in drawn]
    if any(sampling.top_k is not None or sampling.min_p is not None for sampling in samplings):
        probabilities = _truncate(probabilities, samplings)
    sums = probabilities.cumsum(-1)
    size = (sums - probabilities < top_p).sum(-1, keepdim=True).clamp(min=1)
    mass = sums.gather(-1, size - 1)
    picked = (sums <= point * mass).sum(-1, keepdim=True).clamp(max=size - 1)
    tokens[chosen] = order.gather(-1, picked).squeeze(-1)
    return tokens


def _has_penalties(sampling: Sampling) -> bool:
    return (
        sampling.repetition_penalty is not None
        or sampling.presence_penalty is not None
        or sampling.frequency_penalty is not None
    )


def _penalize(logits: Tensor, row: _Row) -> None:
    """Apply a row's penalties for tokens that occurred before to its logits, in place."""
    sampling, device = row.request.sampling, logits.device
    if (penalty := sampling.repetition_penalty) is not None:
        seen = torch.tensor(sorted({*row.prompt, *row.answer}), device=device)
        scores = logits[seen]
        logits[seen] = torch.where(scores > 0, scores / penalty, scores * penalty)
    if row.answer:
        times = Counter(row.answer)
        written = torch.tensor(list(times), device=device)
        counts = torch.tensor(list(times.values()), dtype=logits.dtype, device=device)
        logits[written] -= (sampling.frequency_penalty or 0.0) * counts
        logits[written] -= sampling.presence_penalty or 0.0


def _forbid(logits: Tensor, matcher: Any) -> None:
    """Set the logits of tokens that a row's form does not allow next to minus infinity."""
    allowed = torch.frombuffer(bytearray(matcher.compute_logit_bias()), dtype=torch.uint8)
    size = min(len(allowed), len(logits))  # a model may have more logits than tokens
    logits[:size].masked_fill_((allowed[:size] == 0).to(logits.device), float("-inf"))
    logits[size:] = float("-inf")


def _truncate(probabilities: Tensor, samplings: Sequence[Sampling]) -> Tensor:
    """Return probabilities (row, likeliest first) of the tokens that ``min_p``, ``top_k`` leave."""
    size, device = probabilities.shape[-1], probabilities.device
    least = torch.tensor([[sampling.min_p or 0.0] for sampling in samplings], device=device)
    most = torch.tensor([[sampling.top_k or size] for sampling in samplings], device=device)
    left = probabilities >= least * probabilities[:, :1]
    left &= torch.arange(size, device=device) < most
    probabilities = probabilities * left
    return probabilities / probabilities.sum(-1, keepdim=True)


def _cut(text: str, stop: tuple[str, ...]) -> int | None:
    """Return where the first stop string in ``text`` begins; None where there is none."""
    return min((place for word in stop if (place := text.find(word)) >= 0), default=None)


def _end_tokens(network: Any, tokenizer: Any) -> frozenset[int]:
    """Return the tokens that end an answer, by the generation config and the tokenizer."""
    ends = network.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    return frozenset(token for token in (*ends, tokenizer.eos_token_id) if token is not None)
