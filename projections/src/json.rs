//! JSON as it is written, and where two values differ.

use std::collections::BTreeMap;
use std::fmt;

use serde::ser::{Error, SerializeMap};
use serde::{Serialize, Serializer};

/// A JSON value whose numbers are as they are written: none is rounded on the way to whoever compares or shows it.
///
/// ```
/// use factum_projections::Json;
///
/// let balance = Json::parse(r#"{"cents": 170141183460469231731687303715884105727, "owner": "Jana"}"#).unwrap();
/// assert_eq!(balance.to_string(), r#"{"cents":170141183460469231731687303715884105727,"owner":"Jana"}"#);
/// assert_eq!(Json::parse("{"), None);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number, as it is written.
    Number(String),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// Fields by name.
    Object(BTreeMap<String, Json>),
}

/// A field in which two values differ. What is absent on one side is `None` there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FieldDifference {
    /// Where it is, as a JSON path: `$` is the whole value, `$.lines[2].cents` a field in it.
    pub path: String,
    /// What it is in the first.
    pub expected: Option<Json>,
    /// What it is in the second.
    pub found: Option<Json>,
}

/// As deep as serde_json reads.
const DEPTH: usize = 128;

impl Json {
    /// Reads a value; `None` where the text is not JSON, or is nested deeper than 128.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text;
        let value = parse(&mut rest, DEPTH)?;
        rest.trim_matches(SPACE).is_empty().then_some(value)
    }

    /// Where two values differ, field by field, at most so many; `None` is a value that is absent.
    ///
    /// ```
    /// use factum_projections::Json;
    ///
    /// let [then, now] = [r#"{"cents": 5, "owner": "Jana"}"#, r#"{"cents": 7, "owner": "Jana"}"#]
    ///     .map(|text| Json::parse(text).unwrap());
    /// let differences = Json::diff(Some(&then), Some(&now), 10);
    /// assert_eq!(differences.len(), 1);
    /// assert_eq!(differences[0].path, "$.cents");
    /// assert!(Json::diff(Some(&now), Some(&now), 10).is_empty());
    /// ```
    pub fn diff(first: Option<&Self>, second: Option<&Self>, limit: usize) -> Vec<FieldDifference> {
        let mut found = Vec::new();
        diff(first, second, &mut "$".to_owned(), &mut found, limit);
        found
    }
}

const SPACE: [char; 4] = [' ', '\t', '\n', '\r'];

fn parse(rest: &mut &str, depth: usize) -> Option<Json> {
    let depth = depth.checked_sub(1)?;
    *rest = rest.trim_start_matches(SPACE);
    match rest.chars().next()? {
        '{' => object(rest, depth),
        '[' => list(rest, depth),
        '"' => text(rest).map(Json::Text),
        'n' => word(rest, "null", Json::Null),
        't' => word(rest, "true", Json::Bool(true)),
        'f' => word(rest, "false", Json::Bool(false)),
        _ => number(rest),
    }
}

fn word(rest: &mut &str, word: &str, value: Json) -> Option<Json> {
    *rest = rest.strip_prefix(word)?;
    Some(value)
}

fn number(rest: &mut &str) -> Option<Json> {
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && !"+-.".contains(c)).unwrap_or(rest.len());
    let (number, after) = rest.split_at(end);
    // What is a number is serde_json's to say.
    serde_json::from_str::<serde_json::Number>(number).ok()?;
    *rest = after;
    Some(Json::Number(number.to_owned()))
}

fn text(rest: &mut &str) -> Option<String> {
    let mut escaped = false;
    let end = rest.char_indices().skip(1).find(|(_, c)| {
        let closes = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        closes
    });
    let (text, after) = rest.split_at(end?.0 + 1);
    *rest = after;
    serde_json::from_str(text).ok()
}

fn object(rest: &mut &str, depth: usize) -> Option<Json> {
    let mut fields = BTreeMap::new();
    items(rest, '{', '}', |rest| {
        *rest = rest.trim_start_matches(SPACE);
        if !rest.starts_with('"') {
            return None;
        }
        let name = text(rest)?;
        *rest = rest.trim_start_matches(SPACE).strip_prefix(':')?;
        fields.insert(name, parse(rest, depth)?);
        Some(())
    })?;
    Some(Json::Object(fields))
}

fn list(rest: &mut &str, depth: usize) -> Option<Json> {
    let mut items_of = Vec::new();
    items(rest, '[', ']', |rest| {
        items_of.push(parse(rest, depth)?);
        Some(())
    })?;
    Some(Json::List(items_of))
}

/// What stands between two brackets, separated by commas.
fn items(rest: &mut &str, open: char, close: char, mut item: impl FnMut(&mut &str) -> Option<()>) -> Option<()> {
    *rest = rest.strip_prefix(open)?.trim_start_matches(SPACE);
    if let Some(after) = rest.strip_prefix(close) {
        *rest = after;
        return Some(());
    }
    loop {
        item(rest)?;
        *rest = rest.trim_start_matches(SPACE);
        if let Some(after) = rest.strip_prefix(close) {
            *rest = after;
            return Some(());
        }
        *rest = rest.strip_prefix(',')?;
    }
}

fn diff(
    expected: Option<&Json>,
    found: Option<&Json>,
    path: &mut String,
    differences: &mut Vec<FieldDifference>,
    limit: usize,
) {
    if differences.len() >= limit {
        return;
    }
    let len = path.len();
    match (expected, found) {
        (Some(Json::Object(a)), Some(Json::Object(b))) => {
            for name in a.keys().chain(b.keys().filter(|name| !a.contains_key(*name))) {
                push_name(path, name);
                diff(a.get(name), b.get(name), path, differences, limit);
                path.truncate(len);
            }
        }
        (Some(Json::List(a)), Some(Json::List(b))) => {
            for n in 0..a.len().max(b.len()) {
                path.push_str(&format!("[{n}]"));
                diff(a.get(n), b.get(n), path, differences, limit);
                path.truncate(len);
            }
        }
        (Some(Json::Number(a)), Some(Json::Number(b))) if same_number(a, b) => {}
        (expected, found) if expected == found => {}
        (expected, found) => {
            let (expected, found) = (expected.cloned(), found.cloned());
            differences.push(FieldDifference { path: path.clone(), expected, found });
        }
    }
}

/// Integers are compared digit by digit; what has a fraction or an exponent may be written in several ways.
fn same_number(a: &str, b: &str) -> bool {
    let is_whole = |text: &str| !text.contains(['.', 'e', 'E']);
    a == b || (!(is_whole(a) && is_whole(b)) && a.parse::<f64>().ok() == b.parse::<f64>().ok())
}

fn push_name(path: &mut String, name: &str) {
    let plain = |c: char| c.is_alphanumeric() || c == '_';
    if !name.is_empty() && name.chars().all(plain) {
        path.push('.');
        path.push_str(name);
    } else {
        path.push_str(&format!("[{}]", Json::Text(name.to_owned())));
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(number) => {
                if let Ok(number) = number.parse() {
                    serializer.serialize_i128(number)
                } else if let Ok(number) = number.parse() {
                    serializer.serialize_u128(number)
                } else {
                    serializer.serialize_f64(number.parse().map_err(S::Error::custom)?)
                }
            }
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(items) => serializer.collect_seq(items),
            Self::Object(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                for (name, value) in fields {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

/// In one line, as JSON.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 40, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::btree_map(".*", inner, 0..5)
                    .prop_map(|fields| fields.into_iter().collect::<Value>()),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_serde_json_writes_is_read_and_written_the_same(value in values()) {
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                let json = Json::parse(&text).unwrap();
                prop_assert_eq!(&serde_json::from_str::<Value>(&json.to_string()).unwrap(), &value);
            }
        }

        #[test]
        fn two_values_differ_in_no_field_if_and_only_if_they_are_equal(a in values(), b in values()) {
            let [x, y] = [&a, &b].map(|value| Json::parse(&value.to_string()).unwrap());
            prop_assert_eq!(Json::diff(Some(&x), Some(&y), 100).is_empty(), x == y);
            prop_assert!(Json::diff(Some(&x), Some(&x), 100).is_empty());
        }

        #[test]
        fn no_text_makes_it_panic_and_what_is_no_json_is_not_taken(text in "[\\[\\]{},:\"\\\\ a0-9.eE+nul-]{0,30}") {
            let ours = Json::parse(&text).is_some();
            prop_assert_eq!(ours, serde_json::from_str::<Value>(&text).is_ok(), "{}", text);
        }
    }

    #[test]
    fn each_field_that_differs_is_named_with_both_values() {
        let a = json!({"a": 1, "b": {"c d": [1, 2, {"e": null}]}, "gone": "x", "same": [1.5]});
        let b = json!({"a": 2, "b": {"c d": [1, 3, {"e": false}, 4]}, "new": 0, "same": [1.5]});
        let [a, b] = [a, b].map(|value| Json::parse(&value.to_string()).unwrap());
        let shown = |value: &Option<Json>| value.as_ref().map_or_else(|| "-".to_owned(), Json::to_string);
        let differences = Json::diff(Some(&a), Some(&b), 10);
        let lines: Vec<_> =
            differences.iter().map(|d| format!("{} {} {}", d.path, shown(&d.expected), shown(&d.found))).collect();
        let expected = [
            "$.a 1 2",
            "$.b[\"c d\"][1] 2 3",
            "$.b[\"c d\"][2].e null false",
            "$.b[\"c d\"][3] - 4",
            "$.gone \"x\" -",
            "$.new - 0",
        ];
        assert_eq!(lines, expected);
        assert_eq!(Json::diff(Some(&a), Some(&b), 2).len(), 2);
    }

    #[test]
    fn a_great_number_is_compared_to_its_last_digit_and_a_fraction_by_its_value() {
        let differ = |a: &str, b: &str| !Json::diff(Json::parse(a).as_ref(), Json::parse(b).as_ref(), 1).is_empty();
        assert!(differ("170141183460469231731687303715884105727", "170141183460469231731687303715884105726"));
        assert!(!differ("1.50", "1.5") && !differ("1e2", "100.0") && differ("1.5", "1.6") && differ("1", "2"));
    }

    #[test]
    fn nothing_nests_deeper_than_the_stack_holds() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(Json::parse(&nested(127)).is_some());
        assert_eq!(Json::parse(&nested(1_000_000)), None);
    }
}
