//! What is shown.

use std::fmt::Write;

use serde::Serialize;

use crate::Result;
use crate::goals::Goal;
use crate::work::Workload;

/// One workload on one store.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) store: &'static str,
    pub(crate) workload: String,
    /// Ours, in the round that counts: the one with the middle fraction.
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// The limit in that round.
    pub(crate) limit: f64,
    pub(crate) limit_name: &'static str,
    /// The limit on a bare table in that round.
    pub(crate) limit_bare: f64,
    /// `value / limit`: of a rate better where it is higher, of a time where it is lower.
    pub(crate) fraction: f64,
    /// The most memory that ours had, in any run.
    pub(crate) peak_bytes: Option<u64>,
    #[serde(skip)]
    pub(crate) goals: Vec<Goal>,
}

impl Row {
    /// A row without figures.
    pub(crate) fn of(workload: &Workload) -> Self {
        Self {
            store: workload.store.name(),
            workload: workload.name(),
            value: f64::NAN,
            unit: workload.unit(),
            limit: f64::NAN,
            limit_name: workload.limit_name(),
            limit_bare: f64::NAN,
            fraction: f64::NAN,
            peak_bytes: None,
            goals: crate::goals::of(workload),
        }
    }
}

/// The rows as a JSON array.
pub(crate) fn json(rows: &[Row]) -> Result<String> {
    Ok(serde_json::to_string_pretty(rows)? + "\n")
}

/// The rows for people.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{:<9}{:<24}{:>11} {:<15}{:>11}{:>11}{:>9}{:>9}  limit",
        "store", "workload", "ours", "", "limit", "bare", "fraction", "peak MiB"
    );
    for row in rows {
        let peak = row.peak_bytes.map_or_else(|| "-".to_owned(), |bytes| bytes.div_ceil(1 << 20).to_string());
        let _ = writeln!(
            out,
            "{:<9}{:<24}{:>11} {:<15}{:>11}{:>11}{:>9.2}{:>9}  {}",
            row.store,
            row.workload,
            figure(row.value),
            row.unit,
            figure(row.limit),
            figure(row.limit_bare),
            row.fraction,
            peak,
            row.limit_name
        );
    }
    out
}

/// A rate without decimals; a time of a few milliseconds with some.
fn figure(value: f64) -> String {
    if value < 100.0 { format!("{value:.3}") } else { format!("{value:.0}") }
}

/// Which goals hold, and which do not.
pub(crate) fn goals(rows: &[Row]) -> String {
    let mut out = String::new();
    for row in rows {
        for goal in &row.goals {
            let (sign, words) = match goal.judge(row, rows) {
                Some((true, words)) => ("ok", words),
                Some((false, words)) => ("MISSED", words),
                None => ("not judged", "what it compares with was not measured".to_owned()),
            };
            let _ = writeln!(out, "{:<9}{:<24}{words} {sign} ({})", row.store, row.workload, goal.because);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::{StoreKind, Work};

    fn row() -> Row {
        let workload =
            Workload { store: StoreKind::Sqlite, work: Work::Execute { tasks: 1, keyed: false }, delayed: false };
        let (value, limit, limit_bare, fraction) = (5_000.0, 6_000.0, 6_300.0, 0.83);
        Row { value, limit, limit_bare, fraction, peak_bytes: Some(10 << 20), ..Row::of(&workload) }
    }

    #[test]
    fn the_json_holds_these_fields_and_no_other() {
        let rows: serde_json::Value = serde_json::from_str(&json(&[row()]).unwrap()).unwrap();
        let mut fields: Vec<_> = rows[0].as_object().unwrap().keys().map(String::as_str).collect();
        fields.sort_unstable();
        let expected =
            ["fraction", "limit", "limit_bare", "limit_name", "peak_bytes", "store", "unit", "value", "workload"];
        assert_eq!(fields, expected);
        assert!(rows[0].as_object().unwrap().values().all(|value| !value.is_null()));
    }

    #[test]
    fn the_table_shows_ours_beside_its_limit() {
        let table = table(&[row(), Row { peak_bytes: None, ..row() }]);
        let line = table.lines().nth(1).unwrap();
        for word in ["execute-1", "sqlite", "5000", "6000", "6300", "0.83", "10", "single-row commits"] {
            assert!(line.contains(word), "{word} in {line}");
        }
        assert_eq!(table.lines().count(), 3);
    }

    #[test]
    fn a_goal_is_shown_with_whether_it_holds() {
        assert!(goals(&[row()]).contains("goal 0.7: 0.83 ok"));
        assert!(goals(&[Row { fraction: 0.5, ..row() }]).contains("goal 0.7: 0.50 MISSED"));
    }
}
