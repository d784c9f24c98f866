-- Sessions that others wait for, or that have held something of the store for long, each with those who wait for it. A session
-- whose transaction is not for the role that asks to see has no state and no times; since when others wait is for all to see.
-- $1 the order lock, $2 the schema
WITH own AS (
  SELECT l.pid, l.granted, l.locktype = 'advisory' AS orders
  FROM pg_locks l
  WHERE l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
    AND CASE l.locktype
      WHEN 'advisory' THEN l.objsubid = 1 AND (l.classid::bigint << 32 | l.objid::bigint) = $1::bigint
      ELSE l.relation IN (
        SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $2::text
      )
    END
), waiting AS (
  SELECT l.pid, min(l.waitstart) AS since FROM pg_locks l WHERE NOT l.granted GROUP BY l.pid
), blocked AS (
  SELECT b.by AS pid, count(DISTINCT w.pid) AS waiters, extract(epoch FROM clock_timestamp() - min(w.since))::float8 AS seconds
  FROM waiting w, unnest(pg_blocking_pids(w.pid)) AS b(by)
  -- Who waits itself is not why.
  WHERE w.pid IN (SELECT pid FROM own) AND b.by NOT IN (SELECT pid FROM waiting)
  GROUP BY b.by
)
SELECT
  a.pid, a.application_name, a.usename::text, a.state, a.xact_start,
  CASE WHEN a.state IS NOT NULL THEN a.query END AS query,
  extract(epoch FROM clock_timestamp() - a.xact_start)::float8 AS open_for,
  extract(epoch FROM clock_timestamp() - a.state_change)::float8 AS so_for,
  EXISTS (SELECT FROM own o WHERE o.pid = a.pid AND o.orders AND o.granted) AS orders,
  EXISTS (SELECT FROM own o WHERE o.pid = a.pid AND o.granted) AS touches,
  coalesce(b.waiters, 0) AS waiters, b.seconds AS waited
FROM pg_stat_activity a LEFT JOIN blocked b ON b.pid = a.pid
WHERE a.pid <> pg_backend_pid() AND a.datid = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
  AND (b.pid IS NOT NULL OR a.pid IN (SELECT pid FROM own)
    OR (a.backend_type = 'client backend' AND a.xact_start < clock_timestamp() - interval '1 minute'))
ORDER BY a.xact_start NULLS LAST, a.pid
