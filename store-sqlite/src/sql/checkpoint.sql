-- ?1 generation, ?2 log, ?3 partition
SELECT position, store_id, event_id, epoch FROM checkpoints WHERE generation = ?1 AND log = ?2 AND part = ?3
