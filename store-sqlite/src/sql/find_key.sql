-- ?1 key, ?2 tenant
SELECT fingerprint, recorded_at, first, last, refusal FROM keys WHERE key = ?1 AND tenant = ?2
