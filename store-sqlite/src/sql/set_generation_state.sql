-- ?1 generation, ?2 state, ?3 until when it is kept
UPDATE generations SET state = ?2, kept_until = ?3 WHERE id = ?1
