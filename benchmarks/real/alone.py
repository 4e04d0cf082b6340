"""vLLM alone, asked what the steps of a build have asked: tokens a second.

python benchmarks/real/alone.py MODEL LOG...
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")

import torch
from vllm import LLM, SamplingParams
from vllm.sampling_params import StructuredOutputsParams

from srlm_data.engines.protocol import DRAWING


def main() -> None:
    """Ask everything of each log at once, and print one line of JSON."""
    if torch.cpu._is_amx_tile_supported():
        torch.cpu._init_amx()
    llm = LLM(
        sys.argv[1],
        dtype="auto" if torch.cuda.is_available() else "float32",
        max_model_len=2048,
        max_num_seqs=16,
        max_num_batched_tokens=8192,
        enable_chunked_prefill=False,
        enforce_eager=not torch.cuda.is_available(),
        **({} if torch.cuda.is_available() else {"kv_cache_memory_bytes": 1 << 30}),
        structured_outputs_config={"backend": "guidance", "disable_any_whitespace": True},
        disable_log_stats=True,
    )
    speeds = {}
    for argument in sys.argv[2:]:
        step, _, log = argument.partition("=")
        lines = [json.loads(line) for line in Path(log).read_text(encoding="utf-8").splitlines()]
        parameters = [_parameters(sampling, seed) for _, sampling, seed in lines]
        started = time.perf_counter()
        answers = llm.chat([messages for messages, *_ in lines], parameters, use_tqdm=False)
        seconds = time.perf_counter() - started
        speeds[step] = sum(len(one.outputs[0].token_ids) for one in answers) / seconds
    print(json.dumps(speeds))


def _parameters(sampling: dict[str, Any], seed: int) -> SamplingParams:
    form = {"regex": sampling["pattern"], "json": sampling["json_schema"]}
    form = {kind: value for kind, value in form.items() if value}
    return SamplingParams(
        temperature=sampling["temperature"],
        top_p=sampling["top_p"],
        max_tokens=sampling["max_tokens"],
        stop=sampling["stop"],
        seed=seed,
        **{name: sampling[name] for name in DRAWING if sampling[name] is not None},
        structured_outputs=StructuredOutputsParams(**form) if form else None,
    )


if __name__ == "__main__":
    main()
