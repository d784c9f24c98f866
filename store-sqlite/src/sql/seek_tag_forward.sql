-- ?1 tag, ?2 position at which to begin
SELECT position FROM tags WHERE tag = ?1 AND position >= ?2 ORDER BY position ASC LIMIT 1
