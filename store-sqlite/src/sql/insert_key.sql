-- ?1 tenant, ?2 key, ?3 fingerprint, ?4 recorded_at, ?5 first position, ?6 last position, ?7 refusal.
-- What is replaced is a key whose time has passed.
INSERT OR REPLACE INTO keys (tenant, key, fingerprint, recorded_at, first, last, refusal)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
