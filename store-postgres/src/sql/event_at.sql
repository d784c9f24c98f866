-- What a conflict says of the event that it found.
-- $1 its position
SELECT tenant, stream, event_type FROM factum.events WHERE position = $1
