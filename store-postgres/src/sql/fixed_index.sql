-- The indexes of a table whose names do not tell its generation: the next generation could not make them.
-- $1 schema, $2 the name of the table, $3 what names end with
SELECT i.relname::text FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
WHERE x.indrelid = to_regclass(format('%I.%I', $1, $2)) AND position($3 in i.relname::text) = 0
