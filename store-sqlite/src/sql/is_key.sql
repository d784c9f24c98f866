-- ?1 key, ?2 tenant, ?3 fingerprint
SELECT 1 FROM keys WHERE key = ?1 AND tenant = ?2 AND fingerprint = ?3
