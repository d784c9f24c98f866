-- What kind of store this is.
SELECT store_id, min_reader, min_writer, (SELECT max(number) FROM factum.migrations) AS number FROM factum.meta
