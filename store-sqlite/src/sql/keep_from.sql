-- ?1 generation, ?2 log, ?3 partition, ?4 from where on the past is kept, unless that is later already
UPDATE checkpoints SET kept_from = max(kept_from, ?4) WHERE generation = ?1 AND log = ?2 AND part = ?3
RETURNING kept_from
