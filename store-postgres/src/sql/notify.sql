-- Tells those who listen, if there are any beside this session; says whether. Whoever listens holds the lock shared; what a
-- session holds itself does not stand in its way.
-- $1 the channel, $2 who tells
SELECT CASE WHEN pg_try_advisory_xact_lock(:listeners) THEN false ELSE pg_notify($1, $2) IS NOT NULL END
