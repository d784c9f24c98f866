-- ?1 stream, ?2 tenant
SELECT version FROM events WHERE stream = ?1 AND tenant = ?2 ORDER BY version DESC LIMIT 1
