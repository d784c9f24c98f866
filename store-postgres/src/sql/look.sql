-- What kind of store this is, and whether its server is a standby.
SELECT store_id, min_reader, min_writer, (SELECT max(number) FROM factum.migrations) AS number, pg_is_in_recovery()
FROM factum.meta
