-- $1 id of a generation
SELECT factum.set_tables_aside($1)
