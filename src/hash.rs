//! SHA-256 of files, read in pieces.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::fault::Fault;

/// Read at a time.
const PIECE: usize = 1 << 20;

/// The SHA-256 of a file's content, in hexadecimal.
pub fn file_sha256(path: &Path) -> Result<String, Fault> {
    let mut file = File::open(path).map_err(|error| Fault::read(path, &error))?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; PIECE];
    loop {
        let read = file.read(&mut piece).map_err(|error| Fault::read(path, &error))?;
        if read == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(piece.get(..read).unwrap_or_default());
    }
}

/// The SHA-256 of `text`, in hexadecimal.
pub fn text_sha256(text: &str) -> String {
    bytes_sha256(text.as_bytes())
}

/// The SHA-256 of `bytes`, in hexadecimal.
pub fn bytes_sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_standard_vector_in_both_forms() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(text_sha256("abc"), abc);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abc").unwrap();
        assert_eq!(file_sha256(file.path()).unwrap(), abc);
    }
}
