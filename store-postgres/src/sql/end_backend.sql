-- Ends a process of the server, and says whether it was still there.
-- $1 its number, $2 its beginning
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = $1 AND backend_start = $2
