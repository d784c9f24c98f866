-- The server's process behind this connection, told from others by its number and its beginning (NULL where a role may not see
-- that), and the last position.
SELECT pg_backend_pid(), (SELECT backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()),
  coalesce((SELECT position FROM factum.events ORDER BY position DESC LIMIT 1), 0)
