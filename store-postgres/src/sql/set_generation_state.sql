-- $1 id, $2 state
UPDATE factum.generations SET state = $2 WHERE id = $1
