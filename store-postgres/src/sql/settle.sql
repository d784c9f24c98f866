-- Written to the server's log and committed: when this is answered, everything before it is where an answer promises it to be,
-- on a synchronous standby too.
SELECT pg_logical_emit_message(true, 'factum', '')
