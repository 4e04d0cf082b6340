"""Offline text generation with vLLM.

Requests are streamed in as others finish, so that the scheduler always has enough to choose from
and memory stays bounded; completions come out as they end. Prefix caching computes a beginning
that prompts share (a judge's rubric) once.

With a GPU vLLM's core computes in a process of its own, and never waits for the disk or for the
step that reads the answers as long as its queue holds requests. On a CPU, where a further process
takes ten seconds to start and gains nothing, it computes while :meth:`Vllm.finished` is called.
"""

from __future__ import annotations

import gc
import itertools
import logging
import os
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Any, Final

# torch and vLLM read these once, on import. What the user has set wins.
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")

import torch
import transformers
from vllm import EngineArgs, LLMEngine, SamplingParams, envs
from vllm.exceptions import VLLMClientError
from vllm.inputs import TokensPrompt
from vllm.platforms import current_platform
from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams
from vllm.utils.cpu_resource_utils import get_visible_memory_node
from vllm.v1.engine.exceptions import EngineDeadError

from srlm_data.core.errors import EngineError, SrlmError
from srlm_data.engines._chat import Prompts, failed
from srlm_data.engines.backends._vllm_guard import Guard
from srlm_data.engines.protocol import Completion, Request, Sampling
from srlm_data.engines.settings import COMMON, VllmEngine

_CPU_TOKENS: Final = 8192  # in one step on a CPU; also the longest sequence, unless set otherwise
_CPU_CACHE_BYTES: Final = 1 << 30
_LOOK_SECONDS: Final = 0.5  # between two checks that vLLM's core is alive


def load(settings: VllmEngine, model: str, digest: str, revision: str | None = None) -> Vllm:
    """Load ``model``, a folder or a Hub name (see ``opening.open_engine``)."""
    from_hub = {"revision": revision, "trust_remote_code": settings.trust_remote_code}
    arguments = {
        "model": model,
        "revision": revision,
        "tokenizer_revision": revision,
        "load_format": "safetensors",
        "use_tqdm_on_load": False,
        # Length bounds cost guidance nothing; the flag keeps objects from being padded with spaces.
        "structured_outputs_config": {"backend": "guidance", "disable_any_whitespace": True},
        **settings.model_dump(exclude={"kind", *COMMON}, exclude_none=True),
    }
    try:
        # transformers' tokenizer, not vLLM's, so that all engines encode prompts alike.
        tokenizer = transformers.AutoTokenizer.from_pretrained(model, **from_hub)
        if current_platform.is_cpu():
            config = transformers.AutoConfig.from_pretrained(model, **from_hub)
            longest = getattr(config.get_text_config(), "max_position_embeddings", None)
            arguments = _for_cpu(arguments, longest or _CPU_TOKENS)
        with ExitStack() as undo:
            guard = None
            if arguments["tensor_parallel_size"] > 1 or envs.VLLM_ENABLE_V1_MULTIPROCESSING:
                guard = Guard()
                undo.callback(guard.close)
                with guard.loading():
                    engine = LLMEngine.from_engine_args(EngineArgs(**arguments))
            else:
                engine = LLMEngine.from_engine_args(EngineArgs(**arguments))
            undo.pop_all()
    except SrlmError:
        raise
    except Exception as error:  # the libraries raise many types
        raise EngineError(f"engine 'vllm': the model {model} cannot be loaded: {error}") from error
    # Statistics stay on for request times, but the counters for a server are not needed.
    engine.logger_manager = None
    return Vllm(engine, tokenizer, digest, guard)


def _for_cpu(arguments: dict[str, Any], longest: int) -> dict[str, Any]:
    """Return the arguments with defaults that suit a CPU, and with what a CPU requires."""
    if arguments["tensor_parallel_size"] == 1:
        # One process: the two others take 10 s to start and gain nothing here.
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    if arguments["tensor_parallel_size"] > len(get_visible_memory_node()):
        # vLLM binds each part's threads to a memory node, and fails where there are too few.
        os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    # Silence the warning that Triton is missing: a CPU does not need it.
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
    # A seeded request's prompt cannot be computed in chunks: a CPU generator has no offset.
    arguments["enable_chunked_prefill"] = False
    arguments["max_num_batched_tokens"] = max(_CPU_TOKENS, arguments["max_model_len"])
    return arguments


class Vllm:
    """An engine over vLLM. Satisfies :class:`srlm_data.engines.protocol.Engine`."""

    def __init__(
        self, engine: Any, tokenizer: Any, digest: str, guard: Guard | None = None
    ) -> None:
        config = engine.vllm_config
        self._engine = engine
        self._guard = guard
        self._closed = threading.Event()
        self.model = digest
        longest = config.model_config.max_model_len
        self._prompts = Prompts(tokenizer, config.model_config.model, longest)
        # Twice as many as are answered at a time, so that a free place is filled at once.
        self.room: int = 2 * config.scheduler_config.max_num_seqs
        self._keys = map(str, itertools.count())
        self._waiting: dict[str, Request] = {}
        if hasattr(engine.engine_core, "outputs_queue"):  # the core is a process of its own
            threading.Thread(target=self._wake, daemon=True).start()

    def _wake(self) -> None:
        """Wake the thread that waits for a core that was killed: vLLM itself only sets a flag."""
        client = self._engine.engine_core
        while not self._closed.wait(_LOOK_SECONDS):
            if client.resources.engine_dead:
                client.outputs_queue.put(EngineDeadError())
                return

    def generate(
        self, requests: Iterable[Request], *, total: int | None = None
    ) -> Iterator[Completion]:
        """Yield completions of ``requests`` as they finish; closing it takes the others back."""
        source = iter(requests)
        try:
            while True:
                pulled = list(itertools.islice(source, self.room - len(self._waiting)))
                yield from self.add(pulled)
                if not pulled and not self._waiting:
                    return
                yield from self.finished()
        finally:
            self.abort()

    @property
    def busy(self) -> bool:
        """Whether an answer is to come."""
        return bool(self._waiting)

    def add(self, requests: Iterable[Request]) -> list[Completion]:
        """Take requests; return the completions of those that fail at once."""
        assert self._engine, "a closed engine was asked"
        failures = []
        for request in requests:
            prompt = self._prompts.tokens(request)
            if isinstance(prompt, Completion):
                failures.append(prompt)
                continue
            key = next(self._keys)
            tokens = TokensPrompt(prompt_token_ids=prompt)
            try:
                self._engine.add_request(key, tokens, self._parameters(request))
            except (ValueError, VLLMClientError) as error:
                failures.append(failed(request, "refused", f"vLLM refused it: {error}"))
            else:
                self._waiting[key] = request
        return failures

    def finished(self) -> list[Completion]:
        """Compute a step, or wait for the core to have done one; return what has ended by it."""
        if not self._waiting:
            return []
        try:
            outputs = self._engine.step()
        except EngineDeadError as error:
            self._waiting.clear()
            raise EngineError(
                f"engine 'vllm': it has died: {error}. All answers are kept; set "
                "VLLM_LOGGING_LEVEL=INFO to see why, and build again."
            ) from error
        return list(map(self._completion, outputs))

    def _completion(self, output: Any) -> Completion:
        """Return the completion of a finished output of vLLM; its request no longer waits."""
        request = self._waiting.pop(output.request_id)
        (answer,) = output.outputs
        times, read = output.metrics, len(output.prompt_token_ids)
        if answer.finish_reason not in ("stop", "length"):
            reason = f"vLLM ended it with '{answer.finish_reason}'"
            return failed(request, "ended", reason, prompt_tokens=read)
        reasoning, text, thought = self._prompts.split(
            request.sampling, answer.text, answer.token_ids
        )
        return Completion(
            request,
            text,
            answer.finish_reason,
            read,
            len(answer.token_ids),
            output.num_cached_tokens or 0,
            queue_seconds=max(0.0, times.scheduled_ts - times.queued_ts) if times else 0.0,
            reasoning=reasoning,
            reasoning_tokens=thought,
        )

    def abort(self) -> None:
        """Take back what is unanswered."""
        if self._waiting and self._engine:
            self._engine.abort_request(list(self._waiting))
        self._waiting.clear()

    def _parameters(self, request: Request) -> SamplingParams:
        sampling, end = request.sampling, self._prompts.end_token
        return SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.limit,
            stop=list(self._prompts.stop(sampling)),
            stop_token_ids=None if end is None else [end],
            seed=request.seed,
            output_kind=RequestOutputKind.FINAL_ONLY,
            structured_outputs=_form(sampling),
            **sampling.drawing(),
        )

    def close(self) -> None:
        """Release the model and the memory it holds; another model can be loaded then."""
        if self._engine is None:
            return
        self._closed.set()
        self._engine.engine_core.shutdown()
        self._engine = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if self._guard:
            self._guard.close()


def _form(sampling: Sampling) -> StructuredOutputsParams | None:
    """Return the form that an answer is held to, as vLLM's parameters; None without one."""
    if sampling.json_schema is not None:
        return StructuredOutputsParams(json=dict(sampling.json_schema))
    if sampling.pattern is not None:
        return StructuredOutputsParams(regex=sampling.pattern)
    return None
