-- Where events stand, if they were recorded.
-- $1 the position after which they would be, $2 their ids
SELECT id, position FROM factum.events WHERE position > $1 AND id = ANY ($2)
