-- ?1 position, ?2 id
SELECT 1 FROM events WHERE position = ?1 AND id = ?2
