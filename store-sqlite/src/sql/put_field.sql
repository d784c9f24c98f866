-- ?1 generation, ?2 tenant, ?3 key, ?4 log, ?5 field, ?6 value
INSERT INTO document_fields (generation, tenant, key, log, field, value) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (generation, tenant, key, log, field) DO UPDATE SET value = excluded.value WHERE value <> excluded.value
