-- The generation that this transaction has made.
-- $1 projection, $2 version, $3 state
SELECT id, generation FROM factum.generations WHERE projection = $1 AND version = $2 AND state = $3 AND NOT reopened
