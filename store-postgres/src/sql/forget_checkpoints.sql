-- $1 id of a generation
DELETE FROM factum.checkpoints WHERE generation = $1
