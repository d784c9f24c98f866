-- The number of the live generation of a version.
-- $1 projection, $2 version
SELECT generation FROM factum.generations WHERE projection = $1 AND version = $2 AND state = 'live'
