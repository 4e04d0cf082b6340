"""The steps by their public names, in the order of the method; yours is ``my_module:my_step``.

A name here is written in recipes and is part of identities; the function may be called anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from srlm_data.core.rows import Rows
from srlm_data.evaluation.alpaca_eval import read_leaderboard
from srlm_data.evaluation.head_to_head import compare, compare_scores
from srlm_data.evaluation.judge_accuracy import measure_judge
from srlm_data.evaluation.response_statistics import describe_answers
from srlm_data.evaluation.win_rates import win_rates
from srlm_data.steps.candidates import generate
from srlm_data.steps.eft import select_eft
from srlm_data.steps.judgments import judge
from srlm_data.steps.pairs import pair
from srlm_data.steps.read import read_examples, read_pairs, read_prompts, read_version
from srlm_data.steps.seed import read_messages, select_ift, select_ranked
from srlm_data.steps.self_instruct import self_instruct
from srlm_data.steps.sql import sql
from srlm_data.steps.train import checkpoint, dpo, sft
from srlm_data.variants.compare_all import compare_all, rate
from srlm_data.variants.cream import expected_scores, intrinsic_rewards, smooth_labels
from srlm_data.variants.dialogues import select_dialogues
from srlm_data.variants.meta_rewarding import meta_judge_examples, select_uncertain
from srlm_data.variants.pair_across import pair_across
from srlm_data.variants.self_taught import rewrite_prompts

STEPS: Final[Mapping[str, Callable[..., Rows]]] = {
    "read_messages": read_messages,
    "read_examples": read_examples,
    "read_prompts": read_prompts,
    "read_pairs": read_pairs,
    "read_version": read_version,
    "select_ift": select_ift,
    "select_ranked": select_ranked,
    "select_dialogues": select_dialogues,
    "select_eft": select_eft,
    "checkpoint": checkpoint,
    "sft": sft,
    "dpo": dpo,
    "self_instruct": self_instruct,
    "rewrite_prompts": rewrite_prompts,
    "generate": generate,
    "judge": judge,
    "pair": pair,
    "pair_across": pair_across,
    "compare_all": compare_all,
    "rate": rate,
    "select_uncertain": select_uncertain,
    "meta_judge_examples": meta_judge_examples,
    "expected_scores": expected_scores,
    "intrinsic_rewards": intrinsic_rewards,
    "smooth_labels": smooth_labels,
    "measure_judge": measure_judge,
    "describe_answers": describe_answers,
    "compare": compare,
    "compare_scores": compare_scores,
    "win_rates": win_rates,
    "read_leaderboard": read_leaderboard,
    "sql": sql,
}

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
