//! The samples as the page's one JSON block holds them: every text once, columns of positions. See
//! `results/FORMATS.md` for every field.

use std::collections::HashMap;

use serde::Serialize;

use crate::report::gallery::Gallery;
use crate::report::runs::{BenchmarkRuns, Run};
use crate::report::shown;
use crate::results::FORMAT;
use crate::samples::SampleRow;

/// The block.
#[derive(Serialize)]
pub struct SampleData {
    format: u32,
    texts: Texts,
    pictures: Vec<PictureData>,
    benchmarks: Vec<BenchmarkData>,
}

/// One distinct picture.
#[derive(Serialize)]
struct PictureData {
    key: String,
    /// A data URI or a relative path; absent where the picture is not at hand.
    source: Option<String>,
    /// Why it is not.
    reason: Option<String>,
}

/// The questions of one benchmark and what each run said. Columns are of equal length; numbers are positions in
/// `texts`.
#[derive(Serialize)]
struct BenchmarkData {
    name: String,
    id: Vec<usize>,
    category: Vec<Option<usize>>,
    question: Vec<usize>,
    reference: Vec<Option<usize>>,
    /// Positions in `pictures`.
    pictures: Vec<Vec<usize>>,
    runs: Vec<RunData>,
}

/// What one run said.
#[derive(Serialize)]
struct RunData {
    name: String,
    prompt: Vec<Option<usize>>,
    answer: Vec<Option<usize>>,
    error: Vec<Option<usize>>,
    parsed: Vec<Option<usize>>,
    score: Vec<Option<f64>>,
}

/// Texts, each once, as shown.
#[derive(Default, Serialize)]
#[serde(transparent)]
struct Texts {
    texts: Vec<String>,
    #[serde(skip)]
    numbers: HashMap<String, usize>,
}

impl Texts {
    fn number(&mut self, text: &str) -> usize {
        let text = shown(text);
        if let Some(&number) = self.numbers.get(&text) {
            return number;
        }
        let number = self.texts.len();
        self.numbers.insert(text.clone(), number);
        self.texts.push(text);
        number
    }

    fn number_of(&mut self, text: Option<&String>) -> Option<usize> {
        text.map(|text| self.number(text))
    }
}

impl SampleData {
    /// The samples of all runs. A sample that several runs have stands once, with the question of the first.
    pub fn new(benchmarks: &[BenchmarkRuns], gallery: &Gallery) -> Self {
        let mut texts = Texts::default();
        let benchmarks = benchmarks
            .iter()
            .enumerate()
            .map(|(number, benchmark)| benchmark_data(benchmark, number, gallery, &mut texts))
            .collect();
        let pictures = gallery.pictures().iter().map(|picture| PictureData {
            key: shown(&picture.key),
            source: picture.shown.as_ref().ok().cloned(),
            reason: picture.shown.as_ref().err().map(|reason| shown(reason)),
        });
        Self {
            format: FORMAT,
            pictures: pictures.collect(),
            texts,
            benchmarks,
        }
    }

    /// How many samples.
    pub fn len(&self) -> usize {
        self.benchmarks.iter().map(|benchmark| benchmark.id.len()).sum()
    }

    /// JSON that can stand inside a script element: nothing in it ends the element or opens a comment.
    pub fn to_script(&self) -> serde_json::Result<String> {
        let json = serde_json::to_string(self)?;
        // Outside of strings JSON has none of these letters.
        Ok(json
            .replace('<', "\\u003c")
            .replace('>', "\\u003e")
            .replace('&', "\\u0026"))
    }
}

fn benchmark_data(benchmark: &BenchmarkRuns, number: usize, gallery: &Gallery, texts: &mut Texts) -> BenchmarkData {
    let mut positions: HashMap<&str, usize> = HashMap::new();
    let mut samples: Vec<&SampleRow> = Vec::new();
    for row in benchmark.runs.iter().flat_map(|run| &run.samples) {
        positions.entry(&row.id).or_insert_with(|| {
            samples.push(row);
            samples.len() - 1
        });
    }
    let runs = benchmark.runs.iter();
    let runs = runs
        .map(|run| run_data(run, &positions, samples.len(), texts))
        .collect();
    let pictures = |row: &&SampleRow| {
        let keys = row.picture.split('\n').filter(|key| !key.is_empty());
        keys.filter_map(|key| gallery.position(number, key)).collect()
    };
    BenchmarkData {
        name: shown(&format!("{} {}", benchmark.task, benchmark.split)),
        pictures: samples.iter().map(pictures).collect(),
        id: samples.iter().map(|row| texts.number(&row.id)).collect(),
        category: samples
            .iter()
            .map(|row| texts.number_of(row.category.as_ref()))
            .collect(),
        question: samples.iter().map(|row| texts.number(&row.question)).collect(),
        reference: samples
            .iter()
            .map(|row| texts.number_of(row.reference.as_ref()))
            .collect(),
        runs,
    }
}

fn run_data(run: &Run, positions: &HashMap<&str, usize>, samples: usize, texts: &mut Texts) -> RunData {
    let mut rows: Vec<Option<&SampleRow>> = vec![None; samples];
    for row in &run.samples {
        if let Some(place) = positions.get(row.id.as_str()).and_then(|&place| rows.get_mut(place)) {
            *place = Some(row);
        }
    }
    let mut column = |pick: fn(&SampleRow) -> Option<&String>| -> Vec<Option<usize>> {
        rows.iter().map(|row| texts.number_of(row.and_then(pick))).collect()
    };
    RunData {
        name: shown(&run.name),
        prompt: column(|row| row.prompt.as_ref()),
        answer: column(|row| row.answer.as_ref()),
        error: column(|row| row.error.as_ref()),
        parsed: column(|row| row.parsed.as_ref()),
        score: rows.iter().map(|row| row.and_then(|row| row.score)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stands_once_and_as_shown() {
        let mut texts = Texts::default();
        assert_eq!(["Yes", "a\u{202e}", "Yes"].map(|text| texts.number(text)), [0, 1, 0]);
        assert_eq!(serde_json::to_string(&texts).unwrap(), r#"["Yes","a\\u{202e}"]"#);
    }

    #[test]
    fn nothing_in_the_block_ends_its_script_element() {
        let mut texts = Texts::default();
        texts.number("</script><script>alert(1)</script> <!-- & ]]>");
        let data = SampleData {
            format: FORMAT,
            texts,
            pictures: Vec::new(),
            benchmarks: Vec::new(),
        };
        let script = data.to_script().unwrap();
        assert!(!script.contains(['<', '>', '&']), "{script}");
        let back: serde_json::Value = serde_json::from_str(&script).unwrap();
        assert_eq!(back["texts"][0], "</script><script>alert(1)</script> <!-- & ]]>");
    }
}
