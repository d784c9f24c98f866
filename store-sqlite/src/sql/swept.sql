-- ?1 generation
UPDATE generations SET state = 'dropped' WHERE id = ?1
