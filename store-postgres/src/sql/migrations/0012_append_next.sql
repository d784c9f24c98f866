-- Appends one event where nothing needs to be looked up: its sender has appended the last event of the log a moment ago, and the
-- last of the stream, and offers the position and the version after them.
--
-- Both are free or they are not, which is what the unique indexes are for. They are looked at in the insertion, after the lock is
-- held, and show what is committed by then, whatever the snapshot of the statement: no two events get one position or one
-- version. Positions and versions have no gaps, so that where the one after a recorded one is free, that one is the last.
-- The sender vouches for that it is recorded.
--
-- Otherwise it is an append like any other. Answers as `append_one` does.
CREATE FUNCTION factum.append_next(
  p_stream text, p_tenant text, p_category text, p_condition bigint, p_id uuid, p_type text, p_schema_version bigint,
  p_occurred_at timestamptz, p_tags text[], p_metadata json, p_payload json, p_version bigint, p_position bigint,
  p_recorded_at timestamptz
) RETURNS bigint[] LANGUAGE plpgsql VOLATILE AS $function$
DECLARE
  recorded timestamptz;
BEGIN
  IF pg_advisory_xact_lock(:lock) IS NULL OR current_setting('transaction_isolation') <> 'read committed'
    OR current_setting('synchronous_commit') = 'off' THEN
    PERFORM factum.require_settings();
  END IF;
  recorded := greatest(p_recorded_at, clock_timestamp());
  INSERT INTO factum.events (
    position, version, recorded_at, occurred_at, id, schema_version, tenant, category, stream, event_type, tags, metadata,
    payload
  ) VALUES (
    p_position, p_version, recorded, p_occurred_at, p_id, p_schema_version, p_tenant, p_category, p_stream, p_type, p_tags,
    p_metadata, p_payload
  ) ON CONFLICT DO NOTHING;
  IF NOT found THEN
    RETURN factum.append_one(
      p_stream, p_tenant, p_category, p_condition, p_id, p_type, p_schema_version, p_occurred_at, p_tags, p_metadata, p_payload
    );
  END IF;
  IF p_tags IS NOT NULL THEN
    INSERT INTO factum.tags (position, tag, tenant, category, event_type)
    SELECT p_position, t.tag, p_tenant, p_category, p_type FROM unnest(p_tags) AS t(tag);
  END IF;
  RETURN ARRAY[p_position, p_version, (extract(epoch FROM recorded) * 1000000)::bigint];
END $function$;
