-- Deletes some rows of a dropped generation that nobody else is sweeping, and says how many; no row where there is none.
-- $1 how many rows of each table at most
WITH g AS MATERIALIZED (
  SELECT id FROM factum.generations WHERE state = 'dropping' ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
), k AS (
  DELETE FROM factum.kept WHERE ctid = ANY (ARRAY(
    SELECT v.ctid FROM factum.kept v WHERE v.generation = (SELECT id FROM g) LIMIT $1
  )) RETURNING 1
), d AS (
  DELETE FROM factum.documents WHERE ctid = ANY (ARRAY(
    SELECT v.ctid FROM factum.documents v WHERE v.generation = (SELECT id FROM g) LIMIT $1
  )) RETURNING 1
), f AS (
  DELETE FROM factum.document_fields WHERE ctid = ANY (ARRAY(
    SELECT v.ctid FROM factum.document_fields v WHERE v.generation = (SELECT id FROM g) LIMIT $1
  )) RETURNING 1
), q AS (
  DELETE FROM factum.fading WHERE ctid = ANY (ARRAY(
    SELECT v.ctid FROM factum.fading v WHERE v.generation = (SELECT id FROM g) LIMIT $1
  )) RETURNING 1
), n AS (
  SELECT (SELECT count(*) FROM k) + (SELECT count(*) FROM d) + (SELECT count(*) FROM f) + (SELECT count(*) FROM q) AS deleted
), done AS (
  UPDATE factum.generations SET state = 'dropped' WHERE id = (SELECT id FROM g) AND (SELECT deleted FROM n) = 0
)
SELECT n.deleted FROM g, n
