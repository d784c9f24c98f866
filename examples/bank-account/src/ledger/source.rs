//! The bytes of a ledger file, unpacked if need be.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

use super::LedgerError;

const BUFFER: usize = 128 << 10;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// How far a file was read.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    /// The file's size in bytes, as it lies on the disk.
    pub(crate) size: u64,
    read: Arc<AtomicU64>,
}

impl Progress {
    /// How many of its bytes were read.
    pub(crate) fn bytes(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

struct Counted {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.file.read(buffer)?;
        self.read.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(bytes)
    }
}

/// Says what is wrong with a path that cannot be a ledger, without opening it: a pipe is read once.
pub(crate) fn look(path: &Path) -> Result<(), LedgerError> {
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => Err(LedgerError::Directory { path: path.to_path_buf() }),
        Ok(_) => Ok(()),
        Err(source) => Err(LedgerError::Open { path: path.to_path_buf(), source }),
    }
}

/// Opens a ledger. That it is packed is seen from its first bytes, whatever it is called.
pub(super) fn open(path: &Path) -> Result<(Box<dyn BufRead + Send>, Progress), LedgerError> {
    let failed = |source| LedgerError::Open { path: path.to_path_buf(), source };
    look(path)?;
    let file = File::open(path).map_err(failed)?;
    let meta = file.metadata().map_err(failed)?;
    let read = Arc::new(AtomicU64::new(0));
    let progress = Progress { size: meta.len(), read: Arc::clone(&read) };
    let mut packed = BufReader::with_capacity(BUFFER, Counted { file, read });
    // A pipe may hand out its first byte alone, so what `fill_buf` shows is not enough to tell by.
    let mut magic = Vec::with_capacity(GZIP_MAGIC.len());
    packed.by_ref().take(GZIP_MAGIC.len() as u64).read_to_end(&mut magic).map_err(failed)?;
    let gzip = magic == GZIP_MAGIC;
    let whole = io::Cursor::new(magic).chain(packed);
    let reader: Box<dyn BufRead + Send> =
        if gzip { Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(whole))) } else { Box::new(whole) };
    Ok((reader, progress))
}
