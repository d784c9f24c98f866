-- Raises the epoch of a shard, or sets its failure.
-- $1 projection, $2 generation, $3 log, $4 partition, $5 expected epoch, $6 whether to raise it, $7 failure, JSON or NULL
SELECT done, at, epoch FROM factum.change_shard($1, $2, $3, $4, $5, $6, $7)
