-- Every answer against every worse one; min_margin says how much worse.
SELECT better.candidate_id AS chosen_id, worse.candidate_id AS rejected_id
FROM answers AS better JOIN answers AS worse USING (prompt_id)
WHERE better.score > worse.score
