-- The projections that have a generation.
SELECT DISTINCT projection FROM factum.generations WHERE state IN ('building', 'live', 'retired') ORDER BY projection
