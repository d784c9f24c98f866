-- ?1 position: what a query condition needs to see of an event
SELECT position, tenant, stream, event_type, tags FROM events WHERE position = ?1
