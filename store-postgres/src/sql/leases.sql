-- No binds.
SELECT name, holder, counter, since, note FROM factum.leases ORDER BY name
