-- ?1 generation, ?2 log, ?3 partition
INSERT INTO checkpoints (generation, log, part, position, epoch) VALUES (?1, ?2, ?3, 0, 1)
ON CONFLICT (generation, log, part) DO UPDATE SET epoch = epoch + 1
