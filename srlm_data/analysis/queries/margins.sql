-- How far apart chosen and rejected answers are, in points rounded down to halves.
SELECT dataset, model_name, floor(margin * 2) / 2 AS margin_from, count(*) AS pairs,
       round(count(*) / sum(count(*)) OVER (PARTITION BY dataset, model_name), 4) AS share,
       round(avg(chosen_score), 2) AS mean_chosen, round(avg(rejected_score), 2) AS mean_rejected
FROM all_pairs
WHERE margin IS NOT NULL
GROUP BY dataset, model_name, margin_from
ORDER BY dataset, model_name, margin_from
