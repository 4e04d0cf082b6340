"""The steps, in the order in which the method flows; yours is ``my_module:my_step``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from srlm_data.rows import Rows
from srlm_data.stages.answer_metrics import describe_answers
from srlm_data.stages.candidates import answer
from srlm_data.stages.comparisons import compare, compare_scores
from srlm_data.stages.contests import contest, score_contest
from srlm_data.stages.dialogues import select_dialogues
from srlm_data.stages.disputes import take_disputed, teach_comparison
from srlm_data.stages.eft import select_eft
from srlm_data.stages.given import read_examples, read_prompts
from srlm_data.stages.intrinsic import expected_scores, intrinsic_rewards, smooth_labels
from srlm_data.stages.judgments import judge
from srlm_data.stages.leaderboard import read_leaderboard
from srlm_data.stages.models import checkpoint, dpo, sft
from srlm_data.stages.modified import modify
from srlm_data.stages.opposed import oppose
from srlm_data.stages.pairs import pair
from srlm_data.stages.preferences import read_pairs
from srlm_data.stages.prompts import self_instruct
from srlm_data.stages.reward_metrics import measure_judge
from srlm_data.stages.seed import read_messages, select_ift, select_ranked
from srlm_data.stages.sql import sql
from srlm_data.stages.versions import read_version
from srlm_data.stages.win_rates import win_rates

STEPS: Final[Mapping[str, Callable[..., Rows]]] = {
    step.__name__: step
    for step in (
        read_messages, read_examples, read_prompts, read_pairs, read_version,
        select_ift, select_ranked, select_dialogues, select_eft,
        checkpoint, sft, dpo,
        self_instruct, modify, answer, judge, pair, oppose,
        contest, score_contest, take_disputed, teach_comparison,
        expected_scores, intrinsic_rewards, smooth_labels,
        measure_judge, describe_answers, compare, compare_scores, win_rates, read_leaderboard,
        sql,
    )
}  # fmt: skip
