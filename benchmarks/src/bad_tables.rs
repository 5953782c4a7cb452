//! Faulty Parquet files of every benchmark: a column that is not there, a null in it, pictures that are null. One line
//! names file and record; a null picture is a fault of its sample alone.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use polars::prelude::*;

use crate::benchmark::Dataset;
use crate::picture::PictureError;
use crate::registry::benchmark;
use crate::source::DataSource;
use crate::task::Task;

/// A benchmark's table of two rows: its place, its columns, and those without which it cannot be read.
struct Case {
    task: Task,
    /// Whether two rows are enough of the benchmark to be loaded; POPE has three categories, MME fourteen subtasks.
    whole: bool,
    place: &'static str,
    columns: &'static [(&'static str, [&'static str; 2])],
    needed: &'static [&'static str],
}

const CASES: [Case; 7] = [
    Case {
        task: Task::Vqav2,
        whole: true,
        place: "vqav2/data/validation-00000-of-00001.parquet",
        columns: &[
            ("question_id", ["7", "8"]),
            ("image_id", ["1", "2"]),
            ("question", ["Why?", "How?"]),
        ],
        needed: &["question_id", "image_id", "question"],
    },
    Case {
        task: Task::Textvqa,
        whole: true,
        place: "textvqa/data/validation-00000-of-00001.parquet",
        columns: &[
            ("image_id", ["a", "b"]),
            ("question_id", ["7", "8"]),
            ("question", ["Why?", "How?"]),
        ],
        needed: &["image_id", "question_id", "question"],
    },
    Case {
        task: Task::Vizwiz,
        whole: true,
        place: "vizwiz/data/test-00000-of-00001.parquet",
        columns: &[
            ("question_id", ["VizWiz_test_1", "VizWiz_test_2"]),
            ("question", ["Why?", "How?"]),
        ],
        needed: &["question_id", "question"],
    },
    Case {
        task: Task::Pope,
        whole: false,
        place: "pope/data/test-00000-of-00001.parquet",
        columns: &[
            (
                "question",
                ["Is there a cat in the image?", "Is there a dog in the image?"],
            ),
            ("answer", ["yes", "no"]),
            ("category", ["random", "random"]),
        ],
        needed: &["question", "answer", "category"],
    },
    Case {
        task: Task::Mme,
        whole: false,
        place: "mme/data/test-00000-of-00001.parquet",
        columns: &[
            ("question_id", ["color/1.jpg", "color/1.jpg"]),
            (
                "question",
                [
                    "Is it red? Please answer yes or no.",
                    "Is it blue? Please answer yes or no.",
                ],
            ),
            ("answer", ["Yes", "No"]),
            ("category", ["color", "color"]),
        ],
        needed: &["question_id", "question", "answer", "category"],
    },
    Case {
        task: Task::Mmbench,
        whole: true,
        place: "mmbench/data/dev-00000-of-00001.parquet",
        columns: &[
            ("index", ["1", "2"]),
            ("question", ["Why?", "How?"]),
            ("answer", ["A", "B"]),
            ("A", ["so", "thus"]),
            ("B", ["not", "no"]),
            ("l2-category", ["x", "y"]),
        ],
        needed: &["index", "question", "answer"],
    },
    Case {
        task: Task::MmVet,
        whole: true,
        place: "mm-vet/data/test-00000-of-00001.parquet",
        columns: &[
            ("question_id", ["v1_0", "v1_1"]),
            ("question", ["Why?", "How?"]),
            ("answer", ["so", "thus"]),
            ("capability", ["rec", "ocr,math"]),
        ],
        needed: &["question_id", "question", "answer", "capability"],
    },
];

/// What is done to a column.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    Absent,
    /// In the second row.
    Null,
}

impl Case {
    /// Writes the table with the fault in one of its columns, and null pictures.
    fn write(&self, root: &Path, fault: Option<(&str, Fault)>) -> PathBuf {
        let path = root.join(self.place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut columns = Vec::new();
        for (name, values) in self.columns {
            let mut values = values.map(Some);
            match fault {
                Some((faulty, Fault::Absent)) if faulty == *name => continue,
                Some((faulty, Fault::Null)) if faulty == *name => values[1] = None,
                _ => {}
            }
            columns.push(Column::new((*name).into(), values.to_vec()));
        }
        let fields = [
            Series::new("bytes".into(), vec![None::<Vec<u8>>; 2]),
            Series::new("path".into(), vec![None::<String>; 2]),
        ];
        let image = StructChunked::from_series("image".into(), 2, fields.iter()).unwrap();
        columns.push(image.into_series().into_column());
        let mut frame = DataFrame::new(2, columns).unwrap();
        ParquetWriter::new(File::create(&path).unwrap())
            .finish(&mut frame)
            .unwrap();
        path
    }

    fn load(&self, root: &Path) -> Result<Box<dyn Dataset>, String> {
        let source = DataSource {
            root: root.to_owned(),
            images: None,
            split: None,
            grades: None,
        };
        benchmark(self.task)
            .unwrap()
            .load(&source)
            .map_err(|error| error.to_string())
    }
}

#[test]
fn null_pictures_are_faults_of_their_samples() {
    for case in CASES.iter().filter(|case| case.whole) {
        let root = tempfile::tempdir().unwrap();
        let path = case.write(root.path(), None).display().to_string();
        let data = case.load(root.path()).unwrap();
        assert_eq!(data.samples().len(), 2, "{}", case.task);
        for sample in data.samples() {
            let error = sample.pictures[0].read().unwrap_err();
            assert!(
                matches!(&error, PictureError::NullInTable { file, .. } if *file == path),
                "{}: {error}",
                case.task
            );
        }
    }
}

#[test]
fn a_column_that_is_needed_is_named_with_the_file_and_the_row() {
    for case in CASES {
        for column in case.needed {
            for fault in [Fault::Absent, Fault::Null] {
                let root = tempfile::tempdir().unwrap();
                let path = case.write(root.path(), Some((*column, fault)));
                let error = case.load(root.path()).map(|data| data.samples().len()).unwrap_err();
                let beginning = format!("`{}`", path.display());
                assert!(
                    error.starts_with(&beginning) && !error.contains('\n'),
                    "{}: {error}",
                    case.task
                );
                assert!(error.contains(&format!("`{column}`")), "{}: {error}", case.task);
                if fault == Fault::Null {
                    assert!(error.contains(", row 1: "), "{}: {error}", case.task);
                }
            }
        }
    }
}

#[test]
fn a_table_without_pictures_is_named() {
    for case in CASES {
        let root = tempfile::tempdir().unwrap();
        let path = case.write(root.path(), None);
        let columns = case
            .columns
            .iter()
            .map(|(name, values)| Column::new((*name).into(), values.to_vec()));
        let mut frame = DataFrame::new(2, columns.collect()).unwrap();
        ParquetWriter::new(File::create(&path).unwrap())
            .finish(&mut frame)
            .unwrap();
        let error = case.load(root.path()).map(|data| data.samples().len()).unwrap_err();
        assert_eq!(
            error,
            format!("`{}`: no column `image`; take the set with pictures", path.display())
        );
    }
}
