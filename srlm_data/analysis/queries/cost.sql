-- What each version cost: calls, reused answers, tokens and seconds, for every version that used a
-- model.
SELECT dataset, version[:8] AS version, "rows", "cost"['calls']::BIGINT AS calls,
       "cost"['reused']::BIGINT AS reused, "cost"['failed']::BIGINT AS failed,
       "cost"['prompt_tokens']::BIGINT AS prompt_tokens,
       "cost"['completion_tokens']::BIGINT AS completion_tokens, seconds
FROM versions
WHERE cardinality("cost") > 0
ORDER BY made_at, dataset
