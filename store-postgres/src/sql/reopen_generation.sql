-- $1 id
UPDATE factum.generations SET state = 'building', reopened = true, kept_until = NULL WHERE id = $1
