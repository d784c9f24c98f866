-- ?1 store id, ?2 created_at
INSERT INTO meta (one, store_id, created_at) VALUES (1, ?1, ?2)
