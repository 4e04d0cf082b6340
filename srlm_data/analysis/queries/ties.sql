-- How often a judge cannot tell the answers of a prompt apart: the share of prompts whose answers
-- all have the same mean score, and the share whose best score is shared by several.
WITH answers AS (
    SELECT dataset, model_name, prompt_id, candidate_id, round(avg(score), 9) AS score
    FROM all_judgments
    WHERE score IS NOT NULL
    GROUP BY dataset, model_name, prompt_id, candidate_id
),
prompts AS (
    SELECT dataset, model_name, prompt_id, max(score) AS best, min(score) AS worst,
           list_count(list_filter(list(score), lambda one: one = max(score))) AS at_best
    FROM answers
    GROUP BY dataset, model_name, prompt_id
    HAVING count(*) > 1
)
SELECT dataset, model_name, count(*) AS prompts,
       round(avg((best = worst)::INTEGER), 4) AS all_equal,
       round(avg((at_best > 1)::INTEGER), 4) AS best_is_shared
FROM prompts
GROUP BY dataset, model_name
ORDER BY dataset, model_name
