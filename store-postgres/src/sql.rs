//! The statements: one in each file of `sql/`, with the schema of the store put in its place.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, SqlSafeStr as _, SqlStr};

/// The name of the schema that holds a store, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Schema {
    name: String,
}

/// The longest name that PostgreSQL takes without cutting it.
pub(crate) const MAX_IDENTIFIER: usize = 63;

impl Schema {
    /// `None` where it is empty, holds a NUL, is longer than 63 bytes, or is one of the database's own.
    pub(crate) fn new(name: &str) -> Option<Self> {
        let own = name.starts_with("pg_") || name == "information_schema";
        let fits = !name.is_empty() && name.len() <= MAX_IDENTIFIER && !name.contains('\0');
        (fits && !own).then(|| Self { name: name.to_owned() })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// As an identifier in a statement.
    pub(crate) fn quoted(&self) -> String {
        quote(&self.name)
    }

    /// The number of the order lock of the log in this schema: the same in every process, and hardly one that a user of
    /// advisory locks takes by chance.
    pub(crate) fn order_lock(&self) -> i64 {
        self.lock("order lock of")
    }

    /// The number of the lock that whoever listens holds.
    fn listeners_lock(&self) -> i64 {
        self.lock("listeners of")
    }

    fn lock(&self, what: &str) -> i64 {
        let name = format!("factum {what} {}", self.name);
        let digest = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, name.as_bytes()).as_u64_pair().0;
        i64::from_be_bytes(digest.to_be_bytes())
    }

    /// A statement of a file: without the comment at its top, and with this schema in the place of `factum.` and `:schema`.
    pub(crate) fn put_into(&self, text: &str) -> String {
        let start = text.lines().take_while(|line| line.starts_with("--")).map(|line| line.len() + 1).sum::<usize>();
        fill(text.get(start..).unwrap_or(text).trim(), &self.places())
    }

    /// What stands for this schema in the files, and what is put there.
    pub(crate) fn places(&self) -> Vec<(&'static str, String)> {
        vec![
            ("factum.", format!("{}.", self.quoted())),
            (":schema", self.quoted()),
            (":lock", self.order_lock().to_string()),
            (":listeners", self.listeners_lock().to_string()),
            (BODY, self.body()),
        ]
    }

    /// What stands around the bodies of functions: nothing that the schema's name holds could end one.
    fn body(&self) -> String {
        let longer = |n: usize| format!("$function{}$", "_".repeat(n));
        (0..=MAX_IDENTIFIER)
            .map(longer)
            .find(|mark| !self.name.contains(mark.as_str()))
            .unwrap_or_else(|| BODY.to_owned())
    }
}

/// What stands around the body of a function in the files.
const BODY: &str = "$function$";

/// An identifier, quoted.
pub(crate) fn quote(identifier: &str) -> String {
    format!("\"{}\"", identifier.replace('"', "\"\""))
}

/// A text with each place filled, in one walk: what is put in is never looked at again, whatever it is called. Comments are left
/// as they are: a name that holds the end of a line would leave them.
pub(crate) fn fill(text: &str, places: &[(&str, String)]) -> String {
    let mut filled = String::with_capacity(2 * text.len());
    for line in text.split_inclusive('\n') {
        let (mut rest, comment) = line.split_at(line.find("--").unwrap_or(line.len()));
        while !rest.is_empty() {
            if let Some((place, name)) = places.iter().find(|(place, _)| rest.starts_with(place)) {
                filled.push_str(name);
                rest = rest.get(place.len()..).unwrap_or_default();
            } else {
                let mut characters = rest.chars();
                filled.extend(characters.next());
                rest = characters.as_str();
            }
        }
        filled.push_str(comment);
    }
    filled
}

macro_rules! statements {
    ($($name:ident),* $(,)?) => {
        /// Every statement of the store, ready to be sent.
        #[derive(Debug)]
        pub(crate) struct Statements {
            $(pub(crate) $name: SqlStr,)*
        }

        impl Statements {
            pub(crate) fn new(schema: &Schema) -> Self {
                Self {
                    $($name: shared(schema.put_into(include_str!(concat!("sql/", stringify!($name), ".sql")))),)*
                }
            }
        }
    };
}

// The texts come from files of this crate; the one thing put into them is a quoted identifier.
fn shared(text: String) -> SqlStr {
    AssertSqlSafe(Arc::<str>::from(text)).into_sql_str()
}

statements! {
    append_group,
    append_known,
    append_next,
    append_next_new,
    append_next_run,
    append_next_sure,
    append_next_tagged,
    append_one,
    append_plain,
    append_run,
    backend,
    bound_silence,
    change_shard,
    checkpoint,
    commit_page,
    copied_tags,
    copy_events,
    count_documents,
    drop_tables,
    end_backend,
    event_at,
    drop_expired,
    exchange_tables,
    field_values,
    find_documents,
    find_events,
    find_grants,
    find_key,
    find_server,
    find_sessions,
    fixed_index,
    forget_checkpoints,
    forget_keys,
    generations,
    get_documents,
    head,
    history,
    hold_checkpoints,
    hold_generations,
    hold_tables,
    in_transaction,
    insert_generation,
    insert_table,
    judge,
    leases,
    list_documents,
    listen,
    live_generation,
    load_documents,
    look_at_table,
    made_generation,
    move_held,
    newest_snapshot,
    next_tenant,
    notify,
    payloads,
    projections,
    prune_snapshots,
    raise_every_epoch,
    read_categories_backward,
    read_categories_forward,
    read_categories_of_tenant_backward,
    read_categories_of_tenant_forward,
    read_category_backward,
    read_category_forward,
    read_log_backward,
    read_log_forward,
    read_positions,
    read_stream_backward,
    read_stream_forward,
    read_tags_backward,
    read_tags_forward,
    release_lease,
    remember,
    renew_leases,
    save_snapshot,
    scan_log_backward,
    scan_log_forward,
    reopen_generation,
    set_generation_state,
    set_tables_aside,
    settle,
    stray_fields,
    sweep,
    tables_of,
    take_lease,
    take_over_shard,
    written,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_quoted_wherever_it_stands() {
        let schema = Schema::new("my \"shop\"").unwrap();
        let put = schema.put_into("-- What it is for.\n-- $1: a number\nSELECT factum.f($1), :lock\n");
        assert_eq!(put, format!("SELECT \"my \"\"shop\"\"\".f($1), {}", schema.order_lock()));
    }

    #[test]
    fn what_is_put_into_a_place_is_not_taken_for_a_place() {
        let names = [(":owner", quote("a:writer\"factum.")), (":writer", quote("w")), ("factum.", "\"s\".".to_owned())];
        assert_eq!(
            fill("GRANT x ON factum.t TO :owner, :writer", &names),
            r#"GRANT x ON "s".t TO "a:writer""factum.", "w""#
        );
        let schema = Schema::new("a:lock").unwrap();
        assert_eq!(schema.put_into("SELECT factum.f(:lock)"), format!("SELECT \"a:lock\".f({})", schema.order_lock()));
    }

    /// The name of a schema ended the bodies of functions, and comments, and what followed in it was run as SQL.
    #[test]
    fn no_name_ends_the_body_of_a_function_or_a_comment() {
        let body = |name: &str| Schema::new(name).unwrap().put_into("AS $function$ factum.f -- factum.\n$function$");
        assert_eq!(body("a$function$b"), "AS $function_$ \"a$function$b\".f -- factum.\n$function_$");
        assert_eq!(body("a\nb"), "AS $function$ \"a\nb\".f -- factum.\n$function$");
    }

    #[test]
    fn names_that_would_be_cut_or_are_not_ours_are_refused() {
        for name in ["", "pg_catalog", "information_schema", "a\0b", &"x".repeat(64)] {
            assert_eq!(Schema::new(name), None, "{name:?}");
        }
        assert!(Schema::new(&"x".repeat(63)).is_some());
    }

    #[test]
    fn two_schemas_have_two_order_locks() {
        assert_ne!(Schema::new("a").unwrap().order_lock(), Schema::new("b").unwrap().order_lock());
    }
}
