-- ?1 generation, ?2 log, ?3 partition, ?4 position, ?5 store id, ?6 event id, ?7 the epoch where there is none yet
INSERT INTO checkpoints (generation, log, part, position, store_id, event_id, epoch)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (generation, log, part)
DO UPDATE SET position = excluded.position, store_id = excluded.store_id, event_id = excluded.event_id
