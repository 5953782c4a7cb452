//! A table of text, in the formats that people and programs ask for.

use std::io::{self, Write};

use comfy_table::presets::{ASCII_MARKDOWN, UTF8_HORIZONTAL_ONLY};
use comfy_table::{CellAlignment, ContentArrangement, TableComponent};

/// The parts of a preset that would draw a line between two rows.
const NO_LINE_BETWEEN_ROWS: &[TableComponent] = &[
    TableComponent::HorizontalLines,
    TableComponent::MiddleIntersections,
    TableComponent::LeftBorderIntersections,
    TableComponent::RightBorderIntersections,
];

/// Which side a column leans to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// A column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// Its heading.
    pub name: &'static str,
    /// Its side.
    pub align: Align,
}

/// Words.
pub const fn left(name: &'static str) -> Column {
    Column {
        name,
        align: Align::Left,
    }
}

/// Numbers.
pub const fn right(name: &'static str) -> Column {
    Column {
        name,
        align: Align::Right,
    }
}

/// Rows of text under headings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub fn new(columns: &[Column]) -> Self {
        Self {
            columns: columns.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; one cell a column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| visible(&cell)).collect());
    }

    /// For a terminal.
    pub fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", trimmed(&self.drawn(UTF8_HORIZONTAL_ONLY)))
    }

    /// For a pull request.
    pub fn write_markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut escaped = self.clone();
        for cell in escaped.rows.iter_mut().flatten() {
            *cell = cell.replace('|', "\\|");
        }
        writeln!(out, "{}", trimmed(&escaped.drawn(ASCII_MARKDOWN)))
    }

    /// For a spreadsheet.
    pub fn write_csv(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut writer = csv::Writer::from_writer(out);
        writer.write_record(self.columns.iter().map(|column| column.name))?;
        for row in &self.rows {
            writer.write_record(row)?;
        }
        writer.flush()
    }

    fn drawn(&self, preset: &str) -> String {
        let mut table = comfy_table::Table::new();
        table
            .load_preset(preset)
            .set_content_arrangement(ContentArrangement::Disabled);
        for line in NO_LINE_BETWEEN_ROWS {
            table.remove_style(*line);
        }
        table.set_header(self.columns.iter().map(|column| column.name));
        for row in &self.rows {
            table.add_row(row);
        }
        for (index, column) in self.columns.iter().enumerate() {
            if let (Align::Right, Some(drawn)) = (column.align, table.column_mut(index)) {
                drawn.set_cell_alignment(CellAlignment::Right);
            }
        }
        table.to_string()
    }
}

/// Text from data must not steer the reader's terminal: control characters and marks that turn the direction of writing
/// are shown as `\u{1b}`.
pub fn visible(text: &str) -> String {
    let steers = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars()
        .map(|letter| {
            if steers(letter) {
                letter.escape_default().to_string()
            } else {
                letter.to_string()
            }
        })
        .collect()
}

fn trimmed(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&[left("model"), right("f1")]);
        table.row(["a|b".to_owned(), "85.95".to_owned()]);
        table.row(["\u{1b}[31mred".to_owned(), "9.1".to_owned()]);
        table
    }

    fn text(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn formats() {
        let text_table = "\
───────────────────────
 model              f1
═══════════════════════
 a|b             85.95
 \\u{1b}[31mred     9.1
───────────────────────
";
        assert_eq!(text(|out| table().write_text(out)), text_table);
        let markdown = "\
| model         |    f1 |
|---------------|-------|
| a\\|b          | 85.95 |
| \\u{1b}[31mred |   9.1 |
";
        assert_eq!(text(|out| table().write_markdown(out)), markdown);
        let csv = "model,f1\na|b,85.95\n\\u{1b}[31mred,9.1\n";
        assert_eq!(text(|out| table().write_csv(out)), csv);
    }
}
