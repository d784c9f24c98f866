-- Takes rows in the binary format.
COPY factum.events (
  position, version, recorded_at, occurred_at, id, schema_version, tenant, category, stream, event_type, tags, metadata, payload
) FROM STDIN WITH (FORMAT binary)
