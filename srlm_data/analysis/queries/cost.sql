-- What the models were asked for: calls, answers that were at hand already, tokens and seconds, for
-- every version that a model had a part in.
SELECT dataset, version[:8] AS version, "rows", "cost"['calls']::BIGINT AS calls,
       "cost"['reused']::BIGINT AS reused, "cost"['failed']::BIGINT AS failed,
       "cost"['prompt_tokens']::BIGINT AS prompt_tokens,
       "cost"['completion_tokens']::BIGINT AS completion_tokens, seconds
FROM versions
WHERE cardinality("cost") > 0
ORDER BY made_at, dataset
