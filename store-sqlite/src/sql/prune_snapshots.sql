-- ?1 stream, ?2 tenant, ?3 schema version, ?4 how many to keep
DELETE FROM snapshots
WHERE number IN (SELECT number FROM snapshots WHERE stream = ?1 AND tenant = ?2 AND schema_version = ?3
                 ORDER BY version DESC LIMIT -1 OFFSET ?4)
