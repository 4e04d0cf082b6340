-- The best answer against the worst (Self-Rewarding Language Models).
SELECT arg_max(candidate_id, (score, tie_break)) AS chosen_id,
       arg_min(candidate_id, (score, tie_break)) AS rejected_id
FROM answers GROUP BY prompt_id
