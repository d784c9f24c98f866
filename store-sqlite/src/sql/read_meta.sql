-- No binds.
SELECT store_id, min_reader, min_writer FROM meta WHERE one = 1
