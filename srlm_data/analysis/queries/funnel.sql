-- From the seed to the pairs: the rows of every dataset in the order in which they were made, and
-- below each the drops by reason.
SELECT dataset, type, coalesce(reason, '= kept') AS what, coalesce(dropped, "rows") AS "rows"
FROM (
    SELECT dataset, version, type, recipe, made_at, NULL AS reason, NULL AS dropped, "rows"
    FROM versions
    WHERE is_latest
    UNION ALL BY NAME
    SELECT dataset, version, type, recipe, made_at, reason, dropped
    FROM drops JOIN versions USING (dataset, version, recipe, type, is_latest)
    WHERE is_latest
)
ORDER BY min(made_at) OVER (PARTITION BY recipe), made_at, dataset, reason NULLS FIRST
