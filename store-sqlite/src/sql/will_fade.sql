-- ?1 generation, ?2 log, ?3 position of the first version of a row, ?4 tenant, ?5 key
INSERT INTO fading (generation, log, first, tenant, key) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING
