-- ?1 the position before which to look: where a backward page that found nothing more has looked to
SELECT position, id FROM events WHERE position < ?1 ORDER BY position LIMIT 1
