-- Lets the server end this transaction if its client falls silent for too long.
-- $1 milliseconds, as text
SELECT set_config('idle_in_transaction_session_timeout', $1, true)
