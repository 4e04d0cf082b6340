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
    "read_messages": "steps.seed",
    "read_examples": "steps.read",
    "read_prompts": "steps.read",
    "read_pairs": "steps.read",
    "read_version": "steps.read",
    "select_ift": "steps.seed",
    "select_ranked": "steps.seed",
    "select_dialogues": "variants.dialogues",
    "select_eft": "steps.eft",
    "checkpoint": "steps.train",
    "sft": "steps.train",
    "dpo": "steps.train",
    "self_instruct": "steps.self_instruct",
    "rewrite_prompts": "variants.self_taught",
    "generate": "steps.candidates",
    "judge": "steps.judgments",
    "combine_judges": "evaluation.panel",
    "pair": "steps.pairs",
    "drop_disputed": "steps.labels",
    "rank_by_labels": "steps.labels",
    "pair_across": "variants.pair_across",
    "compare_all": "variants.compare_all",
    "rate": "variants.compare_all",
    "select_uncertain": "variants.meta_rewarding",
    "meta_judge_examples": "variants.meta_rewarding",
    "expected_scores": "variants.cream",
    "intrinsic_rewards": "variants.cream",
    "smooth_labels": "variants.cream",
    "measure_judge": "evaluation.judge_accuracy",
    "describe_answers": "evaluation.response_statistics",
    "compare": "evaluation.head_to_head",
    "compare_scores": "evaluation.head_to_head",
    "win_rates": "evaluation.win_rates",
    "read_leaderboard": "evaluation.alpaca_eval",
    "decontaminate": "steps.cleaning",
    "drop_near_duplicates": "steps.cleaning",
    "sql": "steps.sql",
}
"""Step -> the module of its function, which has the step's name."""


class _Steps(Mapping[str, Callable[..., Rows]]):
    def __getitem__(self, name: str) -> Callable[..., Rows]:
        step: Callable[..., Rows] = getattr(
            importlib.import_module(f"srlm_data.{_MODULES[name]}"), name
        )
        return step

    def __iter__(self) -> Iterator[str]:
        return iter(_MODULES)

    def __len__(self) -> int:
        return len(_MODULES)


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
"""What steps were called before -> what they are called now; it goes with the next version."""

FORMER_KEYS: Final[Mapping[str, str]] = {"stage": "type"}
"""The same of the keys of ``sql`` and ``read_version``."""
