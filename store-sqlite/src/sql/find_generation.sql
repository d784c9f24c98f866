-- ?1 projection, ?2 generation
SELECT id, version, state FROM generations
WHERE projection = ?1 AND generation = ?2 AND state NOT IN ('dropping', 'dropped')
