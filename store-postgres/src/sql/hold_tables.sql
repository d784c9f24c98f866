-- Locks a shard, and says where it is, in which transaction, and what its tables are called.
-- $1 projection, $2 generation, $3 log, $4 partition
SELECT held, at, epoch, live, names, place, transaction FROM factum.hold_tables($1, $2, $3, $4)
