-- ?1 generation
SELECT name FROM projected_tables WHERE generation = ?1 ORDER BY name
