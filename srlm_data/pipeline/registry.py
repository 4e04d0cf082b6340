"""The steps by their public names, in the order of the method; yours is ``my_module:my_step``.

A name here is written in recipes and is part of identities. A step's module is imported when a
recipe names it: a build waits for the steps that it uses and for no others.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from srlm_data.core.rows import Rows

_MODULES: Final = {
    "steps.read": "read_messages read_examples read_prompts read_pairs read_version",
    "steps.seed": "select_ift select_ranked",
    "variants.dialogues": "select_dialogues",
    "steps.eft": "select_eft",
    "steps.train": "checkpoint sft dpo",
    "steps.self_instruct": "self_instruct",
    "variants.self_taught": "rewrite_prompts",
    "steps.candidates": "generate",
    "steps.judgments": "judge",
    "evaluation.panel": "combine_judges",
    "steps.pairs": "pair",
    "steps.labels": "drop_disputed rank_by_labels",
    "variants.pair_across": "pair_across",
    "variants.compare_all": "compare_all rate",
    "variants.meta_rewarding": "select_uncertain meta_judge_examples",
    "variants.cream": "expected_scores intrinsic_rewards smooth_labels",
    "evaluation.judge_accuracy": "measure_judge",
    "evaluation.response_statistics": "describe_answers",
    "evaluation.head_to_head": "compare compare_scores",
    "evaluation.win_rates": "win_rates",
    "evaluation.alpaca_eval": "read_leaderboard",
    "steps.cleaning": "decontaminate drop_near_duplicates",
    "steps.sql": "sql",
}
"""Module -> its steps: the names of functions in it."""

_MODULE_OF: Final = {step: module for module, steps in _MODULES.items() for step in steps.split()}


class _Steps(Mapping[str, Callable[..., Rows]]):
    def __getitem__(self, name: str) -> Callable[..., Rows]:
        module = importlib.import_module(f"srlm_data.{_MODULE_OF[name]}")
        step: Callable[..., Rows] = getattr(module, name)
        return step

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULE_OF)

    def __len__(self) -> int:
        return len(_MODULE_OF)


STEPS: Final = _Steps()

FORMER_STEPS: Final[Mapping[str, str]] = {
    "answer": "generate",
    "contest": "compare_all",
    "score_contest": "rate",
    "oppose": "pair_across",
    "modify": "rewrite_prompts",
    "take_disputed": "select_uncertain",
    "teach_comparison": "meta_judge_examples",
}
"""Former name of a step -> its current name; to be removed in the next version."""

FORMER_KEYS: Final[Mapping[str, str]] = {"stage": "type"}
"""The same for keys of the steps ``sql`` and ``read_version``."""
