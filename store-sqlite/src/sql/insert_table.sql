-- ?1 generation, ?2 the name of a table of it
INSERT INTO projected_tables (generation, name) VALUES (?1, ?2)
