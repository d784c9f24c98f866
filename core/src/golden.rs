//! A file of every event type and version ever recorded, so that a change that history would not survive fails a test.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::codec::{DecodeError, EncodeError, RoundTrip, decode_stored, encode, event_info};
use crate::event::{Event, EventType, StoredEvent};
use crate::limits::InputError;
use crate::metadata::Metadata;

/// Set to `write`, this environment variable lets [`golden_events`] add what the file does not hold yet.
pub const GOLDEN_VARIABLE: &str = "FACTUM_GOLDEN";

/// One line of a golden file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Line {
    event_type: String,
    schema_version: u32,
    payload: serde_json::Value,
}

/// Checks that today's code still reads every event that was ever recorded; call it in a test.
///
/// `samples` holds at least one event of each variant. The file, one JSON object in a line, is committed with the code:
/// every line must decode (through [`Event::upcast`]), and every sample must be in it, as it would be recorded today.
/// With `FACTUM_GOLDEN=write` in the environment, samples of a new type or schema version are added; a line is never
/// changed or removed.
///
/// ```
/// use factum::{Event, golden_events};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// enum AccountEvent { Deposited { cents: i64 }, Closed }
/// impl Event for AccountEvent { const CATEGORY: &'static str = "account"; }
///
/// # let file = std::env::temp_dir().join(format!("golden-doc-{}.jsonl", std::process::id()));
/// # let lines = r#"{"event_type":"Deposited","schema_version":1,"payload":{"cents":5}}
/// # {"event_type":"Closed","schema_version":1,"payload":null}
/// # "#;
/// # std::fs::write(&file, lines)?;
/// golden_events(&file, &[AccountEvent::Deposited { cents: 5 }, AccountEvent::Closed])?;
/// # std::fs::remove_file(&file)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`GoldenError`] names the line, or the sample, and the remedy.
pub fn golden_events<E: Event>(file: impl AsRef<Path>, samples: &[E]) -> Result<(), GoldenError> {
    let file = file.as_ref();
    let mut lines = read(file)?;
    for (number, line) in lines.iter().enumerate() {
        let stored = StoredEvent {
            event_type: EventType::new(&line.event_type)?,
            schema_version: line.schema_version,
            payload: Bytes::from(line.payload.to_string()),
        };
        decode_stored::<E>(stored).map_err(|source| GoldenError::Lost {
            file: file.to_owned(),
            line: number + 1,
            event_type: line.event_type.clone(),
            schema_version: line.schema_version,
            source,
        })?;
    }
    let today = samples.iter().map(today).collect::<Result<Vec<_>, _>>()?;
    all_variants::<E>(&today)?;
    let new: Vec<Line> = today.into_iter().filter(|sample| !lines.contains(sample)).collect();
    if new.is_empty() {
        return Ok(());
    }
    let writing = std::env::var_os(GOLDEN_VARIABLE).is_some_and(|value| value == "write");
    if let Some(sample) = new.first().filter(|_| !writing) {
        let (file, event_type) = (file.to_owned(), sample.event_type.clone());
        let known = lines.iter().any(|l| l.event_type == event_type && l.schema_version == sample.schema_version);
        return Err(if known {
            GoldenError::Changed { file, event_type }
        } else {
            GoldenError::Missing { file, event_type }
        });
    }
    lines.extend(new);
    write(file, &lines)
}

fn today<E: Event>(sample: &E) -> Result<Line, GoldenError> {
    let event = encode(sample, Metadata::new(), RoundTrip::Checked)?;
    let payload = serde_json::from_slice(&event.payload).map_err(|source| GoldenError::Malformed {
        file: PathBuf::new(),
        line: 0,
        source,
    })?;
    Ok(Line { event_type: event.event_type.to_string(), schema_version: event.schema_version, payload })
}

fn all_variants<E: Event>(today: &[Line]) -> Result<(), GoldenError> {
    let info = event_info::<E>()?;
    for name in info.variants.iter().filter(|name| Some(**name) != info.other) {
        if !today.iter().any(|sample| sample.event_type == *name || is_alias::<E>(name, sample)) {
            return Err(GoldenError::NoSample { event_type: (*name).to_owned() });
        }
    }
    Ok(())
}

/// serde lists aliases beside the names of variants: an alias is read, and written under another name.
fn is_alias<E: Event>(name: &'static str, sample: &Line) -> bool {
    let Ok(event_type) = EventType::from_static(name) else { return false };
    let payload = Bytes::from(sample.payload.to_string());
    let stored = StoredEvent { event_type, schema_version: sample.schema_version, payload };
    let again = decode_stored::<E>(stored).ok().and_then(|event| today(&event).ok());
    again.is_some_and(|again| again.event_type == sample.event_type)
}

fn read(file: &Path) -> Result<Vec<Line>, GoldenError> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(source) => return Err(GoldenError::File { file: file.to_owned(), source }),
    };
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            serde_json::from_str(line).map_err(|source| GoldenError::Malformed {
                file: file.to_owned(),
                line: number + 1,
                source,
            })
        })
        .collect()
}

fn write(file: &Path, lines: &[Line]) -> Result<(), GoldenError> {
    let mut text = String::new();
    for line in lines {
        let json = serde_json::to_string(line).map_err(|source| GoldenError::Malformed {
            file: file.to_owned(),
            line: 0,
            source,
        })?;
        text.push_str(&json);
        text.push('\n');
    }
    std::fs::write(file, text).map_err(|source| GoldenError::File { file: file.to_owned(), source })
}

/// What history would not survive.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum GoldenError {
    /// An event that was recorded once can no longer be read.
    #[error(
        "{}:{line}: {event_type} (schema version {schema_version}) can no longer be read: {source}; \
         keep reading it with #[serde(alias)], #[serde(default)] or Event::upcast", .file.display()
    )]
    Lost {
        /// The golden file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The recorded type.
        event_type: String,
        /// The recorded schema version.
        schema_version: u32,
        /// Why it cannot be read.
        source: DecodeError,
    },
    /// An event is recorded in another shape than the file knows for this schema version.
    #[error(
        "{}: {event_type} is recorded differently than before under the same schema version; \
         raise Event::SCHEMA_VERSION if old code could not read it, then run once with {GOLDEN_VARIABLE}=write", .file.display()
    )]
    Changed {
        /// The golden file.
        file: PathBuf,
        /// The event type.
        event_type: String,
    },
    /// An event type or schema version is not in the file yet.
    #[error("{}: {event_type} is not in it yet; run once with {GOLDEN_VARIABLE}=write and commit the file", .file.display())]
    Missing {
        /// The golden file.
        file: PathBuf,
        /// The event type.
        event_type: String,
    },
    /// A variant without a sample is not checked.
    #[error("there is no sample of {event_type}; give at least one event of each variant")]
    NoSample {
        /// The event type.
        event_type: String,
    },
    /// The file cannot be read or written.
    #[error("{}: {source}", .file.display())]
    File {
        /// The golden file.
        file: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A line is not what this function wrote.
    #[error("{}:{line}: {source}", .file.display())]
    Malformed {
        /// The golden file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A sample cannot be recorded at all.
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// A recorded type breaks a limit.
    #[error(transparent)]
    Input(#[from] InputError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize)]
    enum Before {
        Deposited { cents: i64 },
        Closed,
    }

    #[derive(Serialize, Deserialize)]
    enum After {
        #[serde(alias = "Deposited")]
        Credited {
            cents: i64,
        },
        Closed,
    }

    #[derive(Serialize, Deserialize)]
    enum Broken {
        Deposited { amount: i64 },
        Closed,
    }

    impl Event for Before {
        const CATEGORY: &'static str = "account";
    }
    impl Event for After {
        const CATEGORY: &'static str = "account";
    }
    impl Event for Broken {
        const CATEGORY: &'static str = "account";
    }

    const RECORDED: &str = concat!(
        r#"{"event_type":"Deposited","schema_version":1,"payload":{"cents":5}}"#,
        "\n",
        r#"{"event_type":"Closed","schema_version":1,"payload":null}"#,
        "\n",
        r#"{"event_type":"Credited","schema_version":1,"payload":{"cents":5}}"#,
        "\n"
    );

    fn golden(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    fn two_lines() -> String {
        RECORDED.lines().take(2).map(|line| format!("{line}\n")).collect()
    }

    #[test]
    fn a_rename_with_an_alias_passes_once_the_new_name_is_in_the_file() {
        let after = [After::Credited { cents: 5 }, After::Closed];
        golden_events(golden(RECORDED).path(), &after).unwrap();
        let missing = golden_events(golden(&two_lines()).path(), &after).unwrap_err();
        assert!(matches!(&missing, GoldenError::Missing { event_type, .. } if event_type == "Credited"), "{missing}");
    }

    #[test]
    fn a_removed_or_renamed_field_fails_with_the_line() {
        let samples = [Broken::Deposited { amount: 5 }, Broken::Closed];
        let lost = golden_events(golden(RECORDED).path(), &samples).unwrap_err();
        assert!(matches!(lost, GoldenError::Lost { line: 1, .. }), "{lost}");
    }

    #[test]
    fn another_shape_under_the_same_version_and_a_variant_without_sample_are_told() {
        let other = [Before::Deposited { cents: 6 }, Before::Closed];
        let changed = golden_events(golden(&two_lines()).path(), &other).unwrap_err();
        assert!(matches!(changed, GoldenError::Changed { .. }), "{changed}");
        let unsampled = golden_events(golden(&two_lines()).path(), &[Before::Closed]).unwrap_err();
        assert!(matches!(&unsampled, GoldenError::NoSample { event_type } if event_type == "Deposited"), "{unsampled}");
    }
}
