-- ?1 generation
UPDATE checkpoints SET epoch = epoch + 1 WHERE generation = ?1
