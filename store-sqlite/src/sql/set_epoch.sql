-- ?1 generation, ?2 log, ?3 partition, ?4 epoch
INSERT INTO checkpoints (generation, log, part, position, epoch) VALUES (?1, ?2, ?3, 0, ?4)
ON CONFLICT (generation, log, part) DO UPDATE SET epoch = excluded.epoch
