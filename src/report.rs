//! `report`: one page that opens from disk, without server or network.
//!
//! [`runs`] reads the folders, [`gallery`] finds the pictures and makes thumbnails, [`comparisons`] sets the runs of a
//! benchmark beside its first one ([`difference`] in words), [`chart`] places marks on axes, [`sample_data`] is the one JSON block that
//! `page.js` shows the samples from, and [`page`] fills `page.html`. All text from data passes [`shown`].

mod chart;
mod comparisons;
mod difference;
mod gallery;
mod page;
mod runs;
mod sample_data;

use std::path::PathBuf;

use crate::artefact;
use crate::beside_published::selection;
use crate::cli::ReportArgs;
use crate::fault::Fault;
use crate::table::visible;

/// The page's name in its folder.
const INDEX: &str = "index.html";

/// What was written.
pub struct Written {
    /// The page.
    pub index: PathBuf,
    /// Runs on it.
    pub runs: usize,
    /// Benchmarks that they are of.
    pub benchmarks: usize,
    /// Questions, each once.
    pub samples: usize,
    /// How many pictures there are and where, in words.
    pub pictures: String,
}

/// Reads the runs and writes the page.
///
/// # Errors
///
/// Folders without a run, files of another version, a published source that does not exist, `--data` that cannot be
/// read, an `--out` that cannot be written.
pub fn write(args: &ReportArgs) -> Result<Written, Fault> {
    let selection = selection(&args.against)?;
    let benchmarks = runs::read(&args.runs)?;
    artefact::create_folder(&args.out)?;
    let gallery = gallery::Gallery::make(&benchmarks, args)?;
    let samples = sample_data::SampleData::new(&benchmarks, &gallery);
    let page = page::render(&benchmarks, &selection, &gallery, &samples)?;
    let index = args.out.join(INDEX);
    artefact::write(&index, |out| out.write_all(page.as_bytes()))?;
    Ok(Written {
        index,
        runs: benchmarks.iter().map(|benchmark| benchmark.runs.len()).sum(),
        benchmarks: benchmarks.len(),
        samples: samples.len(),
        pictures: gallery.in_words(),
    })
}

/// Text from data as the page shows it: what steers a reader's screen is spelled out, lines stay lines.
fn shown(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(visible).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stay_and_marks_are_spelled_out() {
        assert_eq!(shown("a\nb\u{202e}c\u{1b}[1m"), "a\nb\\u{202e}c\\u{1b}[1m");
    }
}
