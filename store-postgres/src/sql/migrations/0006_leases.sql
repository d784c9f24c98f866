-- Leases: who keeps which read model current.

-- What nobody has is not here. Counters rise once a second or so: pages have room, and no index holds what changes.
CREATE TABLE factum.leases (
  counter bigint NOT NULL,
  since timestamptz NOT NULL,
  name text COLLATE "C" PRIMARY KEY,
  holder text COLLATE "C" NOT NULL,
  note text COLLATE "C" NOT NULL
) WITH (fillfactor = 50);

-- Takes a lease that nobody has, that the holder has already, or that stands as it was seen; then raises the epochs of the
-- projection's generation in this state (NULL: of none). `taken` says which, and the rest how the lease stands.
--
-- The row of the lease is held until the end, so that of several who try one goes on. A commit under way holds its checkpoint
-- and is waited for, a second at most: what comes after it is stale. Whoever was stopped in the middle of a transaction of its
-- own may hold it until the server ends that, and who would take its lease has others to renew.
CREATE FUNCTION factum.take_lease(
  p_name text, p_holder text, p_note text, p_seen_holder text, p_seen_counter bigint,
  p_projection text, p_version bigint, p_state text, p_logs bigint[],
  OUT taken boolean, OUT name text, OUT holder text, OUT counter bigint, OUT since timestamptz, OUT note text
) LANGUAGE plpgsql VOLATILE SET enable_seqscan = off SET lock_timeout = '1s' AS $function$
#variable_conflict use_column
DECLARE
  raised bigint;
BEGIN
  LOOP
    INSERT INTO factum.leases AS l (counter, since, name, holder, note)
    VALUES (1, clock_timestamp(), p_name, p_holder, p_note)
    ON CONFLICT (name) DO UPDATE SET
      counter = l.counter + 1, holder = excluded.holder, note = excluded.note,
      since = CASE WHEN l.holder = excluded.holder THEN l.since ELSE excluded.since END
    WHERE l.holder = p_holder OR (l.holder = p_seen_holder AND l.counter = p_seen_counter);
    taken := FOUND;
    SELECT l.name, l.holder, l.counter, l.since, l.note INTO name, holder, counter, since, note
    FROM factum.leases l WHERE l.name = p_name;
    -- It may have been given back between the two.
    EXIT WHEN FOUND;
  END LOOP;
  IF NOT taken OR p_projection IS NULL THEN
    RETURN;
  END IF;
  SELECT g.id INTO raised FROM factum.generations g
  WHERE g.projection = p_projection AND g.version = p_version AND g.state = p_state AND NOT g.reopened
  FOR SHARE;
  IF FOUND THEN
    INSERT INTO factum.checkpoints (generation, log, part, position, epoch)
    SELECT raised, l.log, 0, 0, 0 FROM unnest(p_logs) AS l(log)
    ON CONFLICT (generation, log, part) DO NOTHING;
    UPDATE factum.checkpoints c SET epoch = c.epoch + 1 WHERE c.generation = raised;
  END IF;
END $function$;
