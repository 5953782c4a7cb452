//! The layouts in which MM-Vet lies (`mm-vet.md`, section 2), in order of precedence.
//!
//! | layout | files under the benchmark's folder |
//! |---|---|
//! | LLaVA | `llava-mm-vet.jsonl`, labels in `mm-vet.json` where it is there; joined by id |
//! | official | `mm-vet.json`, in the folder itself or in `mm-vet/` |
//! | lmms-lab Parquet | `test-*.parquet` in `data/`, `default/` or the folder itself |
//! | VLMEvalKit | `MMVet.tsv`; sample ids are `row/<n>` unless every `index` is `v1_<n>` |

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Capability, MmVet, MmVetData, SPLIT, bard, integration, sample_id, tsv_file};
use crate::benchmark::{Benchmark, Provenance, SourceFile};
use crate::error::DataError;
use crate::json_object;
use crate::jsonl::{self, id_text};
use crate::parquet::{SplitPictures, TextColumns, shards_in, source_file};
use crate::picture::{Picture, PictureStore};
use crate::python_text;
use crate::sample::{Sample, SampleId};
use crate::source::{DataSource, PictureFolders};
use crate::task::UnknownName;

const LLAVA_QUESTIONS: &str = "llava-mm-vet.jsonl";
pub(super) const LABELS: &str = "mm-vet.json";
pub(super) const LABEL_FOLDERS: [&str; 3] = ["", "mm-vet", "mmvet"];
const PARQUET_FOLDERS: [&str; 3] = ["data", "default", ""];
const PARQUET_COLUMNS: [&str; 4] = ["question_id", "question", "answer", "capability"];

/// Where pictures lie, in the benchmark's folder and under `--images`.
const PICTURE_FOLDERS: [&str; 4] = ["images", "mm-vet/images", "mmvet/images", ""];

/// A question as any layout gives it.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) source_id: String,
    pub(super) picture: Picture,
    pub(super) question: String,
    pub(super) labels: Option<Labels>,
}

/// What is known of a question besides it.
pub(super) struct Labels {
    pub(super) answer: String,
    pub(super) capabilities: BTreeSet<Capability>,
}

/// A record of `mm-vet.json`.
#[derive(Deserialize)]
struct Official {
    imagename: String,
    question: String,
    answer: String,
    capability: Vec<String>,
}

/// A line of LLaVA's question file.
#[derive(Deserialize)]
struct LlavaQuestion {
    question_id: Value,
    image: String,
    text: String,
}

type Read = fn(&Path, Option<&Path>) -> Result<Option<MmVetData>, DataError>;

/// Finds MM-Vet under `source` and reads all but the pictures.
pub(super) fn load(source: &DataSource) -> Result<MmVetData, DataError> {
    if let Some(wanted) = &source.split
        && ![SPLIT, bard::SPLIT].contains(&wanted.as_str())
    {
        return Err(UnknownName::new("split of MM-Vet", wanted, &[SPLIT, bard::SPLIT]).into());
    }
    let folders = source.folders(MmVet.task().id())?;
    for folder in &folders {
        for read in [llava as Read, official, lmms_lab, tsv_file::vlmevalkit] {
            if let Some(data) = read(folder, source.images.as_deref())? {
                return Ok(data);
            }
        }
    }
    Err(DataError::NotFound {
        what: format!(
            "MM-Vet (`{LABELS}`, `{LLAVA_QUESTIONS}`, lmms-lab's Parquet files or `{}`)",
            tsv_file::FILE
        ),
        searched: folders,
        remedy: MmVet.data_hint().to_owned(),
    })
}

/// LLaVA's question file, in its order, with the organisers' labels where they lie beside it.
fn llava(folder: &Path, images: Option<&Path>) -> Result<Option<MmVetData>, DataError> {
    let path = folder.join(LLAVA_QUESTIONS);
    if !path.is_file() {
        return Ok(None);
    }
    let (questions, file) = jsonl::read::<LlavaQuestion>(&path)?;
    let mut files = vec![file];
    let mut labels: Option<HashMap<String, Official>> = None;
    if let Some(path) = label_file(folder) {
        let (records, file) = read_labels(&path)?;
        labels = Some(records.into_iter().collect());
        files.push(file);
    }
    let mut finder = PictureFolders::new(folder, &PICTURE_FOLDERS, images);
    let mut rows = Vec::with_capacity(questions.len());
    for question in questions {
        let id = question.value.id();
        let fault = |what: String| DataError::line(&path, question.line, what);
        let record = labels.as_mut().map(|labels| labels.remove(&id));
        let of_row = match record {
            None => None,
            Some(None) => return Err(fault(format!("`{id}` is not in `{LABELS}`, or asked twice here"))),
            Some(Some(record)) => {
                if python_text::strip(&record.question) != python_text::strip(&question.value.text) {
                    return Err(fault(format!("asks something else than `{LABELS}` does as `{id}`")));
                }
                Some(record.labels().map_err(fault)?)
            }
        };
        rows.push(Row {
            source_id: id_text(&question.value.question_id).unwrap_or_else(|| id.clone()),
            id,
            picture: finder.picture(&question.value.image, &question.value.image),
            question: question.value.text,
            labels: of_row,
        });
    }
    if let Some(unasked) = labels.iter().flat_map(HashMap::keys).min() {
        let what = format!("`{LABELS}` beside it has `{unasked}`, which is not asked here; take files of one release");
        return Err(DataError::File { path, what });
    }
    let layout = match labels {
        Some(_) => "LLaVA question file with official labels",
        None => "LLaVA question file without labels",
    };
    assemble(rows, layout, files, finder.folders()).map(Some)
}

/// The organisers' file alone.
fn official(folder: &Path, images: Option<&Path>) -> Result<Option<MmVetData>, DataError> {
    let Some(path) = label_file(folder) else {
        return Ok(None);
    };
    let (records, file) = read_labels(&path)?;
    let mut finder = PictureFolders::new(folder, &PICTURE_FOLDERS, images);
    let mut rows = Vec::with_capacity(records.len());
    for (id, record) in records {
        let fault = |what| DataError::Record {
            path: path.clone(),
            record: format!("`{id}`"),
            what,
        };
        rows.push(Row {
            source_id: id.clone(),
            picture: finder.picture(&record.imagename, &record.imagename),
            question: record.question.clone(),
            labels: Some(record.labels().map_err(fault)?),
            id,
        });
    }
    assemble(rows, "official mm-vet.json", vec![file], finder.folders()).map(Some)
}

/// The Parquet files of `lmms-lab/MMVet`.
fn lmms_lab(folder: &Path, images: Option<&Path>) -> Result<Option<MmVetData>, DataError> {
    let Some(paths) = shards_in(folder, &PARQUET_FOLDERS, "test")? else {
        return Ok(None);
    };
    let split = SplitPictures::new(PictureFolders::new(folder, &PICTURE_FOLDERS, images));
    let (mut rows, mut files) = (Vec::new(), Vec::new());
    for path in paths {
        let columns = TextColumns::read(&path, &PARQUET_COLUMNS)?;
        let store = Arc::new(split.open(&path)?);
        for row in 0..columns.rows {
            let fault = |what: String| DataError::Record {
                path: path.clone(),
                record: format!("row {row}"),
                what,
            };
            let text = |column| {
                let value = columns.get(column, row);
                value.ok_or_else(|| fault(format!("no `{column}`; this is not lmms-lab's MMVet")))
            };
            // Questions about one picture hold a copy of it each.
            let picture = match store.read(row) {
                Ok(bytes) => {
                    let key = format!("{:x}", Sha256::digest(&bytes));
                    Picture::stored(key, store.clone() as Arc<dyn PictureStore>, row)
                }
                Err(reason) => Picture::absent(format!("{}, row {row}", path.display()), reason),
            };
            let capabilities = text("capability")?.split(',').map(python_text::strip);
            rows.push(Row {
                id: sample_id(text("question_id")?),
                source_id: text("question_id")?.to_owned(),
                picture,
                question: text("question")?.to_owned(),
                labels: Some(Labels {
                    answer: text("answer")?.to_owned(),
                    capabilities: parse_capabilities(capabilities).map_err(fault)?,
                }),
            });
        }
        files.push(source_file(&path)?);
    }
    assemble(rows, "lmms-lab Parquet", files, &split.folders()).map(Some)
}

fn label_file(folder: &Path) -> Option<PathBuf> {
    let places = LABEL_FOLDERS.map(|sub| folder.join(sub).join(LABELS));
    places.into_iter().find(|path| path.is_file())
}

fn read_labels(path: &Path) -> Result<(Vec<(String, Official)>, SourceFile), DataError> {
    json_object::read(path, "MM-Vet's questions by id, `{\"v1_0\": {\"question\": …}, …}`")
}

impl Official {
    fn labels(self) -> Result<Labels, String> {
        Ok(Labels {
            answer: self.answer,
            capabilities: parse_capabilities(self.capability.iter().map(String::as_str))?,
        })
    }
}

impl LlavaQuestion {
    fn id(&self) -> String {
        id_text(&self.question_id).map(|id| sample_id(&id)).unwrap_or_default()
    }
}

/// The set of them: the organisers' scorer counts one that is listed twice once.
pub(super) fn parse_capabilities<'a>(texts: impl Iterator<Item = &'a str>) -> Result<BTreeSet<Capability>, String> {
    let mut set = BTreeSet::new();
    for text in texts {
        let known = "`rec`, `ocr`, `know`, `gen`, `spat`, `math`";
        let capability = Capability::parse(text);
        set.insert(capability.ok_or_else(|| format!("unknown capability `{text}`; MM-Vet has {known}"))?);
    }
    Ok(set)
}

/// Makes the dataset of rows in the order of the source.
pub(super) fn assemble(
    rows: Vec<Row>,
    layout: &'static str,
    files: Vec<SourceFile>,
    picture_folders: &[PathBuf],
) -> Result<MmVetData, DataError> {
    let path = || files.first().map(|file| file.path.clone()).unwrap_or_default();
    let mut by_id = HashMap::with_capacity(rows.len());
    for (index, row) in rows.iter().enumerate() {
        if by_id.insert(row.id.clone(), index).is_some() {
            return Err(DataError::Record {
                path: path(),
                record: format!("`{}`", row.id),
                what: "stands here twice; delete one of the two".to_owned(),
            });
        }
    }
    if rows.is_empty() {
        return Err(DataError::File {
            path: path(),
            what: "holds no question; download it again".to_owned(),
        });
    }
    let capabilities: Option<Vec<BTreeSet<Capability>>> = rows
        .iter()
        .map(|row| row.labels.as_ref().map(|labels| labels.capabilities.clone()))
        .collect();
    let samples = rows.into_iter().enumerate().map(|(index, row)| Sample {
        id: SampleId::new(row.id),
        source_id: row.source_id,
        pictures: vec![row.picture],
        question: row.question,
        category: row.labels.as_ref().map(|labels| integration(&labels.capabilities)),
        reference: row.labels.map(|labels| labels.answer),
        scoring_group: index,
    });
    Ok(MmVetData {
        samples: samples.collect(),
        capabilities,
        by_id,
        left_out: HashSet::new(),
        grades: None,
        provenance: Provenance {
            layout,
            split: SPLIT.to_owned(),
            files,
            picture_folders: picture_folders.to_vec(),
        },
    })
}
