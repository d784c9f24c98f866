-- ?1 generation
SELECT fields FROM generations WHERE id = ?1
