-- $1 ids of generations
UPDATE factum.checkpoints SET epoch = epoch + 1 WHERE generation = ANY ($1)
