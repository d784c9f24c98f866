-- Appends several events to one stream.
-- $1 stream, $2 tenant, $3 category, $4 condition, and of each event: $5 id, $6 type, $7 schema version, $8 occurred at, $9 tags,
-- $10 metadata, $11 payload
SELECT factum.append_run($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
