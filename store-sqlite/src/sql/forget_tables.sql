-- ?1 generation
DELETE FROM projected_tables WHERE generation = ?1
