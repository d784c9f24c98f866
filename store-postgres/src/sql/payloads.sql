-- Payloads that were left out of their rows.
-- $1 positions
SELECT position, payload FROM factum.events WHERE position = ANY ($1)
