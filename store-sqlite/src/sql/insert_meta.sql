-- ?1 store id, ?2 min_reader, ?3 min_writer, ?4 created_at
INSERT INTO meta (one, store_id, min_reader, min_writer, created_at) VALUES (1, ?1, ?2, ?3, ?4)
