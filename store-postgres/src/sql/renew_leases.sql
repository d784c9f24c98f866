-- $1 holder
UPDATE factum.leases SET counter = counter + 1 WHERE holder = $1 RETURNING name, holder, counter, since, note
