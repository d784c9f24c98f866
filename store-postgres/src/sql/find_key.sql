-- The outcome under a key.
-- $1 the key, $2 its tenant, $3 the time since when keys are kept
SELECT fingerprint, first, last, refusal FROM factum.keys WHERE key = $1 AND tenant = $2 AND recorded_at >= $3
