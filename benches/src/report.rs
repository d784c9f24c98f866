//! What is shown.

use std::fmt::Write;

use serde::Serialize;

use crate::Result;

/// One workload on one store.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) store: &'static str,
    pub(crate) workload: &'static str,
    /// The median of ours.
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// The median of the limit.
    pub(crate) limit: f64,
    pub(crate) limit_name: &'static str,
    /// The median of the limit on a bare table.
    pub(crate) limit_bare: f64,
    /// `value / limit`.
    pub(crate) fraction: f64,
    /// The fraction that it shall reach, where one is set.
    pub(crate) goal: Option<f64>,
    /// The most memory that ours had, in any run.
    pub(crate) peak_bytes: Option<u64>,
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
        "{:<16}{:<10}{:>12} {:<16}{:>12}{:>12}{:>10}{:>7}{:>10}  limit is",
        "workload", "store", "ours", "unit", "limit", "bare", "fraction", "goal", "peak MiB"
    );
    for row in rows {
        let goal = row.goal.map_or_else(|| "-".to_owned(), |goal| format!("{goal:.2}"));
        let peak = row.peak_bytes.map_or_else(|| "-".to_owned(), |bytes| format!("{}", bytes.div_ceil(1 << 20)));
        let _ = writeln!(
            out,
            "{:<16}{:<10}{:>12.0} {:<16}{:>12.0}{:>12.0}{:>10.2}{:>7}{:>10}  {}",
            row.workload,
            row.store,
            row.value,
            row.unit,
            row.limit,
            row.limit_bare,
            row.fraction,
            goal,
            peak,
            row.limit_name
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> Row {
        Row {
            store: "sqlite",
            workload: "import",
            value: 9_000.0,
            unit: "transactions/s",
            limit: 6_000.0,
            limit_name: "single-row commits",
            limit_bare: 6_300.0,
            fraction: 1.5,
            goal: Some(1.5),
            peak_bytes: Some(10 << 20),
        }
    }

    #[test]
    fn the_json_holds_every_field() {
        let rows: serde_json::Value = serde_json::from_str(&json(&[row()]).unwrap()).unwrap();
        for field in
            ["store", "workload", "value", "unit", "limit", "limit_name", "limit_bare", "fraction", "peak_bytes"]
        {
            assert!(!rows[0][field].is_null(), "{field}");
        }
    }

    #[test]
    fn the_table_shows_ours_beside_its_limit() {
        let table = table(&[row(), Row { peak_bytes: None, goal: None, ..row() }]);
        let line = table.lines().nth(1).unwrap();
        for word in ["import", "sqlite", "9000", "6000", "6300", "1.50", "10", "single-row commits"] {
            assert!(line.contains(word), "{word} in {line}");
        }
        assert_eq!(table.lines().count(), 3);
    }
}
