-- ?1 projection
SELECT id, generation, version, state, created_at, kept_until, fields FROM generations
WHERE projection = ?1 AND state NOT IN ('dropping', 'dropped') ORDER BY generation
