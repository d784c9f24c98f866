-- Moves a checkpoint that this transaction, and no other, has locked.
-- $1 id of the generation, $2 log, $3 partition, $4 position, $5 store, $6 event, $7 the transaction
UPDATE factum.checkpoints SET position = $4, store_id = $5, event_id = $6
WHERE generation = $1 AND log = $2 AND part = $3 AND pg_current_xact_id_if_assigned()::text = $7
