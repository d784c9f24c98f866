-- What the server is, how full, and what the store in it asks of a release.
SELECT
  pg_is_in_recovery() AS replica,
  extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8 AS behind,
  (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS connections,
  current_setting('max_connections')::bigint AS max_connections,
  m.min_reader, m.min_writer, (SELECT max(number) FROM factum.migrations) AS number, current_user::text AS role
FROM factum.meta m
