-- No binds.
SELECT count(*) FROM sqlite_schema
