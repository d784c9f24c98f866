//! Decoding without the library: by serde_json into the same enum.

use serde::Deserialize;

use crate::Result;
use crate::bank::AccountEvent;

#[derive(Deserialize)]
struct Opened {
    owner: String,
}

#[derive(Deserialize)]
struct Booked {
    cents: i64,
    purpose: String,
}

/// The event of a type whose content this is.
pub(super) fn decode(event_type: &str, payload: &[u8]) -> Result<AccountEvent> {
    Ok(match event_type {
        "Deposited" => {
            let Booked { cents, purpose } = serde_json::from_slice(payload)?;
            AccountEvent::Deposited { cents, purpose }
        }
        "Withdrawn" => {
            let Booked { cents, purpose } = serde_json::from_slice(payload)?;
            AccountEvent::Withdrawn { cents, purpose }
        }
        "Opened" => {
            let Opened { owner } = serde_json::from_slice(payload)?;
            AccountEvent::Opened { owner }
        }
        other => return Err(format!("an event of an unknown type, {other}").into()),
    })
}

/// What a handler does with it, as little as ours.
pub(super) fn cents(event: &AccountEvent) -> i64 {
    match event {
        AccountEvent::Opened { .. } => 0,
        AccountEvent::Deposited { cents, .. } => *cents,
        AccountEvent::Withdrawn { cents, .. } => -cents,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use factum::{Metadata, RoundTrip};

    #[test]
    fn what_the_library_encodes_is_decoded_into_the_same_event() {
        let deposited = AccountEvent::Deposited { cents: 5, purpose: "savings".to_owned() };
        let withdrawn = AccountEvent::Withdrawn { cents: 7, purpose: String::new() };
        for event in [AccountEvent::Opened { owner: "Jana".to_owned() }, deposited, withdrawn] {
            let new = factum::encode(&event, Metadata::new(), RoundTrip::Checked).unwrap();
            assert_eq!(decode(new.event_type.as_str(), &new.payload).unwrap(), event);
        }
        assert!(decode("Closed", b"null").is_err());
    }
}
