-- $1 id of a generation, $2 the plain name of a table of it, $3 the schema that it lies in
INSERT INTO factum.projected_tables (generation, name, place) VALUES ($1, $2, $3)
