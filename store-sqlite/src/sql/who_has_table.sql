-- ?1 name: the live generation whose table that is
SELECT g.projection, g.version FROM projected_tables t JOIN generations g ON g.id = t.generation
WHERE t.name = ?1 AND g.state = 'live'
