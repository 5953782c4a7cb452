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

impl Align {
    /// Of a LaTeX `tabular`.
    const fn letter(self) -> char {
        match self {
            Self::Left => 'l',
            Self::Right => 'r',
        }
    }
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

/// Text in a row and column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    text: String,
    best: bool,
}

impl Cell {
    /// Marks the best value of its kind.
    pub fn best(text: String) -> Self {
        Self { text, best: true }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, best: false }
    }
}

/// Rows of text under headings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
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
    pub fn row<C: Into<Cell>>(&mut self, cells: impl IntoIterator<Item = C>) {
        let cells = cells.into_iter().map(|cell| {
            let cell: Cell = cell.into();
            Cell {
                text: visible(&cell.text),
                ..cell
            }
        });
        self.rows.push(cells.collect());
    }

    /// Without the columns that no row fills.
    pub fn without_empty_columns(mut self) -> Self {
        let filled = |column: usize| {
            let mut cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.any(|cell| !cell.text.is_empty())
        };
        let kept: Vec<bool> = (0..self.columns.len()).map(filled).collect();
        let mut keep = kept.iter().copied();
        self.columns.retain(|_| keep.next().unwrap_or(true));
        for row in &mut self.rows {
            let mut keep = kept.iter().copied();
            row.retain(|_| keep.next().unwrap_or(true));
        }
        self
    }

    /// For a terminal; a star marks the best.
    pub fn write_text(&self, out: &mut dyn Write) -> io::Result<()> {
        let mark = |cell: &Cell| {
            if cell.best {
                format!("*{}", cell.text)
            } else {
                cell.text.clone()
            }
        };
        writeln!(out, "{}", trimmed(&self.drawn(UTF8_HORIZONTAL_ONLY, mark)))
    }

    /// For a pull request; the best is bold.
    pub fn write_markdown(&self, out: &mut dyn Write) -> io::Result<()> {
        let mark = |cell: &Cell| {
            let text = cell.text.replace('|', "\\|").replace('<', "&lt;");
            if cell.best { format!("**{text}**") } else { text }
        };
        writeln!(out, "{}", trimmed(&self.drawn(ASCII_MARKDOWN, mark)))
    }

    /// For a paper, with the package `booktabs`; the best is bold.
    pub fn write_latex(&self, out: &mut dyn Write) -> io::Result<()> {
        let columns: String = self.columns.iter().map(|column| column.align.letter()).collect();
        let names: Vec<String> = self.columns.iter().map(|column| latex(column.name)).collect();
        writeln!(
            out,
            "\\begin{{tabular}}{{{columns}}}\n\\toprule\n{} \\\\\n\\midrule",
            names.join(" & ")
        )?;
        for row in &self.rows {
            let cells = row.iter().map(|cell| match (cell.best, latex(&cell.text)) {
                (true, text) => format!("\\textbf{{{text}}}"),
                (false, text) => text,
            });
            writeln!(out, "{} \\\\", cells.collect::<Vec<_>>().join(" & "))?;
        }
        writeln!(out, "\\bottomrule\n\\end{{tabular}}")
    }

    /// For a page; the best is bold.
    pub fn write_html(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "<table>\n<thead>\n<tr>")?;
        for column in &self.columns {
            writeln!(out, "<th scope=\"col\">{}</th>", html(column.name))?;
        }
        writeln!(out, "</tr>\n</thead>\n<tbody>")?;
        for row in &self.rows {
            let cells = row.iter().zip(&self.columns).map(|(cell, column)| {
                let text = html(&cell.text);
                let text = if cell.best {
                    format!("<strong>{text}</strong>")
                } else {
                    text
                };
                match column.align {
                    Align::Left => format!("<td>{text}</td>"),
                    Align::Right => format!("<td style=\"text-align: right\">{text}</td>"),
                }
            });
            writeln!(out, "<tr>{}</tr>", cells.collect::<String>())?;
        }
        writeln!(out, "</tbody>\n</table>")
    }

    /// For a spreadsheet.
    pub fn write_csv(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut writer = csv::Writer::from_writer(out);
        writer.write_record(self.columns.iter().map(|column| column.name))?;
        for row in &self.rows {
            writer.write_record(row.iter().map(|cell| &cell.text))?;
        }
        writer.flush()
    }

    fn drawn(&self, preset: &str, mark: impl Fn(&Cell) -> String) -> String {
        let mut table = comfy_table::Table::new();
        table
            .load_preset(preset)
            .set_content_arrangement(ContentArrangement::Disabled);
        for line in NO_LINE_BETWEEN_ROWS {
            table.remove_style(*line);
        }
        table.set_header(self.columns.iter().map(|column| column.name));
        for row in &self.rows {
            table.add_row(row.iter().map(&mark));
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

fn latex(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            '&' | '%' | '$' | '#' | '_' | '{' | '}' => format!("\\{letter}"),
            '~' => "\\textasciitilde{}".to_owned(),
            '^' => "\\textasciicircum{}".to_owned(),
            '\\' => "\\textbackslash{}".to_owned(),
            '−' => "$-$".to_owned(),
            '–' => "--".to_owned(),
            _ => letter.to_string(),
        })
        .collect()
}

/// Text that stands for itself in a page and in an attribute.
pub fn html(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
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
        table.row([Cell::from("a|b".to_owned()), Cell::best("85.95".to_owned())]);
        table.row(["\u{1b}[31m<b>&_".to_owned(), "9.1".to_owned()]);
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
──────────────────────────
 model                 f1
══════════════════════════
 a|b               *85.95
 \\u{1b}[31m<b>&_      9.1
──────────────────────────
";
        assert_eq!(text(|out| table().write_text(out)), text_table);
        let markdown = "\
| model              |        f1 |
|--------------------|-----------|
| a\\|b               | **85.95** |
| \\u{1b}[31m&lt;b>&_ |       9.1 |
";
        assert_eq!(text(|out| table().write_markdown(out)), markdown);
        let csv = "model,f1\na|b,85.95\n\\u{1b}[31m<b>&_,9.1\n";
        assert_eq!(text(|out| table().write_csv(out)), csv);
        let latex = "\
\\begin{tabular}{lr}
\\toprule
model & f1 \\\\
\\midrule
a|b & \\textbf{85.95} \\\\
\\textbackslash{}u\\{1b\\}[31m<b>\\&\\_ & 9.1 \\\\
\\bottomrule
\\end{tabular}
";
        assert_eq!(text(|out| table().write_latex(out)), latex);
        let page = text(|out| table().write_html(out));
        assert!(
            page.contains("<td style=\"text-align: right\"><strong>85.95</strong></td>"),
            "{page}"
        );
        assert!(page.contains("<td>\\u{1b}[31m&lt;b&gt;&amp;_</td>"), "{page}");
    }

    #[test]
    fn a_column_that_no_row_fills_is_left_out() {
        let mut table = Table::new(&[left("model"), right("rank"), right("f1")]);
        table.row(["a", "", "1"].map(str::to_owned));
        table.row(["b", "", ""].map(str::to_owned));
        let csv = text(|out| table.without_empty_columns().write_csv(out));
        assert_eq!(csv, "model,f1\na,1\nb,\n");
    }

    #[test]
    fn marks_that_turn_the_writing_round_are_shown() {
        assert_eq!(visible("a\u{202e}b\u{2066}c\u{7}"), "a\\u{202e}b\\u{2066}c\\u{7}");
        assert_eq!(visible("é 中 ل"), "é 中 ل");
    }
}
