-- Appends one event where nothing needs to be looked up: its sender has appended the last event of the log a moment ago, and the
-- last of the stream, and offers the position and the version after them.
--
-- Both are free or they are not, which is what the unique indexes are for. They are looked at in the insertion, after the lock is
-- held, and show what is committed by then, whatever the snapshot of the statement and its isolation: no two events get one
-- position or one version. Positions and versions have no gaps, so that where the one after a recorded one is free, that one is
-- the last. The sender vouches for that it is recorded, as long as that is not a second ago: who has the rights for it may put back
-- an older log under a writer that lives on.
--
-- Answers when it was recorded. NULL where a place was taken: then nothing is, and it is an append like any other.
CREATE FUNCTION factum.append_next(
  p_stream text, p_tenant text, p_category text, p_version bigint, p_id uuid, p_type text, p_schema_version bigint,
  p_occurred_at timestamptz, p_tags text[], p_metadata json, p_payload json, p_position bigint, p_recorded_at timestamptz
) RETURNS timestamptz LANGUAGE plpgsql VOLATILE AS $function$
DECLARE
  recorded timestamptz;
BEGIN
  IF pg_advisory_xact_lock(:lock) IS NULL OR current_setting('synchronous_commit') = 'off' THEN
    PERFORM set_config('synchronous_commit', 'on', true);
  END IF;
  recorded := greatest(p_recorded_at, clock_timestamp());
  IF recorded > p_recorded_at + interval '1 second' THEN
    RETURN NULL;
  END IF;
  IF p_version > 1 THEN
    -- Where the position is free nobody has appended to this stream either. One index to look at is cheaper than two.
    INSERT INTO factum.events (
      position, version, recorded_at, occurred_at, id, schema_version, tenant, category, stream, event_type, tags, metadata,
      payload
    ) VALUES (
      p_position, p_version, recorded, p_occurred_at, p_id, p_schema_version, p_tenant, p_category, p_stream, p_type, p_tags,
      p_metadata, p_payload
    ) ON CONFLICT (position) DO NOTHING;
  ELSE
    -- Of a stream that is not to be there its sender knows nothing.
    INSERT INTO factum.events (
      position, version, recorded_at, occurred_at, id, schema_version, tenant, category, stream, event_type, tags, metadata,
      payload
    ) VALUES (
      p_position, p_version, recorded, p_occurred_at, p_id, p_schema_version, p_tenant, p_category, p_stream, p_type, p_tags,
      p_metadata, p_payload
    ) ON CONFLICT DO NOTHING;
  END IF;
  IF found AND p_tags IS NULL AND clock_timestamp() < recorded + interval '1 second' THEN
    RETURN recorded;
  END IF;
  IF NOT found THEN
    RETURN NULL;
  END IF;
  IF clock_timestamp() >= recorded + interval '1 second' THEN
    -- It waited for whoever had the table for itself, and may have restored another one.
    RAISE EXCEPTION 'the place of an event was offered too long ago' USING ERRCODE = 'FA002';
  END IF;
  INSERT INTO factum.tags (position, tag, tenant, category, event_type)
  SELECT p_position, t.tag, p_tenant, p_category, p_type FROM unnest(p_tags) AS t(tag);
  RETURN recorded;
END $function$;
