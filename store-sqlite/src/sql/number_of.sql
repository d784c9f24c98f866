-- ?1 generation, by its id
SELECT generation FROM generations WHERE id = ?1
