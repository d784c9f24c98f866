-- Appends one event to one stream, where its sender believes to know what is the last of the log and of the stream.
-- $1 stream, $2 tenant, $3 category, $4 version, $5 id, $6 type, $7 schema version, $8 occurred at, $9 tags, $10 metadata,
-- $11 payload, $12 position, $13 when the last event of the log was recorded
SELECT factum.append_next($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
