-- What each role may do, and nobody else: what was granted before is taken back first.
-- `factum.` and `:schema` stand for the schema, `:owner` and so on for the names of the roles.
--
-- Functions run with the rights of whoever calls them, so that a grant on a function gives nothing that a grant on its tables
-- does not.
REVOKE ALL ON SCHEMA :schema FROM PUBLIC, :writer, :projector, :reader;
REVOKE ALL ON ALL TABLES IN SCHEMA :schema FROM PUBLIC, :writer, :projector, :reader;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA :schema FROM PUBLIC, :writer, :projector, :reader;
REVOKE ALL ON ALL ROUTINES IN SCHEMA :schema FROM PUBLIC, :writer, :projector, :reader;
ALTER DEFAULT PRIVILEGES FOR ROLE :owner REVOKE EXECUTE ON ROUTINES FROM PUBLIC;
GRANT USAGE ON SCHEMA :schema TO :writer, :projector, :reader;

-- Everybody knows which store this is and reads the log, by tags too.
GRANT SELECT ON factum.meta, factum.migrations, factum.events, factum.tags, factum.keys, factum.snapshots
  TO :writer, :projector, :reader;
GRANT EXECUTE ON FUNCTION factum.walk_tags_forward, factum.walk_tags_backward TO :writer, :projector, :reader;

-- A writer adds to the log. It gives a key whose time has passed a new outcome, or deletes it.
GRANT INSERT ON factum.events, factum.tags TO :writer;
GRANT INSERT, UPDATE, DELETE ON factum.keys, factum.snapshots TO :writer;
GRANT EXECUTE ON FUNCTION
  factum.append_one, factum.append_run, factum.append_group, factum.append_known, factum.append_plain, factum.judge,
  factum.find_match, factum.last_version, factum.remember, factum.require_settings
  TO :writer;

-- Read models are read by readers, and by projectors, who write them. A dropped generation stays as a row.
GRANT SELECT ON factum.generations, factum.checkpoints, factum.documents, factum.document_fields, factum.kept,
  factum.fading, factum.projected_tables, factum.leases
  TO :projector, :reader;
GRANT EXECUTE ON FUNCTION
  factum.find_generation, factum.aside, factum.meets, factum.value_of, factum.walk_fields, factum.count_fields,
  factum.stray_fields
  TO :projector, :reader;
GRANT INSERT, UPDATE ON factum.generations TO :projector;
GRANT INSERT, UPDATE, DELETE ON factum.checkpoints, factum.documents, factum.document_fields, factum.leases TO :projector;
GRANT INSERT, DELETE ON factum.kept, factum.fading, factum.projected_tables TO :projector;
GRANT EXECUTE ON FUNCTION
  factum.commit_page, factum.forget_versions, factum.hold_shard, factum.change_shard, factum.hold_tables, factum.bound_tables,
  factum.exchange_tables, factum.set_tables_aside, factum.grant_alike, factum.drop_tables, factum.take_lease,
  factum.take_over_shard
  TO :projector;
