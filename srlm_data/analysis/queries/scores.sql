-- How each model's judgments are spread over the scores; one bar that is long is a judge that has
-- collapsed.
SELECT dataset, model_name, score, count(*) AS judgments,
       round(count(*) / sum(count(*)) OVER (PARTITION BY dataset, model_name), 4) AS share,
       rtrim(bar(share, 0, 1, 30)) AS bar
FROM all_judgments
WHERE score IS NOT NULL
GROUP BY dataset, model_name, score
ORDER BY dataset, model_name, score
