-- The best answer against the next best one.
SELECT arg_max(candidate_id, (score, tie_break)) AS chosen_id,
       arg_max(candidate_id, (score, tie_break)) FILTER (score < best) AS rejected_id
FROM answers GROUP BY prompt_id
