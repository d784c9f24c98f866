-- Fields by which documents are found and sorted: their values beside the documents, and the functions that write and walk them.

-- By which fields the documents of a generation are found: what the projection declared when it was made.
ALTER TABLE factum.generations ADD COLUMN fields json;

-- Values as core encodes them, so that their bytes compare as they do.
CREATE TABLE factum.document_fields (
  generation bigint NOT NULL,
  log bigint NOT NULL,
  tenant text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  field text COLLATE "C" NOT NULL,
  value bytea NOT NULL,
  PRIMARY KEY (generation, tenant, key, log, field)
);

-- Its first column is written otherwise than that of the primary key, so that each of the two serves what it is for and never the
-- other: where nothing is known of the table, what a document has of a field looks as cheap by this one, and is a walk over all.
CREATE INDEX document_fields_by_value ON factum.document_fields ((generation + 0), tenant, field, value, key, log);

-- Whether a document meets all conditions that are looked up.
CREATE FUNCTION factum.meets(
  p_generation bigint, p_tenant text, p_key text, p_log bigint, c_field text[], c_low bytea[], c_high bytea[]
) RETURNS boolean LANGUAGE plpgsql STABLE
  SET plan_cache_mode = force_generic_plan SET enable_bitmapscan = off SET enable_seqscan = off
AS $function$
DECLARE
  found_value bytea;
BEGIN
  FOR n IN 1 .. coalesce(cardinality(c_field), 0) LOOP
    SELECT v.value INTO found_value FROM factum.document_fields v
    WHERE v.generation = p_generation AND v.tenant = p_tenant AND v.key = p_key AND v.log = p_log AND v.field = c_field[n];
    IF found_value IS NULL OR found_value < c_low[n] OR found_value >= c_high[n] THEN
      RETURN false;
    END IF;
  END LOOP;
  RETURN true;
END $function$;

-- The value that a document has of a field: one search of the index, whatever the statistics say.
CREATE FUNCTION factum.value_of(
  p_generation bigint, p_tenant text, p_key text, p_log bigint, p_field text
) RETURNS bytea LANGUAGE plpgsql STABLE
  SET plan_cache_mode = force_generic_plan SET enable_bitmapscan = off SET enable_seqscan = off
AS $function$
BEGIN
  RETURN (
    SELECT v.value FROM factum.document_fields v
    WHERE v.generation = p_generation AND v.tenant = p_tenant AND v.key = p_key AND v.log = p_log AND v.field = p_field
  );
END $function$;

-- The documents of a tenant that meet conditions, in order, at most `p_limit`: along the index of a field (`p_field`), or those
-- of one value (`p_one_value`) of another sorted by it, or, where `p_field` is NULL, all by key and log. They come after
-- `p_value`, `p_key` and `p_log`, and before or down to `p_bound`. `c_field`, `c_low` and `c_high` are looked up for each.
-- STABLE: it sees what the statement sees that calls it.
CREATE FUNCTION factum.walk_fields(
  p_generation bigint, p_tenant text, p_backward boolean, p_limit bigint, p_value bytea, p_key text, p_log bigint,
  p_field text, p_bound bytea, p_one text, p_one_value bytea, c_field text[], c_low bytea[], c_high bytea[]
) RETURNS TABLE (value bytea, key text, log bigint) LANGUAGE plpgsql STABLE ROWS 100
  SET plan_cache_mode = force_generic_plan SET enable_bitmapscan = off SET enable_seqscan = off SET enable_hashjoin = off
  SET enable_mergejoin = off SET enable_sort = off SET jit = off
AS $function$
#variable_conflict use_column
DECLARE
  looked_up boolean := coalesce(cardinality(c_field), 0) > 0;
BEGIN
  IF p_field IS NULL AND NOT p_backward THEN
    RETURN QUERY
      SELECT NULL::bytea, d.key, d.log FROM factum.documents d
      WHERE d.generation = p_generation AND d.tenant = p_tenant AND (d.key, d.log) > (p_key, p_log)
        AND d.body IS NOT NULL
        AND (NOT looked_up OR factum.meets(p_generation, p_tenant, d.key, d.log, c_field, c_low, c_high))
      ORDER BY d.key, d.log LIMIT p_limit;
  ELSIF p_one IS NULL AND NOT p_backward THEN
    RETURN QUERY
      SELECT f.value, f.key, f.log FROM factum.document_fields f
      WHERE f.generation + 0 = p_generation AND f.tenant = p_tenant AND f.field = p_field
        AND (f.value, f.key, f.log) > (p_value, p_key, p_log) AND f.value < p_bound
        AND (NOT looked_up OR factum.meets(p_generation, p_tenant, f.key, f.log, c_field, c_low, c_high))
      ORDER BY f.value, f.key, f.log LIMIT p_limit;
  ELSIF NOT p_backward THEN
    RETURN QUERY
      SELECT f.value, f.key, f.log
      FROM (
        SELECT factum.value_of(p_generation, p_tenant, e.key, e.log, p_field) AS value, e.key, e.log
        FROM factum.document_fields e
        WHERE e.generation + 0 = p_generation AND e.tenant = p_tenant AND e.field = p_one AND e.value = p_one_value
        -- In the order of the index, and with a fence: it is walked, whatever the statistics say.
        ORDER BY e.value, e.key, e.log OFFSET 0
      ) AS f
      WHERE (f.value, f.key, f.log) > (p_value, p_key, p_log) AND f.value < p_bound
        AND (NOT looked_up OR factum.meets(p_generation, p_tenant, f.key, f.log, c_field, c_low, c_high))
      ORDER BY f.value, f.key, f.log LIMIT p_limit;
  ELSIF p_field IS NULL AND p_backward THEN
    RETURN QUERY
      SELECT NULL::bytea, d.key, d.log FROM factum.documents d
      WHERE d.generation = p_generation AND d.tenant = p_tenant AND (d.key, d.log) < (p_key, p_log)
        AND d.body IS NOT NULL
        AND (NOT looked_up OR factum.meets(p_generation, p_tenant, d.key, d.log, c_field, c_low, c_high))
      ORDER BY d.key DESC, d.log DESC LIMIT p_limit;
  ELSIF p_one IS NULL AND p_backward THEN
    RETURN QUERY
      SELECT f.value, f.key, f.log FROM factum.document_fields f
      WHERE f.generation + 0 = p_generation AND f.tenant = p_tenant AND f.field = p_field
        AND (f.value, f.key, f.log) < (p_value, p_key, p_log) AND f.value >= p_bound
        AND (NOT looked_up OR factum.meets(p_generation, p_tenant, f.key, f.log, c_field, c_low, c_high))
      ORDER BY f.value DESC, f.key DESC, f.log DESC LIMIT p_limit;
  ELSIF p_backward THEN
    RETURN QUERY
      SELECT f.value, f.key, f.log
      FROM (
        SELECT factum.value_of(p_generation, p_tenant, e.key, e.log, p_field) AS value, e.key, e.log
        FROM factum.document_fields e
        WHERE e.generation + 0 = p_generation AND e.tenant = p_tenant AND e.field = p_one AND e.value = p_one_value
        -- In the order of the index, and with a fence: it is walked, whatever the statistics say.
        ORDER BY e.value, e.key, e.log OFFSET 0
      ) AS f
      WHERE (f.value, f.key, f.log) < (p_value, p_key, p_log) AND f.value >= p_bound
        AND (NOT looked_up OR factum.meets(p_generation, p_tenant, f.key, f.log, c_field, c_low, c_high))
      ORDER BY f.value DESC, f.key DESC, f.log DESC LIMIT p_limit;
  END IF;
END $function$;

-- How many documents of a tenant have values of a field (all documents where it is NULL) from one up to another, and meet
-- conditions.
CREATE FUNCTION factum.count_fields(
  p_generation bigint, p_tenant text, p_field text, p_low bytea, p_high bytea,
  c_field text[], c_low bytea[], c_high bytea[]
) RETURNS bigint LANGUAGE plpgsql STABLE
  SET plan_cache_mode = force_generic_plan SET enable_bitmapscan = off SET enable_seqscan = off SET jit = off
AS $function$
DECLARE
  looked_up boolean := coalesce(cardinality(c_field), 0) > 0;
  n bigint;
BEGIN
  IF p_field IS NULL THEN
    SELECT count(*) INTO n FROM factum.documents d
    WHERE d.generation = p_generation AND d.tenant = p_tenant AND d.body IS NOT NULL;
  ELSE
    SELECT count(*) INTO n FROM factum.document_fields f
    WHERE f.generation + 0 = p_generation AND f.tenant = p_tenant AND f.field = p_field AND f.value >= p_low AND f.value < p_high
      AND (NOT looked_up OR factum.meets(p_generation, p_tenant, f.key, f.log, c_field, c_low, c_high));
  END IF;
  RETURN n;
END $function$;
