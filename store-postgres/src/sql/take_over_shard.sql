-- Raises the epoch of a shard for whoever takes it over, and says how far it is; no row where there is no such generation.
-- $1 projection, $2 generation, $3 log, $4 partition
SELECT at, epoch, store_id, event_id FROM factum.take_over_shard($1, $2, $3, $4)
