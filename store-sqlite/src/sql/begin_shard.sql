-- ?1 generation, ?2 log
INSERT INTO checkpoints (generation, log, part, position, epoch) VALUES (?1, ?2, 0, 0, 0)
ON CONFLICT (generation, log, part) DO NOTHING
