-- ?1 holder
SELECT name, holder, counter, since, note FROM leases WHERE holder = ?1 ORDER BY name
