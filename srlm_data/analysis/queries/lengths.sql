-- Whether the chosen answers are longer: characters of chosen and rejected answers.
WITH pairs AS (
    SELECT dataset, model_name, list_sum([length(turn.content) FOR turn IN chosen]) AS chosen,
           list_sum([length(turn.content) FOR turn IN rejected]) AS rejected
    FROM all_pairs
)
SELECT dataset, model_name, count(*) AS pairs, round(avg(chosen), 1) AS mean_chosen,
       round(avg(rejected), 1) AS mean_rejected,
       round(avg((chosen > rejected)::INTEGER), 4) AS chosen_is_longer,
       round(avg((chosen = rejected)::INTEGER), 4) AS equally_long
FROM pairs
GROUP BY dataset, model_name
ORDER BY dataset, model_name
