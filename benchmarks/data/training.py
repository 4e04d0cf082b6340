"""How soon a training starts, against TRL's own preparation of the same rows."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.data.measure import ROOT, Figure, Run, call

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
    return size


def _schema(answers: list[str]) -> Any:
    import pyarrow as pa

    from srlm_data.schema import CONVERSATION

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


def start(folder: str, method: str, tokens: str, whose: str) -> dict[str, Any]:
    """Start a training and stop before its first step; what was imported before is not counted.

    Args:
        folder: what :func:`write` has filled.
        method: ``sft`` or ``dpo``.
        tokens: what is kept between runs: our tokens, or the cache of ``datasets``.
        whose: ``ours`` is the script of ``train/``; ``trl`` is TRL given the rows.
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

    from srlm_data.training import Dpo, Sft

    class Stop(TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            began.append((time.perf_counter(), time.process_time()))
            control.should_training_stop = True

    rows, model = f"{folder}/{method}.parquet", f"{folder}/model"
    with tempfile.TemporaryDirectory(prefix="srlm-start-") as output:
        file = Path(output) / "job.yaml"
        settings = {"model": model, "reference": model, "data": [rows], "output": "out"}
        settings |= {"tokens": tokens, "max_steps": 1, "batch_size": 4, "dropout": 0}
        file.write_text(yaml.safe_dump(settings))
        began: list[tuple[float, float]] = []
        before = time.perf_counter(), time.process_time()
        asked = job.read(file, {"sft": Sft, "dpo": Dpo}[method])
        with asked.holds:
            if whose == "ours":
                trainer = {"sft": sft.trainer, "dpo": dpo.trainer}[method](asked)
            else:
                wanted = ["prompt", *ANSWERS[method]]
                given: Any = {"processing_class": asked.tokenizer}
                given["train_dataset"] = datasets.load_dataset(
                    "parquet", data_files=[rows], columns=wanted, split="train", cache_dir=tokens
                )
                arguments = asked.arguments()
                if method == "dpo":
                    reference = AutoModelForCausalLM.from_pretrained(model)
                    trainer = DPOTrainer(model, reference, DPOConfig(**arguments), **given)
                else:
                    del arguments["disable_dropout"]
                    arguments["completion_only_loss"] = True
                    trainer = SFTTrainer(model, SFTConfig(**arguments), **given)
            trainer.add_callback(Stop)
            trainer.train()
    kept = sum(one.stat().st_size for one in Path(tokens).rglob("*") if one.is_file())
    return {
        "seconds": began[0][0] - before[0],
        "processor": began[0][1] - before[1],
        "rows": len(trainer.train_dataset),
        "kept": kept,
    }


def figures(quick: bool) -> Iterator[Figure]:
    """How a training starts, without tokens and with those of an earlier run."""
    rows = 2_000 if quick else 50_000
    with (
        tempfile.TemporaryDirectory(prefix="srlm-training-") as folder,
        tempfile.TemporaryDirectory(prefix="srlm-training-") as small,
    ):
        size = call(write, folder, rows).said
        call(write, small, rows // 5)
        for method in ANSWERS:
            theirs, ours = (
                [call(start, folder, method, f"{folder}/{method}-{whose}", whose) for _ in range(2)]
                for whose in ("trl", "ours")
            )
            few = call(start, small, method, f"{small}/{method}-ours", "ours")
            yield from _compared(
                f"training: {rows:,} rows, {method}", theirs, ours, few, size[method]
            )


def _compared(
    what: str, theirs: list[Run], ours: list[Run], few: Run, size: int
) -> Iterator[Figure]:
    [cold, again], [made, found] = theirs, ours
    assert made.said["rows"] == cold.said["rows"]

    def seconds(run: Run) -> float:
        return float(run.said["seconds"])

    yield Figure(
        f"{what}: TRL's time to the first step over ours, nothing kept yet",
        seconds(cold) / seconds(made), "x", ">= 1",
        f"{seconds(cold):.1f} s against {seconds(made):.1f} s",
    )  # fmt: skip
    yield Figure(
        f"{what}: the same, both for the second time",
        seconds(again) / seconds(found), "x", "",
        f"{seconds(again):.1f} s against {seconds(found):.1f} s",
    )  # fmt: skip
    yield Figure(
        f"{what}: ours for the first time over the second", seconds(made) / seconds(found), "x", ""
    )
    yield Figure(
        f"{what}: what TRL keeps on disk over what we do",
        cold.said["kept"] / made.said["kept"], "x", ">= 1",
        f"{cold.said['kept'] / 1e6:.0f} MB against {made.said['kept'] / 1e6:.0f} MB",
    )  # fmt: skip
    yield Figure(
        f"{what}: what we keep over the rows themselves, as text in memory",
        made.said["kept"] / size, "x",
    )  # fmt: skip
    yield Figure(
        f"{what}: peak memory, ours over TRL's, the libraries included",
        made.megabytes / cold.megabytes, "x", "<= 1",
        f"{made.megabytes:.0f} MB against {cold.megabytes:.0f} MB",
    )  # fmt: skip
    yield Figure(
        f"{what}: peak memory while tokens are made, over that of a fifth of the rows",
        made.megabytes / few.megabytes, "x",
    )  # fmt: skip
