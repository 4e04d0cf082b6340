"""Turn a small human seed into preference data that a model generates and judges itself.

Import everything from here: the functions are those of the command line, the classes are for
writing your own steps and engines. A name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from srlm_data.analysis.api import (
        CostResult,
        ShowResult,
        VersionsResult,
        cost,
        diff,
        load,
        scan,
        show,
        sql,
        versions,
    )
    from srlm_data.analysis.lineage import lineage
    from srlm_data.analysis.query import connect
    from srlm_data.core.config import Config, Expected, Lengths, Runtime, Source, Template, fills
    from srlm_data.core.errors import (
        ArgumentError,
        BusyError,
        DataError,
        EngineError,
        HubError,
        MissingError,
        RecipeError,
        SrlmError,
        StoreError,
        TrainingError,
        UnfinishedError,
    )
    from srlm_data.core.ids import example_id, prompt_id, row_id, row_ids
    from srlm_data.core.messages import assistant, render, user
    from srlm_data.core.rows import (
        Candidates,
        Comparisons,
        Drops,
        Examples,
        Judgments,
        Labels,
        Messages,
        Metrics,
        Models,
        Pairs,
        Prompts,
        Rows,
        Scores,
    )
    from srlm_data.core.scale import POINTS, Scale
    from srlm_data.core.schema import (
        CANDIDATES,
        COMPARISONS,
        DATASET_TYPES,
        EXAMPLES,
        JUDGMENTS,
        LABELS,
        MESSAGES,
        METRICS,
        MODELS,
        PAIRS,
        PROMPTS,
        SCORES,
        DatasetType,
        Message,
    )
    from srlm_data.engines.asking import answered, ask
    from srlm_data.engines.protocol import Completion, Engine, Request, Sampling, request_seed
    from srlm_data.engines.sampling import SamplingConfig
    from srlm_data.models.identity import Workshop
    from srlm_data.pipeline.api import (
        BuildResult,
        EvalResult,
        PlanResult,
        build,
        check_judge,
        evaluate,
        plan,
    )
    from srlm_data.pipeline.build import Watcher
    from srlm_data.pipeline.judge_check import JudgeCheck
    from srlm_data.publish.api import Published, PullResult, pull, push
    from srlm_data.publish.export import Export, export
    from srlm_data.report import write_report
    from srlm_data.report.review import export_review, import_labels, serve_review, write_review
    from srlm_data.report.view import serve_view
    from srlm_data.steps.judging.form import JudgePrompt
    from srlm_data.store import Manifest, Store
    from srlm_data.store.api import GcResult, RemoveResult, VerifyResult, gc, remove, tag, verify

    __version__: str

_NAMES: Final = {
    "analysis.api": "CostResult ShowResult VersionsResult cost diff load scan show sql versions",
    "analysis.lineage": "lineage",
    "analysis.query": "connect",
    "core.config": "Config Expected Lengths Runtime Source Template fills",
    "core.errors": "ArgumentError BusyError DataError EngineError HubError MissingError "
    "RecipeError SrlmError StoreError TrainingError UnfinishedError",
    "core.ids": "example_id prompt_id row_id row_ids",
    "core.messages": "assistant render user",
    "core.rows": "Candidates Comparisons Drops Examples Judgments Labels Messages Metrics Models "
    "Pairs Prompts Rows Scores",
    "core.scale": "POINTS Scale",
    "core.schema": "CANDIDATES COMPARISONS DATASET_TYPES EXAMPLES JUDGMENTS LABELS MESSAGES "
    "METRICS MODELS PAIRS PROMPTS SCORES DatasetType Message",
    "engines.asking": "answered ask",
    "engines.protocol": "Completion Engine Request Sampling request_seed",
    "engines.sampling": "SamplingConfig",
    "models.identity": "Workshop",
    "pipeline.api": "BuildResult EvalResult PlanResult build check_judge evaluate plan",
    "pipeline.build": "Watcher",
    "pipeline.judge_check": "JudgeCheck",
    "publish.api": "Published PullResult pull push",
    "publish.export": "Export export",
    "report": "write_report",
    "report.review": "export_review import_labels serve_review write_review",
    "report.view": "serve_view",
    "steps.judging.form": "JudgePrompt",
    "store": "Manifest Store",
    "store.api": "GcResult RemoveResult VerifyResult gc remove tag verify",
}
_MODULES: Final = {name: module for module, names in _NAMES.items() for name in names.split()}

__all__ = [
    "CANDIDATES",
    "COMPARISONS",
    "DATASET_TYPES",
    "EXAMPLES",
    "JUDGMENTS",
    "LABELS",
    "MESSAGES",
    "METRICS",
    "MODELS",
    "PAIRS",
    "POINTS",
    "PROMPTS",
    "SCORES",
    "ArgumentError",
    "BuildResult",
    "BusyError",
    "Candidates",
    "Comparisons",
    "Completion",
    "Config",
    "CostResult",
    "DataError",
    "DatasetType",
    "Drops",
    "Engine",
    "EngineError",
    "EvalResult",
    "Examples",
    "Expected",
    "Export",
    "GcResult",
    "HubError",
    "JudgeCheck",
    "JudgePrompt",
    "Judgments",
    "Labels",
    "Lengths",
    "Manifest",
    "Message",
    "Messages",
    "Metrics",
    "MissingError",
    "Models",
    "Pairs",
    "PlanResult",
    "Prompts",
    "Published",
    "PullResult",
    "RecipeError",
    "RemoveResult",
    "Request",
    "Rows",
    "Runtime",
    "Sampling",
    "SamplingConfig",
    "Scale",
    "Scores",
    "ShowResult",
    "Source",
    "SrlmError",
    "Store",
    "StoreError",
    "Template",
    "TrainingError",
    "UnfinishedError",
    "VerifyResult",
    "VersionsResult",
    "Watcher",
    "Workshop",
    "__version__",
    "answered",
    "ask",
    "assistant",
    "build",
    "check_judge",
    "connect",
    "cost",
    "diff",
    "evaluate",
    "example_id",
    "export",
    "export_review",
    "fills",
    "gc",
    "import_labels",
    "lineage",
    "load",
    "plan",
    "prompt_id",
    "pull",
    "push",
    "remove",
    "render",
    "request_seed",
    "row_id",
    "row_ids",
    "scan",
    "serve_review",
    "serve_view",
    "show",
    "sql",
    "tag",
    "user",
    "verify",
    "versions",
    "write_report",
    "write_review",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> object:
    """Load a name when it is first used: ``import srlm_data`` waits for no library."""
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - as lazy as the rest

        return version("srlm-data")
    if name not in _MODULES:
        raise AttributeError(f"module 'srlm_data' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
