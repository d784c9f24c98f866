-- The last event of the log. No binds.
SELECT position, recorded_at, id FROM events ORDER BY position DESC LIMIT 1
