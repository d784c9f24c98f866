-- Projections into the user's own tables: which tables a generation has, and the functions that make them its.

-- In the live generation a table has its plain name; in others it has that of its generation too, such as balances__g2.
CREATE TABLE factum.projected_tables (
  generation bigint NOT NULL,
  name text COLLATE "C" NOT NULL,
  -- The schema of the database that it lies in.
  place text COLLATE "C" NOT NULL,
  PRIMARY KEY (generation, name)
);

-- What a table of a generation is called where it does not have the plain name.
CREATE FUNCTION factum.aside(p_name text, p_generation bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $function$
  SELECT p_name || '__g' || p_generation
$function$;

-- Locks the checkpoint of a shard as `hold_shard` does, and says what its tables are called now: a later statement than the
-- one that waited for the lock. From here on a name without its schema finds nothing of a user's, so that a table that is
-- written by its plain name is not taken for that of another generation.
CREATE FUNCTION factum.hold_tables(
  p_projection text, p_generation bigint, p_log bigint, p_part bigint,
  OUT held bigint, OUT at bigint, OUT epoch bigint, OUT live boolean, OUT names text[], OUT place text,
  OUT transaction text
) LANGUAGE plpgsql VOLATILE AS $function$
BEGIN
  SELECT h.held, h.at, h.epoch INTO held, at, epoch
  FROM factum.hold_shard(p_projection, p_generation, p_log, p_part, true) h;
  IF held IS NULL THEN
    RETURN;
  END IF;
  SELECT g.state = 'live' INTO live FROM factum.generations g WHERE g.id = held;
  SELECT array_agg(t.name ORDER BY t.name), min(t.place) INTO names, place
  FROM factum.projected_tables t WHERE t.generation = held;
  transaction := pg_current_xact_id()::text;
  PERFORM set_config('search_path', 'pg_catalog', true);
END $function$;

-- Why the tables of a generation cannot give their plain names away; NULL where they can. What PostgreSQL binds to a table
-- itself, and not to its name, would go on to mean the old one and be dropped with it.
CREATE FUNCTION factum.bound_tables(p_generation bigint) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog
AS $function$
  WITH own AS (
    SELECT c.oid, c.reltype, y.typarray
    FROM factum.projected_tables t
    JOIN pg_class c ON c.oid = format('%I.%I', t.place, t.name)::regclass
    JOIN pg_type y ON y.oid = c.reltype
    WHERE t.generation = p_generation
  ), bound AS (
    SELECT DISTINCT d.classid, d.objid, o.oid AS own FROM own o JOIN pg_depend d
      ON d.refclassid = 'pg_class'::regclass AND d.refobjid = o.oid
      OR d.refclassid = 'pg_type'::regclass AND d.refobjid IN (o.reltype, o.typarray)
  )
  SELECT format('the table %s has a foreign key to %s, which would go on to mean the old one; remove that key',
    k.conrelid::regclass, k.confrelid::regclass)
  FROM pg_constraint k
  WHERE k.contype = 'f' AND k.confrelid IN (SELECT oid FROM own) AND k.conrelid NOT IN (SELECT oid FROM own)
  UNION ALL
  SELECT format('the materialized view %s is made of %s, and would go on to mean the old one; drop it', v.oid::regclass, b.own::regclass)
  FROM bound b JOIN pg_rewrite r ON r.oid = b.objid JOIN pg_class v ON v.oid = r.ev_class AND v.relkind = 'm'
  WHERE b.classid = 'pg_rewrite'::regclass
  UNION ALL
  SELECT format('the %s is bound to %s, and would go on to mean the old one; drop it, and make it again after the switch',
    pg_describe_object(b.classid, b.objid, 0), b.own::regclass)
  FROM bound b
  WHERE b.classid IN ('pg_proc'::regclass, 'pg_publication_rel'::regclass)
    OR b.classid = 'pg_class'::regclass AND EXISTS (
      SELECT FROM pg_class c WHERE c.oid = b.objid AND c.relkind IN ('r', 'p', 'f', 'v', 'm', 'c') AND c.oid NOT IN (SELECT oid FROM own)
    )
    OR b.classid = 'pg_policy'::regclass AND EXISTS (
      SELECT FROM pg_policy p WHERE p.oid = b.objid AND p.polrelid NOT IN (SELECT oid FROM own)
    )
    OR b.classid = 'pg_rewrite'::regclass AND EXISTS (
      SELECT FROM pg_rewrite r WHERE r.oid = b.objid AND r.rulename <> '_RETURN' AND r.ev_class NOT IN (SELECT oid FROM own)
    )
  LIMIT 1
$function$;

-- Gives the plain names from the tables of one generation to those of another, in the transaction of the switch, and with
-- them what others were granted on them; views go on to mean the plain names. Answers why it cannot be; NULL where it is done.
CREATE FUNCTION factum.exchange_tables(p_old bigint, p_new bigint) RETURNS text LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog AS $function$
DECLARE
  t record;
  why text;
  views text[];
  view text;
BEGIN
  why := factum.bound_tables(p_old);
  IF why IS NOT NULL THEN
    RETURN why;
  END IF;
  -- Whoever vacuums a table is waited for with a lock that shuts out no reader, and for longer than autovacuum goes on while
  -- somebody waits for it. It is kept, so that none comes in between.
  PERFORM set_config('lock_timeout', (s.setting::bigint + 1000)::text, true) FROM pg_settings s WHERE s.name = 'deadlock_timeout';
  FOR t IN
    SELECT format('%I.%I', p.place, CASE p.generation WHEN p_old THEN p.name ELSE factum.aside(p.name, g.generation) END) AS called
    FROM factum.projected_tables p JOIN factum.generations g ON g.id = p.generation WHERE p.generation IN (p_old, p_new)
    ORDER BY p.generation = p_old, p.place, p.name
  LOOP
    EXECUTE format('LOCK TABLE ONLY %s IN SHARE UPDATE EXCLUSIVE MODE', t.called);
  END LOOP;
  -- Others would queue behind what waits from here on, so it waits for a moment only. All at once and always in one order,
  -- before anything is read of them.
  PERFORM set_config('lock_timeout', '50ms', true);
  FOR t IN
    SELECT format('%I.%I', p.place, p.name) AS plain FROM factum.projected_tables p WHERE p.generation = p_old
    ORDER BY p.place, p.name
  LOOP
    EXECUTE format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE', t.plain);
  END LOOP;
  -- Again, now that nothing can come to them any more.
  why := factum.bound_tables(p_old);
  IF why IS NOT NULL THEN
    RETURN why;
  END IF;
  SELECT array_agg(DISTINCT format('CREATE OR REPLACE VIEW %s%s AS %s', v.oid::regclass,
    ' WITH (' || array_to_string(v.reloptions, ', ') || ')', pg_get_viewdef(v.oid))) INTO views
  FROM factum.projected_tables p
  JOIN pg_depend d ON d.refobjid = format('%I.%I', p.place, p.name)::regclass AND d.refclassid = 'pg_class'::regclass
    AND d.classid = 'pg_rewrite'::regclass
  JOIN pg_rewrite r ON r.oid = d.objid
  JOIN pg_class v ON v.oid = r.ev_class AND v.relkind = 'v'
  WHERE p.generation = p_old;
  FOR t IN
    SELECT p.place, p.name, factum.aside(p.name, g.generation) AS aside
    FROM factum.projected_tables p JOIN factum.generations g ON g.id = p.generation WHERE p.generation = p_old
  LOOP
    EXECUTE format('ALTER TABLE %I.%I RENAME TO %I', t.place, t.name, t.aside);
  END LOOP;
  FOR t IN
    SELECT p.place, p.name, factum.aside(p.name, g.generation) AS aside,
      to_regclass(format('%I.%I', o.place, factum.aside(o.name, og.generation))) AS old
    FROM factum.projected_tables p JOIN factum.generations g ON g.id = p.generation
    LEFT JOIN factum.projected_tables o ON o.generation = p_old AND o.name = p.name
    LEFT JOIN factum.generations og ON og.id = o.generation
    WHERE p.generation = p_new
  LOOP
    EXECUTE format('ALTER TABLE %I.%I RENAME TO %I', t.place, t.aside, t.name);
    IF (SELECT c.relrowsecurity FROM pg_class c WHERE c.oid = t.old)
      AND NOT (SELECT c.relrowsecurity FROM pg_class c WHERE c.oid = format('%I.%I', t.place, t.name)::regclass)
    THEN
      RETURN format('row security is enabled on the table %s and not on %s, whose rows all would see; put it into SCHEMA', t.name, t.aside);
    END IF;
    PERFORM factum.grant_alike(t.old, format('%I.%I', t.place, t.name)::regclass);
  END LOOP;
  FOREACH view IN ARRAY coalesce(views, '{}') LOOP
    EXECUTE view;
  END LOOP;
  RETURN NULL;
END $function$;

-- Grants on one table what is granted on another to everybody but its owner.
CREATE FUNCTION factum.grant_alike(p_from regclass, p_to regclass) RETURNS void LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog AS $function$
DECLARE
  g record;
BEGIN
  FOR g IN
    SELECT a.privilege_type, a.is_grantable, CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(r.rolname) END AS grantee
    FROM pg_class c CROSS JOIN LATERAL aclexplode(c.relacl) a LEFT JOIN pg_roles r ON r.oid = a.grantee
    WHERE c.oid = p_from AND a.grantee <> c.relowner
  LOOP
    EXECUTE format('GRANT %s ON TABLE %s TO %s%s', g.privilege_type, p_to, g.grantee,
      CASE WHEN g.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END);
  END LOOP;
END $function$;

-- Drops the tables of the generations that are being dropped, and says of how many. Those of somebody else are left to him.
CREATE FUNCTION factum.drop_tables() RETURNS bigint LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog AS $function$
DECLARE
  g record;
  dropped bigint := 0;
BEGIN
  PERFORM set_config('lock_timeout', '50ms', true);
  FOR g IN
    SELECT d.id, string_agg(format('%I.%I', t.place, factum.aside(t.name, d.generation)), ', ') AS tables
    FROM factum.generations d JOIN factum.projected_tables t ON t.generation = d.id
    WHERE d.state IN ('dropping', 'dropped') GROUP BY d.id
  LOOP
    -- A reader that was planned before the switch may still want one of them while it has another: it would be the one that
    -- the server ends for the deadlock, so nothing waits here for long with one in hand.
    FOR try IN 1..20 LOOP
      BEGIN
        EXECUTE format('DROP TABLE IF EXISTS %s CASCADE', g.tables);
        DELETE FROM factum.projected_tables t WHERE t.generation = g.id;
        dropped := dropped + 1;
        EXIT;
      EXCEPTION
        WHEN insufficient_privilege THEN EXIT;
        WHEN lock_not_available THEN PERFORM pg_sleep(0.1);
      END;
    END LOOP;
  END LOOP;
  RETURN dropped;
END $function$;
