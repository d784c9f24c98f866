//! Conditions on fields, as they are written on the command line.

use std::ops::Bound;

use factum::{Field, FieldCondition, FieldKind, FieldValue};
use factum_projections::FieldQuery;

use crate::args_read_model::ListArgs;
use crate::command::OpsError;

/// A condition as it is written, such as `cents>=100`. Which kind its value is of, the read model says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Where {
    field: String,
    operator: &'static str,
    value: String,
}

/// The longer ones first: `>=` begins with `>`.
const OPERATORS: [&str; 5] = [">=", "<=", "=", ">", "<"];

pub(crate) fn parse_where(text: &str) -> Result<Where, String> {
    let expected = || format!("{text:?} is no condition: write FIELD=VALUE, or >=, <=, > or < in the place of =");
    let at = text.find(['=', '<', '>']).filter(|at| *at > 0).ok_or_else(expected)?;
    let (field, rest) = text.split_at(at);
    let operator = OPERATORS.into_iter().find(|operator| rest.starts_with(operator)).ok_or_else(expected)?;
    let value = rest.strip_prefix(operator).unwrap_or_default();
    Ok(Where { field: field.trim().to_owned(), operator, value: value.trim().to_owned() })
}

impl Where {
    fn condition(&self, fields: &[Field]) -> Result<FieldCondition, OpsError> {
        // One that is not declared is told by the read model, with those that are.
        let kind = fields.iter().find(|field| field.name() == self.field).map_or(FieldKind::Text, Field::kind);
        let wrong = |expected: &'static str| factum::InputError::Malformed {
            what: "value of a field",
            text: self.value.clone(),
            expected,
        };
        let text = self.value.as_str();
        let value: FieldValue = match kind {
            FieldKind::Text => text.into(),
            FieldKind::Integer => text.parse::<i64>().map_err(|_| wrong("an integer"))?.into(),
            FieldKind::Bool => text.parse::<bool>().map_err(|_| wrong("true or false"))?.into(),
            FieldKind::Time => {
                let time = text.parse::<chrono::DateTime<chrono::Utc>>();
                time.map_err(|_| wrong("a time, such as 1993-06-30T12:00:00Z"))?.into()
            }
        };
        let field = self.field.clone();
        let (from, to) = match self.operator {
            ">=" => (Bound::Included(value), Bound::Unbounded),
            ">" => (Bound::Excluded(value), Bound::Unbounded),
            "<=" => (Bound::Unbounded, Bound::Included(value)),
            "<" => (Bound::Unbounded, Bound::Excluded(value)),
            _ => return Ok(FieldCondition::equal(field, value)),
        };
        Ok(FieldCondition { field, from, to })
    }
}

/// What `list` asks for by fields; `None` where it asks for nothing of the kind.
pub(crate) fn query(args: &ListArgs, fields: &[Field]) -> Result<Option<FieldQuery>, OpsError> {
    if args.conditions.is_empty() && args.order_by.is_none() && !args.desc {
        return Ok(None);
    }
    let mut query = FieldQuery::new();
    for condition in &args.conditions {
        query = query.and(condition.condition(fields)?);
    }
    if let Some(field) = &args.order_by {
        query = query.order_by(field.as_str());
    }
    Ok(Some(if args.desc { query.descending() } else { query }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_a_field_an_operator_and_a_value() {
        let of = |text: &str| parse_where(text).map(|of| (of.field, of.operator, of.value));
        let condition = |field: &str, operator, value: &str| Ok((field.to_owned(), operator, value.to_owned()));
        assert_eq!(of("cents>=100"), condition("cents", ">=", "100"));
        assert_eq!(of("owner = a=b"), condition("owner", "=", "a=b"));
        assert_eq!(of("cents < -5"), condition("cents", "<", "-5"));
        assert_eq!(of("owner="), condition("owner", "=", ""));
        for text in ["", "cents", "=5", "100 >"] {
            assert_eq!(of(text).is_err(), text != "100 >", "{text:?}");
        }
    }
}
