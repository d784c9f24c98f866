-- The last position.
SELECT position FROM factum.events ORDER BY position DESC LIMIT 1
