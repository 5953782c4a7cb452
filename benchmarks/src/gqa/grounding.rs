//! How much of a model's attention lies where a question and its answer point to (`gqa.md`, section 6).
//!
//! It takes the tier's scene graphs, which say where the objects of a picture are, and the model's attention maps,
//! `{tier}_attentions.json`, an array of `{"questionId": "…", "attention": [[0.1, …], …]}`, as the official `eval.py`
//! takes them. Answers have no part in it, so that it is reckoned when the data are read.
//!
//! The whole picture is never a region: `eval.py` means to add it where a step asks about the scene, but looks for
//! `scene` among the names of the step's members, which are `operation`, `argument` and `dependencies`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::Value;

use super::object_file;
use super::question_file::Row;
use crate::benchmark::SourceFile;
use crate::error::DataError;
use crate::json_document;
use crate::jsonl::id_text;

/// What there is of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Grounding {
    #[default]
    NoSceneGraphs,
    NoAttention,
    Known,
}

impl Grounding {
    /// Why there is no value.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::NoSceneGraphs => "no scene graphs; GQA has them for train and val only",
            Self::NoAttention => "needs attention maps, which answers in words do not come with",
            Self::Known => "no answered question",
        }
    }
}

/// What was found, each row's value in the order of the rows, and the files.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) grounding: Grounding,
    pub(super) values: Vec<Option<f64>>,
    pub(super) files: Vec<SourceFile>,
}

/// Left, upper, right and lower edge, in parts of the picture.
type Region = [f64; 4];

#[derive(Deserialize)]
struct Graph {
    width: f64,
    height: f64,
    objects: HashMap<String, Object>,
}

#[derive(Deserialize)]
struct Object {
    x: f64,
    y: f64,
    w: f64,
    h: f64,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attention {
    question_id: Value,
    attention: Vec<Vec<f64>>,
}

/// Looks in `folders` for what a tier's questions need and reckons their values.
pub(super) fn read(folders: &[PathBuf], tier: &str, rows: &[Row]) -> Result<Found, DataError> {
    let Some(graphs) = object_file::of_tier(folders, tier, "sceneGraphs") else {
        return Ok(Found::default());
    };
    let attentions = object_file::of_tier(folders, tier, "attentions");
    let Some(attention) = attentions.and_then(|parts| parts.into_iter().next()) else {
        return Ok(Found {
            grounding: Grounding::NoAttention,
            ..Found::default()
        });
    };
    let mut files = Vec::with_capacity(graphs.len() + 1);
    let mut regions: Vec<Option<Vec<Region>>> = vec![None; rows.len()];
    let mut of_picture: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, row) in rows.iter().enumerate() {
        of_picture.entry(&row.image_id).or_default().push(index);
    }
    for path in &graphs {
        files.push(json_document::members(path, |image_id, graph: Graph| {
            for index in of_picture.get(image_id.as_str()).into_iter().flatten() {
                if let (Some(row), Some(place)) = (rows.get(*index), regions.get_mut(*index)) {
                    *place = Some(graph.regions(row).map_err(|what| DataError::Record {
                        path: path.clone(),
                        record: format!("picture `{image_id}`"),
                        what,
                    })?);
                }
            }
            Ok(())
        })?);
    }
    let by_id: HashMap<&str, usize> = rows
        .iter()
        .enumerate()
        .map(|(index, row)| (row.id.as_str(), index))
        .collect();
    let mut values = vec![None; rows.len()];
    files.push(json_document::elements(&attention, |number, map: Attention| {
        let id = id_text(&map.question_id).unwrap_or_default();
        let index = by_id.get(id.as_str()).copied();
        if let Some((regions, value)) =
            index.and_then(|index| Some((regions.get(index)?.as_ref()?, values.get_mut(index)?)))
        {
            *value = Some(on_regions(&map.attention, regions).map_err(|what| DataError::Record {
                path: attention.clone(),
                record: format!("record {number}"),
                what,
            })?);
        }
        Ok(())
    })?);
    complete(rows, &values, &attention)?;
    Ok(Found {
        grounding: Grounding::Known,
        values,
        files,
    })
}

/// Refuses files that do not belong together.
fn complete(rows: &[Row], values: &[Option<f64>], attention: &Path) -> Result<(), DataError> {
    let mut lacking = rows
        .iter()
        .zip(values)
        .filter(|(row, value)| row.balanced && value.is_none())
        .map(|(row, _)| &row.id);
    match lacking.next() {
        None => Ok(()),
        Some(first) => Err(DataError::File {
            path: attention.to_owned(),
            what: format!(
                "no attention map, or no scene graph, of {} balanced questions (first: {first}); take files that \
                 belong together",
                1 + lacking.count()
            ),
        }),
    }
}

impl Graph {
    /// Where the question and the full answer of a row point to.
    fn regions(&self, row: &Row) -> Result<Vec<Region>, String> {
        let region = |id: &String| {
            let object = self
                .objects
                .get(id)
                .ok_or_else(|| format!("no object `{id}`, to which question {} points", row.id))?;
            Ok([
                object.x / self.width,
                object.y / self.height,
                (object.x + object.w) / self.width,
                (object.y + object.h) / self.height,
            ])
        };
        row.pointers.iter().map(region).collect()
    }
}

/// The sum over regions and cells of attention by the part of the cell that is in the region. The first index of a map
/// goes from left to right.
fn on_regions(map: &[Vec<f64>], regions: &[Region]) -> Result<f64, String> {
    if map.is_empty() || map.iter().any(|cells| cells.len() != map.len()) {
        return Err(
            "`attention` is no square map; maps over objects are not scored, `eval.py` fails on them".to_owned(),
        );
    }
    let edge = 1.0 / map.len() as f64;
    let mut sum = 0.0;
    for region in regions {
        for (column, cells) in map.iter().enumerate() {
            for (line, attention) in cells.iter().enumerate() {
                let (left, upper) = (edge * column as f64, edge * line as f64);
                let (right, lower) = (edge * (column + 1) as f64, edge * (line + 1) as f64);
                let [x0, y0, x1, y1] = *region;
                let overlap = shared((left, right), (x0, x1)) * shared((upper, lower), (y0, y1));
                sum += attention * (overlap / ((right - left) * (lower - upper)));
            }
        }
    }
    Ok(sum)
}

/// The length of what two stretches have in common.
fn shared((start, end): (f64, f64), (other_start, other_end): (f64, f64)) -> f64 {
    (end.min(other_end) - start.max(other_start)).max(0.0)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;
    use crate::gqa::fixture::{golden, golden_answers, load, official, write};
    use crate::task::Protocol;

    /// The toy set with one object in the left upper quarter and one over the whole, and all attention in the left
    /// upper cell of a map of 2 by 2.
    fn toy(root: &Path) {
        official(root);
        let mut questions = golden().questions;
        for (n, (_, question)) in questions.iter_mut().enumerate() {
            let pointers = if n == 0 { json!({"4": "1"}) } else { json!({}) };
            question["annotations"] =
                json!({"question": pointers, "answer": {"0": "none"}, "fullAnswer": {"1:3": "2"}});
        }
        let ids: Vec<String> = questions.keys().cloned().collect();
        write(
            root.join("testdev_balanced_questions.json"),
            serde_json::Value::Object(questions).to_string(),
        );
        let graph = json!({"n0": {"width": 200, "height": 100, "location": "x", "objects": {
            "1": {"name": "mug", "x": 0, "y": 0, "w": 100, "h": 50, "attributes": [], "relations": []},
            "2": {"name": "room", "x": 0, "y": 0, "w": 200, "h": 100}}}});
        write(root.join("testdev_sceneGraphs.json"), graph.to_string());
        let map = |id: &String| json!({"questionId": id, "attention": [[0.8, 0.1], [0.1, 0.0]]});
        let maps: Vec<serde_json::Value> = ids.iter().map(map).collect();
        write(
            root.join("testdev_attentions.json"),
            serde_json::Value::Array(maps).to_string(),
        );
    }

    fn value(root: &Path) -> Result<f64, String> {
        let data = load(root).unwrap();
        let score = data.score(&golden_answers(&*data), Protocol::Official).unwrap();
        score.metric("grounding").unwrap().value.clone()
    }

    #[test]
    fn attention_on_the_regions_is_meant_over_the_questions() {
        let root = tempfile::tempdir().unwrap();
        toy(root.path());
        // Everything is in the whole picture; the first question points to the quarter too.
        let found = value(root.path()).unwrap();
        assert!((found - 100.0 * (9.0 + 0.8) / 9.0).abs() < 1e-9, "{found}");
        assert_eq!(load(root.path()).unwrap().provenance().files.len(), 3);
        fs::remove_file(root.path().join("testdev_attentions.json")).unwrap();
        assert_eq!(value(root.path()), Err(Grounding::NoAttention.reason().to_owned()));
        fs::remove_file(root.path().join("testdev_sceneGraphs.json")).unwrap();
        assert_eq!(value(root.path()), Err(Grounding::NoSceneGraphs.reason().to_owned()));
    }

    /// Values of the official functions, reckoned with Python 3.11 from their published formulas.
    #[test]
    fn a_map_is_laid_over_the_picture_column_by_column() {
        let map = vec![vec![0.5, 0.0], vec![0.25, 0.25]];
        let cases = [
            ([0.0, 0.0, 0.5, 0.5], 0.5),
            ([0.5, 0.0, 1.0, 0.5], 0.25),
            ([0.0, 0.5, 0.5, 1.0], 0.0),
            ([0.25, 0.25, 0.75, 0.75], 0.25),
            ([0.9, 0.9, 1.4, 1.4], 0.01),
            ([0.5, 0.5, 0.5, 0.9], 0.0),
        ];
        for (region, expected) in cases {
            let found = on_regions(&map, &[region]).unwrap();
            assert!((found - expected).abs() < 1e-12, "{region:?}: {found}");
        }
        assert_eq!(on_regions(&map, &[]), Ok(0.0));
        assert!(on_regions(&[vec![0.0, 0.0, 1.0, 1.0, 0.5]], &[]).is_err());
    }

    #[test]
    fn files_that_do_not_belong_together_are_named() {
        let cases = [
            (
                "testdev_attentions.json",
                "\"questionId\":\"1\"",
                "\"questionId\":\"x\"",
                "`ROOT/testdev_attentions.json`: no attention map, or no scene graph, of 1 balanced questions (first: 1)",
            ),
            (
                "testdev_attentions.json",
                "[0.1,0.0]",
                "[0.1]",
                "`ROOT/testdev_attentions.json`, record 1: `attention` is no square map",
            ),
            (
                "testdev_sceneGraphs.json",
                "\"2\":",
                "\"3\":",
                "`ROOT/testdev_sceneGraphs.json`, picture `n0`: no object `2`, to which question ",
            ),
            (
                "testdev_sceneGraphs.json",
                "\"height\":100",
                "\"height\":null",
                "`ROOT/testdev_sceneGraphs.json`: invalid type: null, expected f64 at line 1 column ",
            ),
        ];
        for (name, from, to, expected) in cases {
            let root = tempfile::tempdir().unwrap();
            toy(root.path());
            let content = fs::read_to_string(root.path().join(name)).unwrap();
            assert!(content.contains(from), "{content}");
            fs::write(root.path().join(name), content.replacen(from, to, 1)).unwrap();
            let error = crate::gqa::fixture::fault(root.path());
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
