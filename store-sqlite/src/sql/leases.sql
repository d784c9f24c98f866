-- No binds.
SELECT name, holder, counter, since, note FROM leases ORDER BY name
