-- ?1 generation
DELETE FROM checkpoints WHERE generation = ?1
