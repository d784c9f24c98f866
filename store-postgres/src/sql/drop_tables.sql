-- Drops the tables of generations that are being dropped.
SELECT factum.drop_tables()
