-- Begins a generation, unless somebody else has. No number is given twice: dropped generations are counted too.
-- $1 projection, $2 version, $3 state, $4 fields
INSERT INTO factum.generations (projection, generation, version, state, created_at, fields)
SELECT $1, 1 + coalesce(max(n.generation), 0), $2, $3, clock_timestamp(), $4
FROM factum.generations n WHERE n.projection = $1
ON CONFLICT DO NOTHING
