-- ?1 the position after which to look, ?2 the last position: where a page that found nothing more has looked to
SELECT position, id FROM events WHERE position > ?1 AND position <= ?2 ORDER BY position DESC LIMIT 1
