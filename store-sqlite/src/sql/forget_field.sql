-- ?1 generation, ?2 tenant, ?3 key, ?4 log, ?5 field
DELETE FROM document_fields WHERE generation = ?1 AND tenant = ?2 AND key = ?3 AND log = ?4 AND field = ?5
