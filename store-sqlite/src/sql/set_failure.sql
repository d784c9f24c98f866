-- ?1 generation, ?2 log, ?3 partition, ?4 failure, JSON or NULL
INSERT INTO checkpoints (generation, log, part, position, epoch, failure) VALUES (?1, ?2, ?3, 0, 0, ?4)
ON CONFLICT (generation, log, part) DO UPDATE SET failure = excluded.failure
