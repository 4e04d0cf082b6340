"""Offline text generation with vLLM, in this process.

Requests are streamed in as others finish, so that the scheduler always has enough to choose from
and memory stays bounded; completions come out as they end. Prefix caching computes a beginning
that prompts share (a judge's rubric) once.
"""

from __future__ import annotations

import gc
import itertools
import logging
import os
from collections.abc import Iterable, Iterator
from typing import Any

# Read once, when torch and vLLM are imported. A user's own settings win.
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")

import torch
import transformers
from vllm import EngineArgs, LLMEngine, SamplingParams
from vllm.inputs import TokensPrompt
from vllm.platforms import current_platform
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.exceptions import EngineDeadError

from srlm_data.engines import Completion, Request
from srlm_data.engines.chat import Prompts, failed
from srlm_data.engines.settings import VllmEngine
from srlm_data.errors import EngineError

_CPU_TOKENS = 8192  # of one step; on a CPU also the longest sequence, unless set otherwise
_CPU_CACHE_BYTES = 1 << 30


def load(settings: VllmEngine, model: str, digest: str, revision: str | None = None) -> Vllm:
    """Load ``model``, a folder or a Hub name (see ``settings.open_engine``)."""
    from_hub = {"revision": revision, "trust_remote_code": settings.trust_remote_code}
    arguments = settings.model_dump(exclude={"kind"}, exclude_none=True)
    try:
        # The tokenizer of transformers, not vLLM's: every engine then reads the same tokens.
        tokenizer = transformers.AutoTokenizer.from_pretrained(model, **from_hub)
        if current_platform.is_cpu():
            config = transformers.AutoConfig.from_pretrained(model, **from_hub)
            arguments = _for_cpu(arguments, config.get_text_config().max_position_embeddings)
        engine = LLMEngine.from_engine_args(
            EngineArgs(
                model=model,
                revision=revision,
                tokenizer_revision=revision,
                load_format="safetensors",
                use_tqdm_on_load=False,
                disable_log_stats=True,
                **arguments,
            )
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise EngineError(f"engine 'vllm': the model {model} cannot be loaded: {error}") from error
    return Vllm(engine, tokenizer, digest)


def _for_cpu(arguments: dict[str, Any], longest: int) -> dict[str, Any]:
    """The arguments with what the CPU build needs beneath what the user has set."""
    # One process: the two others take 10 s to start and gain nothing here.
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    # It says that there is no Triton, which a CPU does not need.
    logging.getLogger("torch._library.triton").setLevel(logging.ERROR)
    if torch.cpu._is_amx_tile_supported():
        torch.cpu._init_amx()  # without it, a first step of 4 tokens or fewer in bfloat16 crashes
    arguments = {
        "enforce_eager": True,  # compiling takes longer than it saves
        "kv_cache_memory_bytes": _CPU_CACHE_BYTES,
        "max_model_len": min(longest, _CPU_TOKENS),
        **arguments,
    }
    if arguments["dtype"] == "auto":
        arguments["dtype"] = "float32"
    # A prompt whose request has a seed cannot be read in chunks: a CPU's generator has no offset.
    arguments["enable_chunked_prefill"] = False
    arguments["max_num_batched_tokens"] = max(_CPU_TOKENS, arguments["max_model_len"])
    return arguments


class Vllm:
    """An engine over vLLM. Satisfies :class:`srlm_data.engines.Engine`."""

    def __init__(self, engine: Any, tokenizer: Any, digest: str) -> None:
        config = engine.vllm_config
        self._engine = engine
        self._digest = digest
        longest = config.model_config.max_model_len
        self._prompts = Prompts(tokenizer, config.model_config.model, longest)
        # Twice what is answered at a time, so that a place that gets free is filled at once.
        self._room = 2 * config.scheduler_config.max_num_seqs
        self._keys = map(str, itertools.count())

    @property
    def model(self) -> str:
        """Digest of the model that answers."""
        return self._digest

    def generate(
        self,
        requests: Iterable[Request],
        *,
        total: int | None = None,
    ) -> Iterator[Completion]:
        """Completions of ``requests``, as they finish.

        Closing the generator takes what is unanswered back from vLLM.

        Raises:
            EngineError: vLLM has died.
        """
        source = iter(requests)
        waiting: dict[str, Request] = {}
        try:
            while True:
                pulled = list(itertools.islice(source, self._room - len(waiting)))
                for request in pulled:
                    prompt = self._prompts.tokens(request)
                    if isinstance(prompt, Completion):
                        yield prompt
                    else:
                        key = next(self._keys)
                        self._engine.add_request(
                            key, TokensPrompt(prompt_token_ids=prompt), _parameters(request)
                        )
                        waiting[key] = request
                if not pulled and not waiting:
                    return
                for output in self._engine.step():
                    yield _completion(waiting.pop(output.request_id), output)
        except EngineDeadError as error:
            waiting.clear()
            raise EngineError(
                f"engine 'vllm': it has died: {error}. What was answered is kept; set "
                "VLLM_LOGGING_LEVEL=INFO to see why, and build again."
            ) from error
        finally:
            if waiting:
                self._engine.abort_request(list(waiting))

    def close(self) -> None:
        """Release the model and the memory it holds; another model can be loaded then."""
        if self._engine is not None:
            self._engine.engine_core.shutdown()
            self._engine = None
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()


def _parameters(request: Request) -> SamplingParams:
    sampling = request.sampling
    return SamplingParams(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        max_tokens=sampling.max_tokens,
        stop=list(sampling.stop),
        seed=request.seed,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def _completion(request: Request, output: Any) -> Completion:
    """A completion from a finished output of vLLM."""
    (answer,) = output.outputs
    if answer.finish_reason not in ("stop", "length"):
        return failed(
            request, len(output.prompt_token_ids), f"vLLM ended it with '{answer.finish_reason}'"
        )
    return Completion(
        request,
        answer.text,
        answer.finish_reason,
        len(output.prompt_token_ids),
        len(answer.token_ids),
        output.num_cached_tokens or 0,
    )
