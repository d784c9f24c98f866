-- What became of generations that were replaced: until when they are kept, and which take writes again.

-- Where it is retired: until when it is kept; NULL until somebody drops it.
ALTER TABLE factum.generations ADD COLUMN kept_until timestamptz;

-- Whether one that is building was retired before: it is to become live once more, and no replay builds it.
ALTER TABLE factum.generations ADD COLUMN reopened boolean NOT NULL DEFAULT false;

DROP INDEX factum.generations_one_building;
CREATE UNIQUE INDEX generations_one_building ON factum.generations (projection, version)
  WHERE state = 'building' AND NOT reopened;

-- Takes the plain names from the tables of a generation that is taken out of service. Answers why it cannot be; NULL where it
-- is done.
CREATE FUNCTION factum.set_tables_aside(p_old bigint) RETURNS text LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog AS $function$
DECLARE
  t record;
  why text;
BEGIN
  PERFORM set_config('lock_timeout', '50ms', true);
  FOR t IN
    SELECT format('%I.%I', p.place, p.name) AS plain FROM factum.projected_tables p WHERE p.generation = p_old
    ORDER BY p.place, p.name
  LOOP
    EXECUTE format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE', t.plain);
  END LOOP;
  why := factum.bound_tables(p_old);
  IF why IS NULL THEN
    -- It would be dropped with the table.
    SELECT format('the view %s is made of %s; drop it', v.oid::regclass, d.refobjid::regclass) INTO why
    FROM factum.projected_tables p
    JOIN pg_depend d ON d.refobjid = format('%I.%I', p.place, p.name)::regclass AND d.refclassid = 'pg_class'::regclass
      AND d.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite r ON r.oid = d.objid
    JOIN pg_class v ON v.oid = r.ev_class AND v.relkind = 'v'
    WHERE p.generation = p_old LIMIT 1;
  END IF;
  IF why IS NOT NULL THEN
    RETURN why;
  END IF;
  FOR t IN
    SELECT p.place, p.name, factum.aside(p.name, g.generation) AS aside
    FROM factum.projected_tables p JOIN factum.generations g ON g.id = p.generation WHERE p.generation = p_old
  LOOP
    EXECUTE format('ALTER TABLE %I.%I RENAME TO %I', t.place, t.name, t.aside);
  END LOOP;
  RETURN NULL;
END $function$;
