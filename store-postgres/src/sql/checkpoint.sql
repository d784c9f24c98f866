-- How far a shard is; no row where there is no such generation, NULL where nothing was committed yet.
-- $1 projection, $2 generation, $3 log, $4 partition
SELECT c.position, c.epoch, c.store_id, c.event_id
FROM factum.find_generation($1, $2, NULL) g
LEFT JOIN factum.checkpoints c ON c.generation = g.id AND c.log = $3 AND c.part = $4
