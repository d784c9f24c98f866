-- ?1 name, ?2 holder, ?3 counter
DELETE FROM leases WHERE name = ?1 AND holder = ?2 AND counter = ?3
