//! Small invented tables for tests.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// An invented picture: its base64 text is too long to be the index of another row.
pub fn picture(name: &str) -> Vec<u8> {
    format!("{name:-<60}").into_bytes()
}

/// What the `image` cell holds of [`picture`].
pub fn in_base64(name: &str) -> String {
    BASE64_STANDARD.encode(picture(name))
}

/// A table as pandas writes it.
pub fn table<const N: usize>(columns: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let line = |cells: [String; N]| cells.map(|cell| quoted(&cell)).join("\t") + "\n";
    let header = line(columns.map(str::to_owned));
    std::iter::once(header).chain(rows.into_iter().map(line)).collect()
}

fn quoted(cell: &str) -> String {
    if cell.contains(['\t', '\n', '\r', '"']) {
        return format!("\"{}\"", cell.replace('"', "\"\""));
    }
    cell.to_owned()
}
