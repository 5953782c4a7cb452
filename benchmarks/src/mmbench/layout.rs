//! The layouts in which MMBench lies (`mmbench.md`, section 2), in order of precedence.
//!
//! | layout | files under the benchmark's folder |
//! |---|---|
//! | TSV | `mmbench_{dev,test}_20230712.tsv`, VLMEvalKit's `MMBench_{DEV,TEST}_{EN,CN}.tsv` and `CCBench.tsv`, LLaVA's |
//! | | `mmbench_dev_cn_20231003.tsv` |
//! | lmms-lab Parquet | `{dev,test}-*.parquet` in `data/`, `en/`, `cn/`, `cc/`, `default/` or the folder itself |
//! | upload | `answers_upload/<name of the TSV>/*.xlsx`, `<name>_upload.xlsx` or any such sheet; no pictures |

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use super::split::Split;
use super::{Letter, MmBench, MmBenchData, Question, ROTATION, parquet_files, tsv, workbook};
use crate::benchmark::{Benchmark, Provenance, SourceFile, Version};
use crate::error::DataError;
use crate::picture::Picture;
use crate::sample::{Sample, SampleId};
use crate::source::DataSource;
use crate::tsv::present;

/// A file, or the files of a table, that hold one split.
pub(super) struct Candidate {
    pub(super) split: Split,
    pub(super) paths: Vec<PathBuf>,
}

/// A row as any layout gives it.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) index: u64,
    /// The question's number.
    pub(super) number: u64,
    pub(super) category: Option<String>,
    pub(super) text: String,
    pub(super) question: Question,
}

/// A row with its place and its picture.
pub(super) struct Placed {
    pub(super) path: PathBuf,
    pub(super) record: String,
    pub(super) row: Row,
    pub(super) picture: Picture,
}

impl Placed {
    fn fault(&self, what: impl Into<String>) -> DataError {
        DataError::Record {
            path: self.path.clone(),
            record: self.record.clone(),
            what: what.into(),
        }
    }
}

type Find = fn(&Path) -> Result<Vec<Candidate>, DataError>;
type Read = fn(&Candidate, &Path, Option<&Path>) -> Result<MmBenchData, DataError>;

/// Finds MMBench under `source` and reads all but the pictures. Without a split named it is `dev`, else the later
/// `dev-en`, else whatever there is.
pub(super) fn load(source: &DataSource) -> Result<MmBenchData, DataError> {
    let folders = source.folders(MmBench.task().id())?;
    let found = everywhere(&folders)?;
    if found.is_empty() {
        return Err(DataError::NotFound {
            what: "MMBench (the organisers' or VLMEvalKit's TSV, lmms-lab's Parquet files or an upload sheet)"
                .to_owned(),
            searched: folders,
            remedy: MmBench.data_hint().to_owned(),
        });
    }
    let chosen = match &source.split {
        Some(wanted) => found.iter().find(|(candidate, ..)| candidate.split.id() == wanted),
        None => Split::DEFAULTS
            .into_iter()
            .find_map(|split| found.iter().find(|(candidate, ..)| candidate.split == split))
            .or(found.first()),
    };
    let Some((candidate, folder, read)) = chosen else {
        let splits: Vec<String> = found
            .iter()
            .map(|(candidate, ..)| format!("`{}`", candidate.split.id()))
            .collect();
        return Err(DataError::Mismatch(format!(
            "split `{}` of MMBench is not in `{}`, which holds {}; name that or leave out `--split`",
            source.split.as_deref().unwrap_or_default(),
            source.root.display(),
            splits.join(", "),
        )));
    };
    read(candidate, folder, source.images.as_deref())
}

/// Every release under `source`.
pub(super) fn versions(source: &DataSource) -> Result<Vec<Version>, DataError> {
    let folders = source.folders(MmBench.task().id())?;
    let read = |(candidate, folder, read): &(Candidate, &Path, Read)| -> Version {
        Ok(Box::new(read(candidate, folder, source.images.as_deref())?))
    };
    Ok(everywhere(&folders)?.iter().map(read).collect())
}

/// All that lies in `folders`, in order of precedence, with its reader.
fn everywhere(folders: &[PathBuf]) -> Result<Vec<(Candidate, &Path, Read)>, DataError> {
    let layouts: [(Find, Read); 3] = [
        (tsv::find, tsv::read),
        (parquet_files::find, parquet_files::read),
        (workbook::find, workbook::read),
    ];
    let mut found: Vec<(Candidate, &Path, Read)> = Vec::new();
    for folder in folders {
        for (find, read) in layouts {
            found.extend(
                find(folder)?
                    .into_iter()
                    .map(|candidate| (candidate, folder.as_path(), read)),
            );
        }
    }
    Ok(found)
}

/// A row of its cells by column. `labelled` says whether the table has a column `answer`.
pub(super) fn row(cell: impl Fn(&str) -> Option<String>, labelled: bool) -> Result<Row, String> {
    let get = |column: &str| present(cell(column));
    let needed = |column: &str| get(column).ok_or_else(|| format!("`{column}` is missing"));
    let index = whole_number("index", &needed("index")?)?;
    let number = match get("g_index") {
        Some(number) => whole_number("g_index", &number)?,
        None => index % ROTATION,
    };
    // LLaVA stops at the first missing option.
    let options: Vec<String> = Letter::OPTIONS.iter().map_while(|letter| get(letter.id())).collect();
    let answer = if labelled {
        let answer = needed("answer")?;
        let offered = Letter::OPTIONS.into_iter().take(options.len());
        let letter = offered.into_iter().find(|letter| letter.id() == answer);
        Some(letter.ok_or_else(|| format!("answer `{answer}` is none of the {} options", options.len()))?)
    } else {
        None
    };
    let hint = get("hint").filter(|hint| !matches!(hint.to_lowercase().as_str(), "nan" | "none"));
    Ok(Row {
        index,
        number,
        category: get("category"),
        text: needed("question")?,
        question: Question {
            base: index < ROTATION,
            hint,
            options,
            answer,
            ability: get("l2-category").or_else(|| get("L2-category")),
        },
    })
}

/// A number as some writers spell it, `7` or `7.0`.
fn whole_number(column: &str, text: &str) -> Result<u64, String> {
    let digits = match text.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|digit| digit == b'0') => whole,
        _ => text,
    };
    digits
        .parse()
        .map_err(|_| format!("`{column}` is `{text}`, not a whole number"))
}

/// Makes the dataset of rows in the order of the source.
pub(super) fn assemble(
    rows: Vec<Placed>,
    layout: &'static str,
    split: Split,
    files: Vec<SourceFile>,
    picture_folders: &[PathBuf],
) -> Result<MmBenchData, DataError> {
    check_rotations(&rows)?;
    let mut by_id = HashMap::with_capacity(rows.len());
    let mut groups: HashMap<u64, usize> = HashMap::new();
    let mut samples = Vec::with_capacity(rows.len());
    let mut questions = Vec::with_capacity(rows.len());
    for placed in rows {
        let id = placed.row.index.to_string();
        if by_id.insert(id.clone(), samples.len()).is_some() {
            return Err(placed.fault(format!(
                "`index` {id} stands in an earlier row too; delete one of the two"
            )));
        }
        let next = groups.len();
        let Row {
            number,
            category,
            text,
            question,
            ..
        } = placed.row;
        samples.push(Sample {
            source_id: id.clone(),
            id: SampleId::new(id),
            pictures: vec![placed.picture],
            question: text,
            category,
            reference: question.answer.map(|letter| letter.id().to_owned()),
            scoring_group: *groups.entry(number).or_insert(next),
        });
        questions.push(question);
    }
    Ok(MmBenchData {
        provenance: Provenance {
            layout,
            split: split.id().to_owned(),
            files,
            picture_folders: picture_folders.to_vec(),
        },
        samples,
        questions,
        by_id,
        split,
        matches: None,
    })
}

/// How many rotations a question has shows in the rows alone; a gap in their numbers is a lost row.
fn check_rotations(rows: &[Placed]) -> Result<(), DataError> {
    let mut rotations: BTreeMap<u64, Vec<(u64, usize)>> = BTreeMap::new();
    for (at, placed) in rows.iter().enumerate() {
        let of_question = rotations.entry(placed.row.number).or_default();
        of_question.push((placed.row.index / ROTATION, at));
    }
    for (number, mut of_question) in rotations {
        of_question.sort_unstable();
        of_question.dedup_by_key(|(rotation, _)| *rotation);
        let gap = of_question
            .iter()
            .zip(0_u64..)
            .find(|((rotation, _), expected)| rotation != expected);
        if let Some(((_, at), missing)) = gap
            && let Some(placed) = rows.get(*at)
        {
            let lost = number + missing * ROTATION;
            return Err(placed.fault(format!(
                "row `{lost}` of the same question is missing; take the whole file"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_read_as_pandas_reads_them() {
        let cells = |changed: &[(&str, &str)]| {
            let mut cells: HashMap<&str, &str> = HashMap::from([
                ("index", "1000007.0"),
                ("question", "What?"),
                ("A", "7"),
                ("B", "mug\ncup"),
                ("C", "None"),
                ("D", "pot"),
                ("answer", "B"),
                ("hint", "NONE"),
            ]);
            cells.extend(changed.iter().copied());
            row(|column| cells.get(column).map(|text| (*text).to_owned()), true)
        };
        let plain = cells(&[]).unwrap();
        assert_eq!((plain.index, plain.number, plain.question.base), (1_000_007, 7, false));
        assert_eq!(plain.question.options, ["7", "mug\ncup"]);
        assert_eq!((plain.question.hint, plain.question.answer), (None, Some(Letter::B)));
        let other = cells(&[
            ("g_index", "12"),
            ("hint", "Nan, the grandmother"),
            ("C", "none"),
            ("index", "12"),
        ])
        .unwrap();
        assert_eq!((other.number, other.question.options.len()), (12, 4));
        assert_eq!(other.question.hint.as_deref(), Some("Nan, the grandmother"));
        let faults: [(&[(&str, &str)], &str); 5] = [
            (&[("index", "seven")], "`index` is `seven`, not a whole number"),
            (&[("index", "7.5")], "`index` is `7.5`, not a whole number"),
            (&[("question", "")], "`question` is missing"),
            (&[("answer", "C")], "answer `C` is none of the 2 options"),
            (&[("answer", "nan")], "`answer` is missing"),
        ];
        for (changed, expected) in faults {
            assert_eq!(cells(changed).unwrap_err(), expected);
        }
    }
}
