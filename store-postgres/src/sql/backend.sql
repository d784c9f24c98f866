-- The server's process behind this connection, told from others by its number and its beginning.
SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()
