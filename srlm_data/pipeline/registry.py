"""The steps, in the order in which the method flows; yours is ``my_module:my_step``."""

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
from srlm_data.steps.read import read_examples, read_prompts
from srlm_data.steps.read_pairs import read_pairs
from srlm_data.steps.read_version import read_version
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
    step.__name__: step
    for step in (
        read_messages, read_examples, read_prompts, read_pairs, read_version,
        select_ift, select_ranked, select_dialogues, select_eft,
        checkpoint, sft, dpo,
        self_instruct, rewrite_prompts, generate, judge, pair, pair_across,
        compare_all, rate, select_uncertain, meta_judge_examples,
        expected_scores, intrinsic_rewards, smooth_labels,
        measure_judge, describe_answers, compare, compare_scores, win_rates, read_leaderboard,
        sql,
    )
}  # fmt: skip
