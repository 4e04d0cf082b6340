-- The states of the judgments: parsed, or why there is no score.
SELECT dataset, model_name, state, count(*) AS judgments,
       round(count(*) / sum(count(*)) OVER (PARTITION BY dataset, model_name), 4) AS share
FROM all_judgments
GROUP BY dataset, model_name, state
ORDER BY dataset, model_name, judgments DESC, state
