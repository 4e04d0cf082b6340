"""Which engine answers, and how it runs: the ``engine`` section of a recipe.

    engine: {kind: vllm, max_num_seqs: 256}
    engine: {kind: 'my_module:my_engine', options: {address: somewhere}}

Nothing here decides a row: an engine's settings say where and how fast, never what is asked. The
exception is what a server is sent beside the request, or not sent of it (`decides`).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import ConfigDict, Field, field_validator

from srlm_data.core.config import Config
from srlm_data.engines._own_engine import find_function
from srlm_data.engines.failures import FLOOR, SHARE
from srlm_data.engines.protocol import DRAWING

KEY_NAME: Final = r"^([A-Z0-9_]+_)?API_KEY$"
"""Names of the environment variables that a recipe may send to the server that it names."""

ALLOWED: Final = "SRLM_ALLOW_ENV"
"""The variable that lists further allowed names, separated by commas; ``--allow-env`` sets it."""

PLUGIN: Final = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*"
"""How a recipe names a user's function: ``my_module:my_engine``, ``my_module:my_step``."""

ADDRESS: Final = r"^https?://[^@\s]+$"
"""A server's address, without a user name and password."""

_Dtype = Annotated[
    Literal["auto", "float32", "bfloat16", "float16"],
    Field(
        description="Number type of the weights and activations; auto is float32 on a CPU (so that "
        "answers do not depend on batching) and the checkpoint's own elsewhere."
    ),
]
_RemoteCode = Annotated[
    bool,
    Field(
        description="Run Python code that comes with the model's files. Only for models you trust."
    ),
]


_OWN_FIELDS: Final = frozenset(
    "model messages n stream stream_options stop seed temperature top_p max_tokens "
    "max_completion_tokens response_format structured_outputs".split()
) | frozenset(DRAWING)
"""Fields of a request that ``extra`` may not set, because other settings do."""


class Price(Config):
    """What a million tokens cost, in the user's currency."""

    model_config = ConfigDict(validate_by_name=True, validate_by_alias=True)
    read: float = Field(default=0.0, ge=0, alias="in", description="A million tokens read.")
    written: float = Field(default=0.0, ge=0, alias="out", description="A million tokens written.")

    def of(self, read: float, written: float) -> float:
        """Return what so many tokens cost."""
        return (self.read * read + self.written * written) / 1e6


class _Engine(Config):
    """Settings that all engines share; the build applies them, not the engine."""

    price: Price | None = Field(
        default=None,
        description="Cost of a million tokens, as {in: 0.15, out: 0.60}; shown by plan, cost and "
        "progress.",
    )

    failure_budget: float = Field(
        default=SHARE, ge=0, le=1, description="Share of a step's requests that may fail."
    )
    failure_floor: int = Field(default=FLOOR, ge=0, description="Failures that never end a step.")

    needs: ClassVar[Mapping[str, str]] = {}  # imported package -> extra that installs it
    holds_the_model: ClassVar[bool] = False  # whether it loads a model's files itself

    @property
    def runs_model_code(self) -> bool:
        """Whether Python code that comes with a model's files is run."""
        return bool(getattr(self, "trust_remote_code", False))

    def decides(self) -> dict[str, Any]:
        """Return the settings that decide texts, as fields of :class:`Sampling`; usually none."""
        return {}


class TransformersEngine(_Engine):
    """Batched generation with transformers, on a CPU or a GPU."""

    kind: Literal["transformers"] = "transformers"
    batch_size: int = Field(default=64, ge=1, description="Most requests answered at a time.")
    dtype: _Dtype = "auto"
    device: str = Field(
        default="auto",
        description="A torch device; auto is the first GPU, else the CPU.",
    )
    trust_remote_code: _RemoteCode = False
    needs: ClassVar[Mapping[str, str]] = {"torch": "transformers", "transformers": "transformers"}
    holds_the_model: ClassVar[bool] = True


class VllmEngine(_Engine):
    """Offline generation with vLLM on this machine; unset settings are vLLM's defaults."""

    kind: Literal["vllm"] = "vllm"
    dtype: _Dtype = "auto"
    max_model_len: int | None = Field(
        default=None,
        ge=1,
        description="Longest prompt and answer together, in tokens; unset: the model's.",
    )
    max_num_seqs: int | None = Field(default=None, ge=1, description="Most requests at a time.")
    gpu_memory_utilization: float = Field(
        default=0.9, gt=0, le=1, description="Share of the GPU's memory that vLLM may take."
    )
    kv_cache_memory_bytes: int | None = Field(
        default=None, ge=1, description="Size of the key-value cache in bytes; overrides the share."
    )
    tensor_parallel_size: int = Field(default=1, ge=1, description="GPUs that share the model.")
    enforce_eager: bool | None = Field(
        default=None, description="Skip compilation and CUDA graphs; unset: only on a CPU."
    )
    enable_prefix_caching: bool = Field(
        default=True, description="Compute a prefix that several prompts share only once."
    )
    trust_remote_code: _RemoteCode = False
    needs: ClassVar[Mapping[str, str]] = {"vllm": "vllm"}
    holds_the_model: ClassVar[bool] = True


class RayEngine(_Engine):
    """Replicas of the vLLM engine on a Ray cluster; every host must have the model's files."""

    kind: Literal["ray"] = "ray"
    replicas: int = Field(default=1, ge=1, description="Copies of the model, each in an actor.")
    address: str | None = Field(
        default=None,
        description="A running cluster (auto, or host:port); unset: a local one.",
    )
    cpus: float = Field(default=1, gt=0, description="CPU cores per replica.")
    gpus: float | None = Field(
        default=None,
        ge=0,
        description="GPUs per replica; unset: as many as vllm needs, if there are any.",
    )
    restarts: int = Field(default=5, ge=0, description="How many replicas may die and be replaced.")
    vllm: VllmEngine = Field(default=VllmEngine(), description="How each replica runs.")
    needs: ClassVar[Mapping[str, str]] = {"ray": "ray", "vllm": "vllm"}
    holds_the_model: ClassVar[bool] = True

    @property
    def runs_model_code(self) -> bool:
        """Whether the replicas run Python code that comes with a model's files."""
        return self.vllm.trust_remote_code


class OpenaiEngine(_Engine):
    """A server with OpenAI's API. The key is read from the environment and never stored."""

    kind: Literal["openai"] = "openai"
    needs: ClassVar[Mapping[str, str]] = {"openai": "openai"}
    base_url: str | None = Field(
        default=None,
        pattern=ADDRESS,
        description="Address of the API, up to /v1; unset: OPENAI_BASE_URL, else OpenAI's own.",
    )
    served_name: str | None = Field(
        default=None,
        description="The server's name for the model; unset: a remote model's own name, or the "
        "digest of a checkpoint (vLLM's --served-model-name).",
    )
    api_key_env: str = Field(
        default="OPENAI_API_KEY",
        pattern=r"^[A-Z_][A-Z0-9_]*$",
        description="Environment variable of the key, never the key itself: a name that ends in "
        "API_KEY, or one that --allow-env names.",
    )
    concurrency: int = Field(default=64, ge=1, description="Most requests in flight.")
    timeout: float = Field(default=600, gt=0, description="Seconds that one attempt may take.")
    connect_timeout: float = Field(default=30, gt=0, description="Seconds that connecting takes.")
    retries: int = Field(
        default=5, ge=0, description="Further attempts at a request that may itself be the cause."
    )
    patience: float = Field(
        default=900,
        ge=0,
        description="Seconds to wait for a server that is unreachable or busy.",
    )
    limit_field: Literal["max_tokens", "max_completion_tokens"] = Field(
        default="max_tokens", description="The server's name for the length limit."
    )
    other_model: Literal["note", "refuse"] = Field(
        default="note",
        description="What to do with an answer that names another model than the one requested.",
    )
    extra: dict[str, Any] = Field(
        {},
        description="Further request fields of this server (chat_template_kwargs, "
        "reasoning_effort); they are part of what decides the rows.",
    )
    omit: tuple[Literal["seed", "temperature", "top_p"], ...] = Field(
        (), description="Fields not sent because the server does not accept them; each row says so."
    )
    batch: bool = Field(
        default=False,
        description="Use the batch API: files of requests, answered within a day at a discount. A "
        "stopped build leaves its batches to the next one.",
    )
    batch_size: int = Field(default=2000, ge=1, le=50_000, description="Requests per batch.")
    poll_seconds: float = Field(
        default=30, gt=0, description="Seconds between two checks of the batches."
    )
    seed_bits: int | None = Field(
        default=None,
        ge=8,
        le=64,
        description="Bits of the largest seed that the server accepts; unset: 63.",
    )

    @field_validator("api_key_env")
    @classmethod
    def _may_be_sent(cls, name: str) -> str:
        """Refuse other variables: an untrusted recipe could send any of them to any host."""
        if not re.match(KEY_NAME, name) and name not in os.environ.get(ALLOWED, "").split(","):
            raise ValueError(
                f"the variable {name} would be sent to the server, and its name does not end in "
                f"API_KEY. To allow it, give --allow-env {name}"
            )
        return name

    @field_validator("extra")
    @classmethod
    def _sendable(cls, extra: dict[str, Any]) -> dict[str, Any]:
        if own := sorted(_OWN_FIELDS & extra.keys()):
            raise ValueError(f"{', '.join(own)}: set by the step, the engine or the request")
        try:
            json.dumps(extra, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"it cannot be sent as JSON ({error})") from None
        return extra

    def decides(self) -> dict[str, Any]:
        """Return the further fields, and what is omitted but for the seed, which names a sample."""
        omitted = tuple(sorted({*self.omit} - {"seed"}))
        deciding = {"extra": self.extra, "omit": omitted}
        return {name: value for name, value in deciding.items() if value}

    @property
    def address(self) -> str | None:
        """The server's address, here or in the environment; None is OpenAI's own."""
        if self.base_url is None and "OPENAI_BASE_URL" in os.environ:
            return os.environ["OPENAI_BASE_URL"].strip()
        return self.base_url

    @property
    def has_key(self) -> bool:
        """Whether the environment has a key."""
        return bool(os.environ.get(self.api_key_env, "").strip())


class PluginEngine(_Engine):
    """The user's own engine; see ``opening`` for the function that opens it."""

    kind: str = Field(pattern=f"^{PLUGIN}$", description="my_module:my_engine")
    options: dict[str, Any] = Field({}, description="Passed to the function unchanged.")

    @field_validator("kind")
    @classmethod
    def _importable(cls, kind: str) -> str:
        find_function(kind)  # a misspelt name fails as the recipe is read, not at its tenth dataset
        return kind


_Shipped = TransformersEngine | VllmEngine | RayEngine | OpenaiEngine
EngineSettings = _Shipped | PluginEngine
"""Any engine's settings; ``kind`` says which."""

COMMON: Final = frozenset(_Engine.model_fields)
"""The settings that every engine has."""

ENGINES: Final[Mapping[str, type[_Shipped]]] = {
    "transformers": TransformersEngine,
    "vllm": VllmEngine,
    "ray": RayEngine,
    "openai": OpenaiEngine,
}
"""Kind -> settings of the shipped engines; a kind with a colon is a :class:`PluginEngine`."""
