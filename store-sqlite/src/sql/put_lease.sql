-- ?1 name, ?2 holder, ?3 counter, ?4 since, ?5 note
INSERT INTO leases (name, holder, counter, since, note) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (name) DO UPDATE SET
  holder = excluded.holder, counter = excluded.counter, note = excluded.note,
  since = CASE WHEN holder = excluded.holder THEN since ELSE excluded.since END
