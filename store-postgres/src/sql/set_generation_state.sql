-- $1 id, $2 state, $3 for how many microseconds it is kept, or NULL
UPDATE factum.generations
SET state = $2, reopened = false, kept_until = clock_timestamp() + $3 * interval '1 microsecond' WHERE id = $1
