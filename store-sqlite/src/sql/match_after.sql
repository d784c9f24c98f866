-- ?1 the position after which to begin: what a query condition needs to see of an event
SELECT position, tenant, stream, event_type, tags FROM events WHERE position > ?1 ORDER BY position
