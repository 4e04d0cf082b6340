-- The best answer against any worse one, which a hash chooses among those a margin below it.
SELECT arg_max(candidate_id, (score, tie_break)) AS chosen_id,
       coalesce(
           arg_max(candidate_id, tie_break)
               FILTER (round(best - score, 9) >= getvariable('margin') AND score < best),
           arg_max(candidate_id, tie_break) FILTER (score < best)
       ) AS rejected_id
FROM answers GROUP BY prompt_id
