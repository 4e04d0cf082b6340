-- k pairs a prompt: winners and losers are walked in an order of chance, each from its beginning
-- again when it ends (Iterative RPO). The walk stops early where it would come to a pair again.
WITH sides AS (
    SELECT prompt_id, score >= getvariable('wins_from') AS won,
           list(candidate_id ORDER BY tie_break) AS ids
    FROM answers GROUP BY ALL
)
SELECT DISTINCT winners.ids[step % len(winners.ids) + 1] AS chosen_id,
                losers.ids[step % len(losers.ids) + 1] AS rejected_id
FROM sides AS winners JOIN sides AS losers USING (prompt_id), range(getvariable('k')) AS walk(step)
WHERE winners.won AND NOT losers.won
