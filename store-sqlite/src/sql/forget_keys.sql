-- ?1 the time before which keys are forgotten, ?2 how many at most.
-- The oldest have the least numbers, so that this looks at no more rows than it is told.
DELETE FROM keys
WHERE number IN (SELECT number FROM keys ORDER BY number LIMIT ?2) AND recorded_at < ?1
