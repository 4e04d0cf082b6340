-- Among the nearly best the shortest, among the nearly worst the longest (Meta-Rewarding). Nearly
-- is a share rho of the prompt's range of scores; with rho 0 length decides among equals alone.
SELECT arg_min(candidate_id, (characters, -score, tie_break))
           FILTER (score >= best - getvariable('rho') * (best - worst) - 1e-9) AS chosen_id,
       arg_max(candidate_id, (characters, -score, tie_break))
           FILTER (score <= worst + getvariable('rho') * (best - worst) + 1e-9) AS rejected_id
FROM answers GROUP BY prompt_id
