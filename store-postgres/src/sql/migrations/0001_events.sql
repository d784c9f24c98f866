-- The log: events, tags, keys, snapshots, and the functions that append.
-- `factum.` stands for the schema of the store, `:lock` for the number of its order lock.

CREATE TABLE factum.meta (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  store_id uuid NOT NULL,
  created_at timestamptz NOT NULL,
  -- The oldest library, by the number of the newest migration that it knows, that may read and that may write here.
  min_reader integer NOT NULL,
  min_writer integer NOT NULL
);

INSERT INTO factum.meta VALUES (true, gen_random_uuid(), clock_timestamp(), 1, 1);

-- Numbers first, so that nothing is lost to alignment, and the payload last. Texts compare as bytes, whatever the
-- collation of the database. The default tenant is the empty text.
CREATE TABLE factum.events (
  position bigint PRIMARY KEY,
  version bigint NOT NULL,
  recorded_at timestamptz NOT NULL,
  occurred_at timestamptz,
  id uuid NOT NULL,
  schema_version bigint NOT NULL,
  tenant text COLLATE "C" NOT NULL,
  category text COLLATE "C" NOT NULL,
  stream text COLLATE "C" NOT NULL,
  event_type text COLLATE "C" NOT NULL,
  tags text[],
  metadata json,
  payload json NOT NULL
);

CREATE UNIQUE INDEX events_by_stream ON factum.events (stream, tenant, version);

-- A filter walks it without looking at events that it does not want.
CREATE INDEX events_by_category ON factum.events (category, position) INCLUDE (event_type);

-- Where each tag occurs, with all that a query looks at.
CREATE TABLE factum.tags (
  position bigint NOT NULL,
  tag text COLLATE "C" NOT NULL,
  tenant text COLLATE "C" NOT NULL,
  category text COLLATE "C" NOT NULL,
  event_type text COLLATE "C" NOT NULL
);

CREATE UNIQUE INDEX tags_by_tag ON factum.tags (tag, position) INCLUDE (tenant, category, event_type);

-- What became of commands that carried a key.
CREATE TABLE factum.keys (
  recorded_at timestamptz NOT NULL,
  fingerprint uuid NOT NULL,
  -- The positions of the first and last event; NULL where the command recorded none.
  first bigint,
  last bigint,
  tenant text COLLATE "C" NOT NULL,
  key text COLLATE "C" NOT NULL,
  -- Why it was refused; NULL where it was not.
  refusal text,
  PRIMARY KEY (key, tenant)
);

-- Rows lie in the order of their times: a summary of blocks finds the old ones, at no cost to an append.
CREATE INDEX keys_by_time ON factum.keys USING brin (recorded_at);

CREATE TABLE factum.snapshots (
  version bigint NOT NULL,
  position bigint NOT NULL,
  recorded_at timestamptz NOT NULL,
  occurred_at timestamptz NOT NULL,
  schema_version bigint NOT NULL,
  tenant text COLLATE "C" NOT NULL,
  stream text COLLATE "C" NOT NULL,
  state bytea NOT NULL,
  PRIMARY KEY (stream, tenant, schema_version, version)
);

-- What was recorded is never changed: not by a mistake in a service, not by hand. ALWAYS: in replicas too.
CREATE FUNCTION factum.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $function$
BEGIN
  RAISE EXCEPTION '% of % is refused: events are never changed', TG_OP, TG_TABLE_NAME
    USING HINT = 'Record another event that corrects the one before.';
END $function$;

CREATE TRIGGER events_are_never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON factum.events
  FOR EACH STATEMENT EXECUTE FUNCTION factum.refuse_change();
ALTER TABLE factum.events ENABLE ALWAYS TRIGGER events_are_never_changed;

CREATE TRIGGER tags_are_never_changed BEFORE UPDATE OR DELETE OR TRUNCATE ON factum.tags
  FOR EACH STATEMENT EXECUTE FUNCTION factum.refuse_change();
ALTER TABLE factum.tags ENABLE ALWAYS TRIGGER tags_are_never_changed;
