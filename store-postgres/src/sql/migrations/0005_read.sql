-- What reading by tags needs: walks over the index of tags, whose cost is that of what they find (the settings keep
-- the planner on that index, whatever it believes of a table that was never analyzed). STABLE: they see what the
-- statement sees that calls them. At most `p_limit` positions between `p_after` (not included) and `p_last` (included).

CREATE FUNCTION factum.walk_tags_forward(
  p_tags text[], p_categories text[], p_types text[], p_tenant text, p_after bigint, p_last bigint, p_limit bigint
) RETURNS SETOF bigint LANGUAGE plpgsql STABLE ROWS 1000
  SET plan_cache_mode = force_generic_plan SET enable_bitmapscan = off SET enable_seqscan = off SET jit = off
AS $function$
DECLARE
  at bigint := p_after + 1;
  found_at bigint;
  agreed integer := 0;
  n integer := 0;
  left_to_find bigint := p_limit;
BEGIN
  IF cardinality(p_tags) = 1 THEN
    RETURN QUERY
      SELECT t.position FROM factum.tags t
      WHERE t.tag = p_tags[1] AND t.position > p_after AND t.position <= p_last
        AND (p_tenant IS NULL OR t.tenant = p_tenant) AND (p_categories IS NULL OR t.category = ANY (p_categories))
        AND (p_types IS NULL OR t.event_type = ANY (p_types))
      ORDER BY t.tag, t.position LIMIT p_limit;
    RETURN;
  END IF;
  -- Each tag in turn moves to the position that another has reached; where all stand at one, it carries all of them.
  WHILE left_to_find > 0 LOOP
    SELECT t.position INTO found_at FROM factum.tags t
    WHERE t.tag = p_tags[n + 1] AND t.position >= at AND t.position <= p_last
      AND (p_tenant IS NULL OR t.tenant = p_tenant) AND (p_categories IS NULL OR t.category = ANY (p_categories))
      AND (p_types IS NULL OR t.event_type = ANY (p_types))
    ORDER BY t.tag, t.position LIMIT 1;
    EXIT WHEN found_at IS NULL;
    agreed := CASE WHEN found_at = at THEN agreed + 1 ELSE 1 END;
    at := found_at;
    n := (n + 1) % cardinality(p_tags);
    IF agreed >= cardinality(p_tags) THEN
      RETURN NEXT at;
      left_to_find := left_to_find - 1;
      at := at + 1;
      agreed := 0;
    END IF;
  END LOOP;
END $function$;

CREATE FUNCTION factum.walk_tags_backward(
  p_tags text[], p_categories text[], p_types text[], p_tenant text, p_after bigint, p_last bigint, p_limit bigint
) RETURNS SETOF bigint LANGUAGE plpgsql STABLE ROWS 1000
  SET plan_cache_mode = force_generic_plan SET enable_bitmapscan = off SET enable_seqscan = off SET jit = off
AS $function$
DECLARE
  at bigint := p_after - 1;
  found_at bigint;
  agreed integer := 0;
  n integer := 0;
  left_to_find bigint := p_limit;
BEGIN
  IF cardinality(p_tags) = 1 THEN
    RETURN QUERY
      SELECT t.position FROM factum.tags t
      WHERE t.tag = p_tags[1] AND t.position < p_after AND t.position >= p_last
        AND (p_tenant IS NULL OR t.tenant = p_tenant) AND (p_categories IS NULL OR t.category = ANY (p_categories))
        AND (p_types IS NULL OR t.event_type = ANY (p_types))
      ORDER BY t.tag DESC, t.position DESC LIMIT p_limit;
    RETURN;
  END IF;
  -- Each tag in turn moves to the position that another has reached; where all stand at one, it carries all of them.
  WHILE left_to_find > 0 LOOP
    SELECT t.position INTO found_at FROM factum.tags t
    WHERE t.tag = p_tags[n + 1] AND t.position <= at AND t.position >= p_last
      AND (p_tenant IS NULL OR t.tenant = p_tenant) AND (p_categories IS NULL OR t.category = ANY (p_categories))
      AND (p_types IS NULL OR t.event_type = ANY (p_types))
    ORDER BY t.tag DESC, t.position DESC LIMIT 1;
    EXIT WHEN found_at IS NULL;
    agreed := CASE WHEN found_at = at THEN agreed + 1 ELSE 1 END;
    at := found_at;
    n := (n + 1) % cardinality(p_tags);
    IF agreed >= cardinality(p_tags) THEN
      RETURN NEXT at;
      left_to_find := left_to_find - 1;
      at := at - 1;
      agreed := 0;
    END IF;
  END LOOP;
END $function$;
