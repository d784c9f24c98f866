-- ?1 holder
UPDATE leases SET counter = counter + 1 WHERE holder = ?1
