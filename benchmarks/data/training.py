"""How soon a training starts, against TRL's own preparation of the same rows."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data.measure import ROOT, Figure, call

TEMPLATE = (
    "{%- for message in messages %}"
    "{{ '<|' ~ message['role'] ~ '|>' ~ message['content'] ~ '</s>' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
ANSWERS = {"sft": ["completion"], "dpo": ["chosen", "rejected"]}


def write(folder: str, rows: int) -> dict[str, int]:
    """Conversations of a prompt of 10 to 70 words and answers of 20 to 220; their size in memory.

    Words are drawn from a Zipfian vocabulary of 50,000. Beside the rows lies a small model whose
    tokenizer has 8,000 tokens, learned from them.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    Path(folder).mkdir()
    chance = np.random.default_rng(0)
    syllables = [one + two for one in "bcdfghjklmnprstvwz" for two in "aeiou"]
    words = np.array(["".join(chance.choice(syllables, 1 + n % 4)) for n in range(50_000)])
    frequency = 1 / np.arange(1, 50_001)
    frequency /= frequency.sum()

    def turns(role: str, least: int, most: int, count: int) -> list[Any]:
        lengths = chance.integers(least, most, count)
        drawn = words[chance.choice(50_000, int(lengths.sum()), p=frequency)]
        parts = np.split(drawn, np.cumsum(lengths)[:-1])
        return [[{"role": role, "content": " ".join(part)}] for part in parts]

    size = dict.fromkeys(ANSWERS, 0)
    for method, answers in ANSWERS.items():
        with pq.ParquetWriter(
            f"{folder}/{method}.parquet", _schema(answers), compression="zstd"
        ) as writer:
            for start in range(0, rows, 10_000):
                count = min(10_000, rows - start)
                columns = {"prompt": turns("user", 10, 71, count)}
                columns |= {answer: turns("assistant", 20, 221, count) for answer in answers}
                batch = pa.RecordBatch.from_pydict(columns, schema=_schema(answers))
                writer.write_batch(batch)
                size[method] += batch.nbytes
    _model(Path(folder) / "model", [turn["content"] for [turn] in columns["prompt"]])
    shutil.copytree(f"{folder}/model", f"{folder}/next")
    return size


def _schema(answers: list[str]) -> Any:
    import pyarrow as pa

    from srlm_data.core.schema import CONVERSATION

    return pa.schema(dict.fromkeys(["prompt", *answers], CONVERSATION))


def _model(folder: Path, texts: list[str]) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["</s>", "<pad>", "<|user|>", "<|assistant|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=8_000, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        ),
    )
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="</s>", pad_token="<pad>")
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=1, max_position_embeddings=2048,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)


def start(folder: str, method: str, tokens: str, whose: str, model: str) -> dict[str, Any]:
    """Start a training up to its first step; what was imported before is not counted.

    Args:
        folder: what :func:`write` has filled.
        method: ``sft`` or ``dpo``.
        tokens: what is kept between runs: our tokens, or the cache of ``datasets``.
        whose: ``ours`` is the script of ``train/``; ``trl`` is TRL given the rows.
        model: ``model``, or ``next`` for a copy of it.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")  # as a build starts a training
    sys.path.insert(0, str(ROOT / "train"))
    import datasets
    import dpo
    import job
    import sft
    import yaml
    from transformers import AutoModelForCausalLM, TrainerCallback
    from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

    from srlm_data.models.training import Dpo, Sft

    class Began(Exception):
        pass

    class Stop(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
            raise Began

    def theirs(asked: job.Job[Any]) -> Any:
        arguments = asked.arguments()
        given: Any = {"processing_class": asked.tokenizer}
        given["train_dataset"] = datasets.load_dataset(
            "parquet", data_files=[rows], columns=["prompt", *ANSWERS[method]], split="train",
            cache_dir=tokens,
        )  # fmt: skip
        if method == "dpo":
            reference = AutoModelForCausalLM.from_pretrained(asked.reference)
            return DPOTrainer(str(asked.model), reference, DPOConfig(**arguments), **given)
        del arguments["disable_dropout"]
        arguments["completion_only_loss"] = True
        return SFTTrainer(str(asked.model), SFTConfig(**arguments), **given)

    rows = f"{folder}/{method}.parquet"
    with tempfile.TemporaryDirectory(prefix="srlm-start-") as output:
        file = Path(output) / "job.yaml"
        settings = {"model": f"{folder}/{model}", "data": [rows], "output": "out"}
        settings |= {"tokens": tokens, "batch_size": 4, "dropout": 0}
        settings |= {"reference": f"{folder}/{model}"} if method == "dpo" else {}
        file.write_text(yaml.safe_dump(settings))
        libraries = _peak()
        started, processor = time.perf_counter(), time.process_time()
        asked = job.read(file, {"sft": Sft, "dpo": Dpo}[method])
        with asked.holds:
            make = {"sft": sft.trainer, "dpo": dpo.trainer}[method] if whose == "ours" else theirs
            trainer = make(asked)
            trainer.add_callback(Stop)
            with contextlib.suppress(Began):
                trainer.train()
            return {
                "seconds": time.perf_counter() - started,
                "processor": time.process_time() - processor,
                "megabytes": _peak() - libraries,
                "rows": len(trainer.train_dataset),
                "kept": sum(one.stat().st_size for one in Path(tokens).rglob("*") if one.is_file()),
            }


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def figures(quick: bool) -> Iterator[Figure]:
    """How a training starts: without tokens, again, and with the next model."""
    rows = 2_000 if quick else 50_000
    with tempfile.TemporaryDirectory(prefix="srlm-training-") as folder:
        size = call(write, f"{folder}/many", rows).said
        call(write, f"{folder}/few", rows // 5)

        def run(method: str, whose: str, model: str, of: str = "many") -> dict[str, Any]:
            tokens = f"{folder}/{of}/{method}-{whose}"
            said: dict[str, Any] = call(start, f"{folder}/{of}", method, tokens, whose, model).said
            return said

        for method in ANSWERS:
            models = ["model", "model", "next"]
            runs = [(run(method, "trl", one), run(method, "ours", one)) for one in models]
            few = run(method, "ours", "model", "few")
            yield from _compared(f"training: {method}, {rows:,} rows", runs, few, size[method])


def _compared(
    what: str, runs: list[tuple[dict[str, Any], dict[str, Any]]], few: dict[str, Any], size: int
) -> Iterator[Figure]:
    times = ["nothing kept yet", "a second time", "the next model, with the same tokenizer"]
    for when, (theirs, ours) in zip(times, runs, strict=True):
        yield Figure(
            f"{what}: TRL's processor time to the first step over ours, {when}",
            theirs["processor"] / ours["processor"], "x", ">= 1" if ours is runs[0][1] else "",
            f"{theirs['seconds']:.1f} s against {ours['seconds']:.1f} s on the clock",
        )  # fmt: skip
    (theirs, ours), (_, again), _ = runs
    assert theirs["rows"] == ours["rows"]
    yield Figure(
        f"{what}: processor time of ours over that of the second time",
        ours["processor"] / again["processor"], "x",
    )  # fmt: skip
    yield Figure(
        f"{what}: what TRL leaves on disk, over what we do",
        theirs["kept"] / ours["kept"], "x", ">= 1",
        f"{theirs['kept'] / 1e6:.0f} MB against {ours['kept'] / 1e6:.0f} MB; "
        f"the rows are {size / 1e6:.0f} MB in memory",
    )  # fmt: skip
    yield Figure(
        f"{what}: peak memory above that of the libraries", ours["megabytes"], "MB", "",
        f"TRL {theirs['megabytes']:.0f} MB; a fifth of the rows {few['megabytes']:.0f} MB",
    )  # fmt: skip
