//! What documents are found by, beside what the code says of them.

use factum::{Bounds, DocumentFields, DocumentKey, Field, FieldKind, FieldValue, Tenant};

use super::VerifyError;
use super::batch::{Part, Slot};
use super::work::Verify;
use crate::fields::changes;
use crate::fold::catching;
use crate::json::{FieldDifference, Json};
use crate::projection::Projection;

/// How often a page of documents is listed, until none of them changes before its fields are read.
const LISTINGS: u32 = 3;

/// What a generation keeps, and what the code declares beside.
pub(super) fn known<P: Projection>(kept: Vec<Field>) -> Vec<Field> {
    let mut all = kept;
    for field in P::FIELDS {
        if all.iter().all(|kept| kept.name() != field.name()) {
            all.push(field.clone());
        }
    }
    all
}

impl<P: Projection> Verify<'_, P> {
    /// A page of documents, and what each of them is found by. What has changed between the two has no fields.
    pub(super) async fn list_with_fields(
        &mut self,
        tenant: &Tenant,
        after: Option<String>,
    ) -> Result<Part<P::Document>, VerifyError> {
        let mut part = self.list(tenant, after.clone()).await?;
        if self.fields.is_empty() {
            return Ok(part);
        }
        for listing in 1.. {
            let passed = self.find_fields(&mut part).await?;
            if passed == 0 || listing == LISTINGS {
                self.report.fields_passed += passed;
                break;
            }
            part = self.list(tenant, after.clone()).await?;
        }
        Ok(part)
    }

    /// Answers how many of the documents have changed since they were listed.
    async fn find_fields(&self, part: &mut Part<P::Document>) -> Result<u64, VerifyError> {
        let tenant = part.tenant.clone();
        let keys = part.stored_mut().map(|slot| DocumentKey::new(tenant.clone(), &slot.key));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() {
            return Ok(0);
        }
        let mut found = self.documents.read_models.field_values(&self.target(), &keys).await?.into_iter();
        let mut passed = 0;
        for slot in part.stored_mut() {
            let mut fields = found.next().unwrap_or_default();
            let stored = &slot.stored;
            let is_of = |of: &DocumentFields| {
                stored.iter().any(|stored| (stored.bounds.log, stored.bounds.position) == (of.log, of.position))
            };
            fields.retain(is_of);
            let live = stored.iter().filter(|stored| stored.body.is_some()).count();
            passed += live.saturating_sub(fields.len()) as u64;
            slot.fields = fields;
        }
        part.weigh();
        Ok(passed)
    }

    /// What a document is found by and should not be, or the other way round.
    pub(super) fn compare_fields(
        &self,
        slot: &Slot<P::Document>,
        stored: &Bounds,
    ) -> Result<Vec<FieldDifference>, VerifyError> {
        let Some(found) = slot.fields.iter().find(|fields| fields.log == stored.log) else { return Ok(Vec::new()) };
        let content = slot.folded.iter().find(|folded| folded.log == stored.log);
        let content = content.and_then(|folded| folded.content.as_ref());
        let (key, mut expected) = (DocumentKey::new(Tenant::default(), &slot.key)?, Vec::new());
        let said = catching(|| changes(&*self.documents.projection, &self.fields, &key, content, &mut expected));
        said.and_then(|said| said).map_err(|cause| VerifyError::Unserializable {
            projection: self.documents.name.clone(),
            key: slot.key.to_string(),
            cause,
        })?;
        let of = |name: &str| found.values.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_slice());
        let mut differing = Vec::new();
        for (field, change) in self.fields.iter().zip(expected) {
            let (name, value) = (field.name(), change.value);
            if value.as_ref().map(FieldValue::to_bytes).as_deref() != of(name) {
                let found = of(name).map(|value| kept(field.kind(), value));
                differing.push(FieldDifference { path: format!("fields.{name}"), expected: value.map(json), found });
            }
        }
        // What the generation does not keep is there by nobody's wish but that of whoever put it there.
        let unknown = found.values.iter().filter(|(name, _)| self.fields.iter().all(|field| field.name() != name));
        differing.extend(unknown.map(|(name, value)| FieldDifference {
            path: format!("fields.{name}"),
            expected: None,
            found: Some(unread(value)),
        }));
        Ok(differing)
    }
}

fn json(value: FieldValue) -> Json {
    match value {
        FieldValue::Integer(number) => Json::Number(number.to_string()),
        FieldValue::Bool(value) => Json::Bool(value),
        FieldValue::Text(text) => Json::Text(text),
        time @ FieldValue::Time(_) => Json::Text(time.to_string()),
    }
}

pub(super) fn kept(kind: FieldKind, value: &[u8]) -> Json {
    FieldValue::from_bytes(kind, value).map_or_else(|| unread(value), json)
}

/// A value that is none of its kind.
pub(super) fn unread(value: &[u8]) -> Json {
    let hex = value.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    Json::Text(format!("not read as a value: 0x{hex}"))
}
