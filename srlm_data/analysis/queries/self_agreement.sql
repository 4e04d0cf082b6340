-- How far a judge agrees with itself: answers that it judged more than once, how often all its
-- scores are equal, how far apart they are, and how often any of them could not be read.
WITH answers AS (
    SELECT dataset, model_name, candidate_id, count(*) AS repeats, count(score) AS scored,
           max(score) - min(score) AS spread, stddev_samp(score) AS deviation
    FROM all_judgments
    GROUP BY dataset, model_name, candidate_id
    HAVING count(*) > 1
)
SELECT dataset, model_name, count(*) AS answers, max(repeats) AS repeats,
       count(*) FILTER (scored > 1) AS scored_twice,
       round(avg((spread = 0)::INTEGER) FILTER (scored > 1), 4) AS all_equal,
       round(avg(spread) FILTER (scored > 1), 3) AS mean_spread,
       round(avg(deviation), 3) AS mean_deviation,
       round(avg((scored < repeats)::INTEGER), 4) AS some_unread
FROM answers
GROUP BY dataset, model_name
ORDER BY dataset, model_name
