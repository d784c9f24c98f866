//! By what the documents of a projection are found and sorted.

use std::sync::Arc;

use factum::{DocumentKey, Field, FieldChange, FieldValue};

use crate::projection::{Projection, SetupError};

/// Collects what one document is found and sorted by.
///
/// ```
/// let mut values = factum_projections::FieldValues::default();
/// values.set("cents", 500);
/// values.set("owner", "Jana");
/// assert_eq!(values.get("cents"), Some(&500.into()));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldValues {
    values: Vec<(&'static str, FieldValue)>,
}

impl FieldValues {
    /// Sets the value of a field, which [`Projection::FIELDS`] declares. Of several for one field the last counts; a field
    /// that is not set has no value: the document is found neither by it nor in its order.
    pub fn set(&mut self, field: &'static str, value: impl Into<FieldValue>) {
        self.values.retain(|(known, _)| *known != field);
        self.values.push((field, value.into()));
    }

    /// The value of a field.
    pub fn get(&self, field: &str) -> Option<&FieldValue> {
        self.values.iter().find(|(known, _)| *known == field).map(|(_, value)| value)
    }

    fn take(&mut self, field: &Field) -> Option<FieldValue> {
        let place =
            self.values.iter().position(|(name, value)| *name == field.name() && value.kind() == field.kind())?;
        Some(self.values.swap_remove(place).1)
    }

    /// Whether all were declared.
    fn check(&self, declared: &[Field]) -> Result<(), String> {
        for (name, value) in &self.values {
            let kind = value.kind();
            match declared.iter().find(|field| field.name() == *name) {
                None => return Err(format!("the field {name:?} is set, which Projection::FIELDS does not declare")),
                Some(field) if field.kind() != kind => {
                    return Err(format!("the field {field} is set to a value of kind {kind}"));
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

/// That the fields of a projection can be kept.
pub(crate) fn check<P: Projection>() -> Result<(), SetupError> {
    for (n, field) in P::FIELDS.iter().enumerate() {
        field.check().map_err(|source| SetupError::Input { projection: P::NAME.into(), source })?;
        if P::FIELDS[..n].iter().any(|before| before.name() == field.name()) {
            return Err(SetupError::FieldTwice { projection: P::NAME.into(), field: field.name().to_owned() });
        }
    }
    Ok(())
}

/// The fields that a generation keeps, whose values go into each commit.
pub(crate) type KeptFields = Arc<[Field]>;

/// Those of a generation; a name that the code declares is not copied any more.
pub(crate) fn kept<P: Projection>(fields: Vec<Field>) -> KeptFields {
    let declared = |field: Field| P::FIELDS.iter().find(|declared| **declared == field).cloned().unwrap_or(field);
    fields.into_iter().map(declared).collect()
}

/// Whether a generation keeps what the code declares.
pub(crate) fn are_declared<P: Projection>(fields: &[Field]) -> bool {
    are_alike(fields, P::FIELDS)
}

/// Whether these are the same, in whatever order.
pub(crate) fn are_alike(kept: &[Field], declared: &[Field]) -> bool {
    kept.len() == declared.len() && kept.iter().all(|field| declared.contains(field))
}

/// Adds what a changed document is found by. A field that the code no longer declares has no value.
pub(crate) fn changes<P: Projection>(
    projection: &P,
    kept: &[Field],
    key: &DocumentKey,
    content: Option<&P::Document>,
    changes: &mut Vec<FieldChange>,
) -> Result<(), String> {
    let mut values = FieldValues::default();
    if let Some(content) = content {
        projection.fields(key.key(), content, &mut values);
        values.check(P::FIELDS)?;
    }
    let change = |field: &Field| FieldChange { key: key.clone(), field: field.to_name(), value: values.take(field) };
    changes.extend(kept.iter().map(change));
    Ok(())
}
