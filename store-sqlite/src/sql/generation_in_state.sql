-- ?1 projection, ?2 version, ?3 state: for live and building there is at most one
SELECT id, generation FROM generations WHERE projection = ?1 AND version = ?2 AND state = ?3
