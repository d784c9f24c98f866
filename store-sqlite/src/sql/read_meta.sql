-- No binds.
SELECT store_id FROM meta WHERE one = 1
