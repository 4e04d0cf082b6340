-- The best answer against any worse one, which a hash chooses.
SELECT arg_max(candidate_id, (score, tie_break)) AS chosen_id,
       arg_max(candidate_id, tie_break) FILTER (score < best) AS rejected_id
FROM answers GROUP BY prompt_id
