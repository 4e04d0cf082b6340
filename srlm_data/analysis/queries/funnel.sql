-- From the seed to the pairs: the rows of every dataset in the order in which they were made, and
-- below each what was left out, by reason.
SELECT dataset, stage, coalesce(reason, '= kept') AS what, coalesce(dropped, "rows") AS "rows"
FROM (
    SELECT dataset, version, stage, recipe, made_at, NULL AS reason, NULL AS dropped, "rows"
    FROM versions
    WHERE is_latest
    UNION ALL BY NAME
    SELECT dataset, version, stage, recipe, made_at, reason, dropped
    FROM drops JOIN versions USING (dataset, version, recipe, stage, is_latest)
    WHERE is_latest
)
ORDER BY min(made_at) OVER (PARTITION BY recipe), made_at, dataset, reason NULLS FIRST
