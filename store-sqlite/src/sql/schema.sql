-- Everything that a new file holds. Run once, in one transaction with the application id and the version.

CREATE TABLE meta (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  store_id BLOB NOT NULL CHECK (length(store_id) = 16),
  created_at INTEGER NOT NULL
) STRICT;

-- Times are microseconds since 1970, UTC. The default tenant is the empty text. The payload comes last: what a filter
-- looks at lies before it.
CREATE TABLE events (
  position INTEGER PRIMARY KEY,
  recorded_at INTEGER NOT NULL,
  tenant TEXT NOT NULL,
  stream TEXT NOT NULL,
  version INTEGER NOT NULL,
  event_type TEXT NOT NULL,
  schema_version INTEGER NOT NULL,
  id BLOB NOT NULL,
  occurred_at INTEGER,
  -- A JSON array of texts; NULL where there are none.
  tags TEXT,
  -- A JSON object; NULL where there is nothing.
  metadata TEXT,
  payload TEXT NOT NULL
) STRICT;

CREATE UNIQUE INDEX events_by_stream ON events (stream, tenant, version);

CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'events are never changed'); END;

CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END;

-- Where each tag occurs.
CREATE TABLE tags (
  tag TEXT NOT NULL,
  position INTEGER NOT NULL,
  PRIMARY KEY (tag, position)
) STRICT, WITHOUT ROWID;

-- Numbered, so that the oldest are found without an index of times.
CREATE TABLE keys (
  number INTEGER PRIMARY KEY,
  tenant TEXT NOT NULL,
  key TEXT NOT NULL,
  fingerprint BLOB NOT NULL,
  recorded_at INTEGER NOT NULL,
  -- The positions of the first and last event; NULL where the command recorded none.
  first INTEGER,
  last INTEGER,
  -- Why it was refused; NULL where it was not.
  refusal TEXT
) STRICT;

CREATE UNIQUE INDEX keys_by_key ON keys (key, tenant);

CREATE TABLE snapshots (
  number INTEGER PRIMARY KEY,
  tenant TEXT NOT NULL,
  stream TEXT NOT NULL,
  schema_version INTEGER NOT NULL,
  version INTEGER NOT NULL,
  position INTEGER NOT NULL,
  recorded_at INTEGER NOT NULL,
  occurred_at INTEGER NOT NULL,
  state BLOB NOT NULL
) STRICT;

CREATE UNIQUE INDEX snapshots_by_stream ON snapshots (stream, tenant, schema_version, version);

-- A dropped generation stays as a row, so that its number is never given again.
CREATE TABLE generations (
  id INTEGER PRIMARY KEY,
  projection TEXT NOT NULL,
  generation INTEGER NOT NULL,
  version INTEGER NOT NULL,
  state TEXT NOT NULL CHECK (state IN ('building', 'live', 'retired', 'reopened', 'dropping', 'dropped')),
  created_at INTEGER NOT NULL,
  -- Where it is retired: until when it is kept; NULL until somebody drops it.
  kept_until INTEGER,
  -- By which fields its documents are found and sorted, JSON.
  fields TEXT NOT NULL,
  UNIQUE (projection, generation)
) STRICT;

CREATE UNIQUE INDEX generations_one_live ON generations (projection, version) WHERE state = 'live';
CREATE UNIQUE INDEX generations_one_building ON generations (projection, version) WHERE state = 'building';

CREATE TABLE checkpoints (
  generation INTEGER NOT NULL,
  log INTEGER NOT NULL,
  part INTEGER NOT NULL,
  position INTEGER NOT NULL,
  store_id BLOB,
  event_id BLOB,
  epoch INTEGER NOT NULL,
  -- From where on the past is kept; 0 where all of it is.
  kept_from INTEGER NOT NULL DEFAULT 0,
  -- Why it stands still, JSON; NULL where it does not.
  failure TEXT,
  PRIMARY KEY (generation, log, part)
) STRICT, WITHOUT ROWID;

CREATE TABLE documents (
  number INTEGER PRIMARY KEY,
  generation INTEGER NOT NULL,
  tenant TEXT NOT NULL,
  key TEXT NOT NULL,
  log INTEGER NOT NULL,
  position INTEGER NOT NULL,
  version INTEGER NOT NULL,
  recorded_at INTEGER NOT NULL,
  occurred_at INTEGER NOT NULL,
  -- The positions folded in since the last kept version, as core encodes them.
  positions BLOB NOT NULL,
  -- NULL where the document was deleted.
  body TEXT
) STRICT;

CREATE UNIQUE INDEX documents_by_key ON documents (generation, tenant, key, log);

-- By what documents are found and sorted: values as core encodes them, so that their bytes compare as they do.
CREATE TABLE document_fields (
  generation INTEGER NOT NULL,
  tenant TEXT NOT NULL,
  key TEXT NOT NULL,
  log INTEGER NOT NULL,
  field TEXT NOT NULL,
  value BLOB NOT NULL,
  PRIMARY KEY (generation, tenant, key, log, field)
) STRICT, WITHOUT ROWID;

CREATE INDEX document_fields_by_value ON document_fields (generation, tenant, field, value, key, log);

-- Kept versions, packed: all that one commit keeps of one document lie in one row (more if they are large).
CREATE TABLE kept (
  number INTEGER PRIMARY KEY,
  generation INTEGER NOT NULL,
  tenant TEXT NOT NULL,
  key TEXT NOT NULL,
  log INTEGER NOT NULL,
  -- Of the first and of the last version in the row.
  first INTEGER NOT NULL,
  last INTEGER NOT NULL,
  versions BLOB NOT NULL
) STRICT;

CREATE INDEX kept_by_key ON kept (generation, tenant, key, log, first);

-- Rows of kept versions whose like is forgotten one day: once the past is kept from `first` on, or from later, what was kept
-- of the document before this row is needed by nobody. Only where a projection does not keep the past for ever.
CREATE TABLE fading (
  generation INTEGER NOT NULL,
  log INTEGER NOT NULL,
  first INTEGER NOT NULL,
  tenant TEXT NOT NULL,
  key TEXT NOT NULL,
  PRIMARY KEY (generation, log, first, tenant, key)
) STRICT, WITHOUT ROWID;

-- Who keeps which read model current. What nobody has is not here.
CREATE TABLE leases (
  name TEXT PRIMARY KEY,
  holder TEXT NOT NULL,
  counter INTEGER NOT NULL,
  since INTEGER NOT NULL,
  note TEXT NOT NULL
) STRICT, WITHOUT ROWID;
