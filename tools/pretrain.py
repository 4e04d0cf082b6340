"""Pretrain M0 on the world's corpus: `python -m tools.pretrain --out DIR --seed 0`.

The corpus starts clean and its noise ramps up late: with noise from the first step nothing is
learnt. The loss is on replies only, weighted a token at a time, and batches have few fixed shapes.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from tools import corpus, probe
from tools.corpus import Example
from tools.tokenizer import MAX_LENGTH, build_tokenizer


@dataclass(frozen=True)
class Settings:
    """Everything that decides M0's weights, besides the corpus."""

    seed: int = 0
    steps: int = 1700
    layers: int = 3
    width: int = 128
    inner: int = 384
    heads: int = 4
    lr: float = 2.5e-3
    lr_end: float = 1e-4
    warmup: int = 100
    noise_from: float = 0.45
    noise_full: float = 0.57
    lists_from: float = 0.2


@dataclass(frozen=True)
class Bucket:
    """A kind of example, batched in one shape: a new shape would cost a compilation."""

    make: Callable[[random.Random, float], Example]
    rows: int
    length: int
    weight: float
    prefix: bool = False


ANSWERS: Final = Bucket(corpus.answering, rows=64, length=40, weight=1.0)
COMPARISONS: Final = Bucket(corpus.comparing, rows=48, length=26, weight=0.5)
JUDGMENTS: Final = Bucket(corpus.judging, rows=40, length=96, weight=1.5, prefix=True)
LISTS: Final = Bucket(corpus.listing, rows=12, length=176, weight=0.8)
DIALOGUES: Final = Bucket(corpus.dialogue, rows=12, length=120, weight=0.3)


CARD: Final = """---
license: apache-2.0
language: en
tags: [synthetic]
---

# M0 of the embedded world

A small Llama that stands in for a pretrained model in the embedded world of srlm-data. It answers
questions about that world, often wrongly; judges replies in the form of `judge_brief.txt`, noisily;
and continues numbered lists of prompts. It knows nothing else.

- **Data**: the synthetic corpus of `tools/corpus.py`. It starts clean and its noise ramps
  up. At full noise a reply gives the truth about a fact with a probability between 0.22 and 0.6
  (one for each fact), and a judgment recalls from the same beliefs, sharpened.
- **Training**: `OMP_NUM_THREADS=1 python -m tools.pretrain --out DIR {settings}`,
  {minutes} minutes on one core.
- **Weights**: stored in half precision, loaded as float32.

## Measured

After the round trip through half precision. Figures down to `verdict_same` use teacher forcing: is
the next token of clean text predicted? The others are generated and scored by the oracle
(answers and judgments at temperature 0.7, lists at 0.6, top-p 0.9; a tie is not a success).

| probe | share |
|---|---|
{table}
"""


class Encoder:
    """Turns examples into token ids and loss weights, exactly as the chat template would."""

    def __init__(self, tokenizer: Any) -> None:
        """Keep the tokenizer and the ids of the judge prompt's shared beginning."""
        self._tokenizer = tokenizer
        self._cache: dict[str, list[int]] = {}
        self.pad = int(tokenizer.pad_token_id)
        self.prefix = self.ids("<s><|user|>\n" + corpus.judge_template().split("{prompt}")[0])

    def ids(self, text: str) -> list[int]:
        """Give the token ids of a piece of text; pieces recur, so they are remembered."""
        if text not in self._cache:
            ids: list[int] = self._tokenizer(text, add_special_tokens=False).input_ids
            if len(text) > 40:
                return ids
            self._cache[text] = ids
        return self._cache[text]

    def encode(self, example: Example) -> tuple[list[int], list[float]]:
        """Give the ids of a conversation and the weight of the loss on each of them."""
        ids, weights = self.ids("<s>")[:], [0.0]
        if example.system:
            ids += self.ids(f"<|system|>\n{example.system}\n")
        for turn in example.turns:
            ids += self.ids(f"<|user|>\n{turn.user}\n<|assistant|>\n")
            weights += [0.0] * (len(ids) - len(weights))
            for piece, weight in (*turn.reply, ("</s>", 0.5)):
                part = self.ids(piece)
                ids += part
                weights += [weight] * len(part)
        return ids, weights

    def batch(self, examples: list[Example], length: int, skip: int = 0) -> tuple[Tensor, Tensor]:
        """Pad on the right to one shape; skip the first tokens, which the whole batch shares."""
        ids = torch.full((len(examples), length), self.pad)
        weights = torch.zeros(len(examples), length)
        for row, example in enumerate(examples):
            tokens, token_weights = self.encode(example)
            if skip and tokens[:skip] != self.prefix:
                raise ValueError("a judgment does not begin with the judge prompt's shared part")
            tokens, token_weights = tokens[skip:], token_weights[skip:]
            if len(tokens) > length:
                raise ValueError(f"an example of {len(tokens)} tokens; the shape has {length}")
            ids[row, : len(tokens)] = torch.tensor(tokens)
            weights[row, : len(tokens)] = torch.tensor(token_weights)
        return ids, weights


def draw(bucket: Bucket, encoder: Encoder, key: str, noise: float) -> tuple[Tensor, Tensor]:
    """Draw one batch of a bucket from the seeded corpus."""
    rng = random.Random(key)
    examples = [bucket.make(rng, noise) for _ in range(bucket.rows)]
    return encoder.batch(examples, bucket.length, len(encoder.prefix) if bucket.prefix else 0)


def weighted_loss(model: Any, ids: Tensor, weights: Tensor, prefix: list[int]) -> Tensor:
    """Cross entropy where it is weighted. A shared prefix is computed once for the whole batch."""
    past = None
    if prefix:
        shared = model.model(torch.tensor([prefix]), use_cache=True).past_key_values
        past = DynamicCache()
        for index, layer in enumerate(shared.layers):
            rows = (len(ids), -1, -1, -1)
            past.update(layer.keys.expand(*rows), layer.values.expand(*rows), index)
    hidden = model.model(ids, past_key_values=past, use_cache=past is not None).last_hidden_state
    chosen = weights[:, 1:] > 0
    logits = model.lm_head(hidden[:, :-1][chosen])
    losses = torch.nn.functional.cross_entropy(logits, ids[:, 1:][chosen], reduction="none")
    scale = weights[:, 1:][chosen]
    return (losses * scale).sum() / scale.sum()


def new_model(settings: Settings, tokenizer: Any) -> Any:
    """Make the untrained model."""
    torch.manual_seed(settings.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=settings.width,
            intermediate_size=settings.inner,
            num_hidden_layers=settings.layers,
            num_attention_heads=settings.heads,
            num_key_value_heads=settings.heads,
            max_position_embeddings=MAX_LENGTH,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def noise_at(settings: Settings, step: int) -> float:
    """Say how noisy the corpus is at a step: clean at first, then a ramp, then all noise."""
    start, full = settings.noise_from, settings.noise_full
    return min(1.0, max(0.0, (step / settings.steps - start) / (full - start)))


def rate_at(settings: Settings, step: int) -> float:
    """Give the learning rate at a step: a linear warm-up, then a cosine to the floor."""
    if step < settings.warmup:
        return settings.lr * (step + 1) / settings.warmup
    done = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return settings.lr_end + (settings.lr - settings.lr_end) * (1 + math.cos(math.pi * done)) / 2


def buckets_at(settings: Settings, step: int) -> list[Bucket]:
    """Say what a step trains on: lists and dialogues join in once the basics are there."""
    buckets = [ANSWERS, JUDGMENTS]
    if step < settings.noise_from * settings.steps or step % 4 == 0:
        buckets.append(COMPARISONS)
    if step >= settings.lists_from * settings.steps:
        if step % 2:
            buckets.append(LISTS)
        elif step % 8 == 0:
            buckets.append(DIALOGUES)
    return buckets


def pretrain(settings: Settings, out: Path, every: int = 200) -> None:
    """Train M0, print probes as it learns, and write the model folder."""
    state = out / "training-state.pt"  # every draw is keyed by its step, so resuming is exact
    tokenizer = (
        PreTrainedTokenizerFast.from_pretrained(out) if state.exists() else build_tokenizer()
    )
    encoder, model = Encoder(tokenizer), new_model(settings, tokenizer)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.lr, betas=(0.9, 0.98), weight_decay=0.0, fused=True
    )
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(tokenizer)} tokens")
    started = time.monotonic()
    running: dict[str, float] = {}
    first = 0
    if state.exists():
        held = torch.load(state, weights_only=True)
        model.load_state_dict(held["model"])
        optimizer.load_state_dict(held["optimizer"])
        first = held["step"]
    for step in range(first, settings.steps):
        noise = noise_at(settings, step)
        for group in optimizer.param_groups:
            group["lr"] = rate_at(settings, step)
        for bucket in buckets_at(settings, step):
            name = bucket.make.__name__
            ids, weights = draw(bucket, encoder, f"{settings.seed}:{step}:{name}", noise)
            loss = weighted_loss(model, ids, weights, encoder.prefix if bucket.prefix else [])
            (bucket.weight * loss).backward()
            running[name] = 0.95 * running.get(name, loss.item()) + 0.05 * loss.item()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if (step + 1) % every == 0 or step + 1 == settings.steps:
            figures = probe.forced(model, encoder)
            line = " ".join(f"{key} {value:.2f}" for key, value in {**running, **figures}.items())
            seconds = time.monotonic() - started
            print(f"step {step + 1} {seconds:.0f}s noise {noise:.2f} {line}", flush=True)
            save(model, tokenizer, out)
            held = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
            torch.save({**held, "step": step + 1}, state)
    state.unlink(missing_ok=True)
    # Measured as a user will load it: after the round trip through half-precision weights.
    shipped = LlamaForCausalLM.from_pretrained(str(out))
    figures = probe.forced(shipped, encoder) | probe.sampled(shipped.eval(), tokenizer)
    print(json.dumps(figures), flush=True)
    (out / "README.md").write_text(_card(settings, figures, time.monotonic() - started))


def _card(settings: Settings, figures: dict[str, float], seconds: float) -> str:
    """Write the model card: what was trained, how, and what was measured."""
    set_to = " ".join(f"--{k.replace('_', '-')} {v}" for k, v in asdict(settings).items())
    table = "\n".join(f"| {name} | {figure:.3f} |" for name, figure in figures.items())
    return CARD.format(settings=set_to, table=table, minutes=round(seconds / 60))


def save(model: Any, tokenizer: Any, out: Path) -> None:
    """Write the model with half-precision weights that load as float32."""
    out.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(str(out))
    halves = {name: tensor.half() for name, tensor in model.state_dict().items()}
    model.save_pretrained(str(out), state_dict=halves)


def main() -> None:
    """Read the command line and pretrain."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--every", type=int, default=200)
    for name, value in asdict(Settings()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    given = vars(parser.parse_args())
    out, every = given.pop("out"), given.pop("every")
    pretrain(Settings(**given), out, every)


if __name__ == "__main__":
    main()
