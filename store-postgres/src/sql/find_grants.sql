-- What the role that asks needs, for what, and whether it has it.
-- $1 the schema
WITH tables (purpose, name, privileges) AS (VALUES
  ('read', 'meta', 'SELECT'), ('read', 'migrations', 'SELECT'), ('read', 'events', 'SELECT'), ('read', 'tags', 'SELECT'),
  ('read', 'keys', 'SELECT'), ('read', 'snapshots', 'SELECT'),
  ('append', 'events', 'INSERT'), ('append', 'tags', 'INSERT'), ('append', 'keys', 'INSERT UPDATE DELETE'),
  ('append', 'snapshots', 'INSERT UPDATE DELETE'),
  ('project', 'generations', 'SELECT INSERT UPDATE'), ('project', 'checkpoints', 'SELECT INSERT UPDATE DELETE'),
  ('project', 'documents', 'SELECT INSERT UPDATE DELETE'), ('project', 'document_fields', 'SELECT INSERT UPDATE DELETE'),
  ('project', 'kept', 'SELECT INSERT DELETE'), ('project', 'fading', 'SELECT INSERT DELETE'),
  ('project', 'projected_tables', 'SELECT INSERT DELETE'), ('project', 'leases', 'SELECT INSERT UPDATE DELETE')
), functions (purpose, name) AS (VALUES
  ('read', 'walk_tags_forward'), ('read', 'walk_tags_backward'),
  ('append', 'append_one'), ('append', 'append_run'), ('append', 'append_group'), ('append', 'append_known'),
  ('append', 'append_plain'), ('append', 'judge'), ('append', 'find_match'),
  ('append', 'last_version'), ('append', 'remember'), ('append', 'require_settings'),
  ('project', 'find_generation'), ('project', 'commit_page'), ('project', 'forget_versions'), ('project', 'hold_shard'),
  ('project', 'change_shard'), ('project', 'meets'), ('project', 'value_of'), ('project', 'walk_fields'),
  ('project', 'count_fields'), ('project', 'stray_fields'), ('project', 'take_lease'), ('project', 'take_over_shard'),
  ('project', 'aside'), ('project', 'hold_tables'), ('project', 'bound_tables'), ('project', 'exchange_tables'),
  ('project', 'set_tables_aside'), ('project', 'grant_alike'), ('project', 'drop_tables')
), schemas AS (
  SELECT n.oid, has_schema_privilege(n.oid, 'USAGE') AS usable FROM pg_namespace n WHERE n.nspname = $1::text
)
SELECT 'read' AS purpose, format('USAGE ON SCHEMA %I', $1::text) AS grant, s.usable AS granted FROM schemas s
UNION ALL
SELECT t.purpose, format('%s ON %I.%I', p.privilege, $1::text, t.name), has_table_privilege(c.oid, p.privilege)
FROM tables t CROSS JOIN LATERAL unnest(string_to_array(t.privileges, ' ')) AS p(privilege)
JOIN pg_class c ON c.relname = t.name AND c.relnamespace = (SELECT s.oid FROM schemas s)
UNION ALL
SELECT f.purpose, format('EXECUTE ON FUNCTION %I.%I', $1::text, f.name), has_function_privilege(c.oid, 'EXECUTE')
FROM functions f JOIN pg_proc c ON c.proname = f.name AND c.pronamespace = (SELECT s.oid FROM schemas s)
