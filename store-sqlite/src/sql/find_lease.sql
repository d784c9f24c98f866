-- ?1 name
SELECT name, holder, counter, since, note FROM leases WHERE name = ?1
