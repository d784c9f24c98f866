-- The schema and the list of what was done in it.
CREATE SCHEMA IF NOT EXISTS :schema;

CREATE TABLE factum.migrations (
  number integer PRIMARY KEY,
  name text NOT NULL,
  applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
