//! What the disk does without a database.

use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};

use crate::Result;
use crate::place::Place;
use crate::window::alone;
use crate::work::Size;

/// Writes 4 KiB and waits until they are on the disk: how often a second. A file that grows, or, where `in_place`, one
/// that is as long as it will be.
pub(crate) fn disk(place: &Place, in_place: bool, size: Size) -> Result<f64> {
    let (Place::Sqlite(folder) | Place::Postgres { folder, .. }) = place else {
        return Err("only what is durable is limited by the disk".into());
    };
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(folder.join("disk"))?;
    let page = [42_u8; 4_096];
    file.write_all(&page)?;
    file.sync_all()?;
    alone(size.window(place.kind(), 10), || {
        if in_place {
            file.seek(SeekFrom::Start(0))?;
        }
        file.write_all(&page)?;
        Ok(file.sync_data()?)
    })
}
