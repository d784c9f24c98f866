-- Files made before projections had tables of their own get this table when they are opened for writing.
-- The tables of the generations of projections into tables, by their plain names. In the live generation a table has
-- that name; in others it has that of its generation too, such as balances__g2.
CREATE TABLE IF NOT EXISTS projected_tables (
  generation INTEGER NOT NULL,
  name TEXT NOT NULL,
  PRIMARY KEY (generation, name)
) STRICT, WITHOUT ROWID
