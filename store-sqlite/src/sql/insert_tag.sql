-- ?1 tag, ?2 position
INSERT INTO tags (tag, position) VALUES (?1, ?2)
