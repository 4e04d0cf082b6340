-- Whether longer answers score higher: the mean score of each judge by quarters of the answers'
-- length in characters, and the correlation over all of them.
WITH answers AS (
    SELECT candidate_id, any_value(length(response)) AS characters
    FROM all_candidates
    GROUP BY candidate_id
),
judged AS (
    SELECT dataset, model_name, candidate_id, characters, avg(score) AS score
    FROM all_judgments JOIN answers USING (candidate_id)
    WHERE score IS NOT NULL
    GROUP BY dataset, model_name, candidate_id, characters
),
quarters AS (
    SELECT *, corr(score, characters) OVER (PARTITION BY dataset, model_name) AS correlation,
           ntile(4) OVER (
               PARTITION BY dataset, model_name ORDER BY characters, candidate_id
           ) AS quarter
    FROM judged
)
SELECT dataset, model_name, quarter, count(*) AS answers, min(characters) AS shortest,
       max(characters) AS longest, round(avg(score), 3) AS mean_score,
       round(any_value(correlation), 3) AS correlation
FROM quarters
GROUP BY dataset, model_name, quarter
ORDER BY dataset, model_name, quarter
