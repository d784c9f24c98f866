-- ?1 generation, ?2 tenant, ?3 key, ?4 log, ?5 position of the first version, ?6 of the last, ?7 the versions, packed
INSERT INTO kept (generation, tenant, key, log, first, last, versions) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
