-- ?1 position
SELECT position, id FROM events WHERE position = ?1
