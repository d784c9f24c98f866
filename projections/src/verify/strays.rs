//! What would be found by its fields and is not there: values that were left over.

use std::collections::HashSet;

use factum::{DocumentKey, FieldPlace, LogId, StrayFields, Tenant};

use super::compare::FIELDS;
use super::fields::{kept, unread};
use super::work::Verify;
use super::{Difference, DifferenceKind, VerifyError, Watch};
use crate::json::FieldDifference;
use crate::projection::Projection;
use crate::turns::yield_now;

/// How many values are looked at in one question.
const LOOKED_AT: usize = 10_000;

/// Of how many documents that are missing it is remembered that this was told.
const REMEMBERED: usize = 100_000;

/// Documents that were told to be missing: that their values are there is no other difference.
#[derive(Default)]
pub(super) struct Missing(HashSet<(Tenant, String, LogId)>);

impl Missing {
    pub(super) fn add(&mut self, tenant: &Tenant, key: &str, log: LogId) {
        if self.0.len() < REMEMBERED {
            self.0.insert((tenant.clone(), key.to_owned(), log));
        }
    }

    fn contains(&self, key: &DocumentKey, log: LogId) -> bool {
        !self.0.is_empty() && self.0.contains(&(key.tenant().clone(), key.key().to_owned(), log))
    }
}

/// What is left of a document, with the place of its first value.
type Stray = (FieldPlace, Vec<FieldDifference>);

impl<P: Projection> Verify<'_, P> {
    /// Names each key under which values are kept although it has no document, and history makes none.
    pub(super) async fn find_strays(&mut self, watch: &mut Watch<'_>) -> Result<(), VerifyError> {
        let (target, mut after, mut last) = (self.target(), None, None::<Stray>);
        loop {
            let looked = self.documents.read_models.stray_fields(&target, after.as_ref(), LOOKED_AT).await?;
            let StrayFields { strays, next } = looked;
            for (place, value) in strays {
                let field = self.stray(&place, &value);
                match &mut last {
                    Some((first, fields)) if (&first.key, first.log) == (&place.key, place.log) => {
                        fields.extend((fields.len() < FIELDS).then_some(field));
                    }
                    _ => self.tell_stray(last.replace((place, vec![field])), watch),
                }
            }
            match next {
                Some(_) => after = next,
                None => break,
            }
            yield_now().await;
        }
        self.tell_stray(last, watch);
        Ok(())
    }

    fn stray(&self, place: &FieldPlace, value: &[u8]) -> FieldDifference {
        let known = self.fields.iter().find(|field| field.name() == place.field);
        let found = known.map_or_else(|| unread(value), |field| kept(field.kind(), value));
        FieldDifference { path: format!("fields.{}", place.field), expected: None, found: Some(found) }
    }

    fn tell_stray(&mut self, stray: Option<Stray>, watch: &mut Watch<'_>) {
        let Some((FieldPlace { key, log, .. }, fields)) = stray else { return };
        if !self.is_asked_for(&key) || self.missing.contains(&key, log) {
            return;
        }
        self.report.differences += 1;
        let (tenant, position) = (key.tenant().clone(), self.report.checkpoint.get(log));
        let (key, kind) = (key.key().to_owned(), DifferenceKind::Unexpected);
        (watch.found)(Difference { tenant, key, log, kind, kept: false, position, fields });
    }

    fn is_asked_for(&self, key: &DocumentKey) -> bool {
        // Keys are those of one tenant.
        let of_all = self.options.tenant.is_none() && self.options.keys.is_none();
        let tenant = self.options.tenant.clone().unwrap_or_default();
        (of_all || *key.tenant() == tenant) && self.is_wanted(key.tenant(), key.key())
    }
}
