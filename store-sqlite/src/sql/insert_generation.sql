-- ?1 projection, ?2 version, ?3 state, ?4 created_at, ?5 fields. No number is given twice: dropped generations are counted
-- too.
INSERT INTO generations (projection, generation, version, state, created_at, fields)
VALUES (?1, (SELECT 1 + coalesce(max(generation), 0) FROM generations WHERE projection = ?1), ?2, ?3, ?4, ?5)
