//! Texts that many events share, each held once.

use factum::{EventType, StreamId, Tenant};

use crate::columns::tenant_column;

/// How many streams are remembered at most.
const MAX_STREAMS: usize = 4_096;

/// How many event types are.
const MAX_TYPES: usize = 32;

/// What was seen. What equals one of these is one: its bytes are not looked at again.
#[derive(Debug)]
pub(crate) struct Texts {
    streams: Vec<StreamId>,
    /// For each hash of a stream's name which two of them came last: of a thousand names many share a hash with another.
    slots: Vec<[u32; 2]>,
    types: Vec<EventType>,
    tenant: Option<Tenant>,
}

impl Texts {
    /// The more slots, the fewer streams take the slot of another one.
    pub(crate) fn new(slots: usize) -> Self {
        Self {
            streams: Vec::new(),
            slots: vec![[u32::MAX; 2]; slots.next_power_of_two()],
            types: Vec::new(),
            tenant: None,
        }
    }

    pub(crate) fn stream(&mut self, tenant: &[u8], name: &[u8]) -> Result<StreamId, String> {
        let slot = hash(name) & (self.slots.len() - 1);
        for last in self.slots[slot] {
            if let Some(seen) = self.streams.get(usize::try_from(last).unwrap_or(usize::MAX))
                && seen.name().as_bytes() == name
                && tenant_column(seen.tenant()).as_bytes() == tenant
            {
                return Ok(seen.clone());
            }
        }
        let stream = self.new_stream(tenant, utf8(name)?)?;
        if self.streams.len() == MAX_STREAMS {
            self.streams.clear();
        }
        let [last, _] = self.slots[slot];
        self.slots[slot] = [u32::try_from(self.streams.len()).unwrap_or(u32::MAX), last];
        self.streams.push(stream.clone());
        Ok(stream)
    }

    fn new_stream(&mut self, tenant: &[u8], name: &str) -> Result<StreamId, String> {
        let stream = StreamId::new(name).map_err(|error| error.to_string())?;
        if tenant.is_empty() {
            return Ok(stream);
        }
        let tenant = match &self.tenant {
            Some(seen) if seen.as_str().as_bytes() == tenant => seen.clone(),
            _ => Tenant::new(utf8(tenant)?).map_err(|error| error.to_string())?,
        };
        self.tenant = Some(tenant.clone());
        Ok(stream.in_tenant(tenant))
    }

    /// The event types of the next page are its own: whoever uses this page counts them at the same time as it is filled, and
    /// there are few.
    pub(crate) fn forget_types(&mut self) {
        self.types.clear();
    }

    pub(crate) fn event_type(&mut self, name: &[u8]) -> Result<EventType, String> {
        if let Some(seen) = self.types.iter().find(|seen| seen.as_str().as_bytes() == name) {
            return Ok(seen.clone());
        }
        let new = EventType::new(utf8(name)?).map_err(|error| error.to_string())?;
        if self.types.len() < MAX_TYPES {
            self.types.push(new.clone());
        }
        Ok(new)
    }
}

fn utf8(name: &[u8]) -> Result<&str, String> {
    std::str::from_utf8(name).map_err(|error| format!("a name: {error}"))
}

/// Names of streams differ in their last bytes; a collision costs one allocation. Fibonacci hashing,
/// <https://en.wikipedia.org/wiki/Hash_function#Fibonacci_hashing>.
fn hash(name: &[u8]) -> usize {
    let mut tail = [0; 8];
    let taken = name.len().min(8);
    tail[..taken].copy_from_slice(&name[name.len() - taken..]);
    let hash = (u64::from_le_bytes(tail) ^ name.len() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    usize::try_from(hash >> 40).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_names_of_two_tenants_are_two_streams() {
        let mut texts = Texts::new(1);
        for tenant in ["", "acme", "", "umbrella", "acme"] {
            for name in ["account-1", "account-2", "account-1"] {
                let stream = texts.stream(tenant.as_bytes(), name.as_bytes()).unwrap();
                assert_eq!((tenant_column(stream.tenant()), stream.name()), (tenant, name));
            }
        }
    }

    #[test]
    fn more_streams_than_are_remembered_are_all_told_apart() {
        let mut texts = Texts::new(16_384);
        for _ in 0..2 {
            for n in 0..2 * MAX_STREAMS {
                let name = format!("account-{n}");
                assert_eq!(texts.stream(b"", name.as_bytes()).unwrap().name(), name);
            }
        }
        assert!(texts.streams.len() <= MAX_STREAMS);
    }

    #[test]
    fn what_is_no_name_is_told() {
        let mut texts = Texts::new(8);
        assert!(texts.stream(b"", b"account-\xff").is_err());
        assert!(texts.stream(b"", b"account").is_err());
        assert!(texts.event_type(b"").is_err());
    }
}
