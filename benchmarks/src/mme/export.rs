//! A result folder of the organisers' tool (`mme.md`, sections 2 and 5): a file a subtask, lines of text file, question,
//! right answer and response. The tool takes two lines at a time for the two questions about a picture, so that none
//! may lack an answer.

use std::fmt::Write as _;

use super::truth::text_stem;
use super::{MmeData, Subtask};
use crate::error::DataError;
use crate::export::{Export, ExportFile, complete};

/// The four fields of a line.
type Fields = [String; 4];

/// The folder of answers to all samples; questions without a label, which the tool does not know, are left out.
pub(super) fn results(data: &MmeData, answers: &[Option<String>]) -> Result<Export, DataError> {
    let answers = complete(&data.samples, answers, "MME's tool")?;
    let mut files = Vec::new();
    for subtask in Subtask::all() {
        let rows = rows(data, &answers, subtask);
        let mut text = String::new();
        for row in &rows {
            // Writing to a text cannot fail.
            let _ = writeln!(text, "{}", row.join("\t"));
        }
        let lines = text.lines().map(|line| line.split('\t').collect::<Vec<_>>());
        if !lines.eq(rows
            .iter()
            .map(|row| row.iter().map(String::as_str).collect::<Vec<_>>()))
        {
            return Err(DataError::Unfaithful(format!("lines of {} differ", subtask.id())));
        }
        files.push(ExportFile {
            name: format!("{}.txt", subtask.id()),
            bytes: text.into_bytes(),
        });
    }
    Ok(Export::Folder(files))
}

/// The lines of a subtask, the two about a picture side by side, else in the order of the dataset.
fn rows(data: &MmeData, answers: &[&str], subtask: Subtask) -> Vec<Fields> {
    let samples = data.samples.iter().zip(&data.questions).zip(answers);
    let mut of_subtask: Vec<(usize, Fields)> = samples
        .filter(|((_, question), _)| question.subtask == subtask)
        .filter_map(|((sample, question), answer)| {
            let label = sample.reference.clone()?;
            let file = sample.id.as_str().rsplit('/').nth(1).unwrap_or_default();
            let file = format!("{}.txt", text_stem(file));
            Some((
                question.pair,
                [file, one_field(&sample.question), label, one_field(answer)],
            ))
        })
        .collect();
    of_subtask.sort_by_key(|(pair, _)| *pair);
    of_subtask.into_iter().map(|(_, fields)| fields).collect()
}

/// A space for each character that would end a field or, as Python reads lines, a line. The window of four characters
/// that the tool reads stays where it is.
fn one_field(text: &str) -> String {
    text.replace(['\t', '\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{load, rows as questions, texts, tool};
    use super::*;
    use crate::matching::match_predictions;
    use crate::prediction::PredictionFile;
    use crate::reference_data;

    fn folder(export: Export) -> Vec<(String, String)> {
        let Export::Folder(files) = export else {
            panic!("a file")
        };
        files
            .into_iter()
            .map(|file| (file.name, String::from_utf8(file.bytes).unwrap()))
            .collect()
    }

    #[test]
    fn lines_have_four_fields_whatever_was_answered() {
        let root = tempfile::tempdir().unwrap();
        tool(root.path());
        let data = load(root.path()).unwrap();
        let answers = vec![Some("\nYes,\tit\r\nis\u{2028}so".to_owned()); questions().len()];
        let files = folder(data.export(&answers).unwrap());
        assert_eq!(files.len(), 14);
        let (name, text) = &files[3];
        assert_eq!(name, "color.txt");
        assert_eq!(
            text,
            "900004.txt\tIs there a mug in the color?  Please answer yes or no.\tYes\t Yes, it  is\u{2028}so\n\
             900004.txt\tIs there a Tasse ß in the color? Please answer yes or no.\tNo\t Yes, it  is\u{2028}so\n"
        );
    }

    #[test]
    fn a_question_without_an_answer_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        tool(root.path());
        let data = load(root.path()).unwrap();
        let mut answers = vec![Some("Yes".to_owned()); questions().len()];
        answers[27] = None;
        let error = data.export(&answers).unwrap_err().to_string();
        assert!(error.starts_with("1 of 28 samples have no answer (first: `"), "{error}");
    }

    /// Field by field: LLaVA's answer, the official question and label.
    #[test]
    fn the_13b_answers_stand_beside_the_official_lines() {
        let Some(place) = reference_data::folder("the_13b_answers_stand_beside_the_official_lines") else {
            return;
        };
        let place = place.join("llava-eval/MME");
        let data = load(&place).unwrap();
        let file = PredictionFile::read(&place.join("answers/llava-v1.5-13b.jsonl")).unwrap();
        let answers = texts(match_predictions(&*data, &file).unwrap());
        let files = folder(data.export(&answers).unwrap());
        let mut lines = 0;
        for (name, text) in &files {
            let official = std::fs::read_to_string(place.join("eval_tool/Your_Results").join(name)).unwrap();
            let key = |line: &str| {
                let fields: Vec<&str> = line.split('\t').collect();
                let stem = fields[0].split('.').next().unwrap().to_owned();
                (stem, fields[1].to_owned(), fields[2].to_owned())
            };
            let mut ours: Vec<_> = text.lines().map(key).collect();
            let mut theirs: Vec<_> = official.lines().map(|line| key(line.trim_end())).collect();
            for pair in ours.chunks(2) {
                assert_eq!(pair[0].0, pair[1].0, "{name}");
            }
            ours.sort();
            theirs.sort();
            assert_eq!(ours, theirs, "{name}");
            lines += ours.len();
        }
        assert_eq!((files.len(), lines), (14, 2374));
        let responses = files
            .iter()
            .flat_map(|(_, text)| text.lines())
            .map(|line| line.rsplit('\t').next().unwrap());
        let count = |word: &str| responses.clone().filter(|response| *response == word).count();
        assert_eq!((count("Yes"), count("No")), (1188, 1175));
    }
}
