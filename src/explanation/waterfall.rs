//! From the published number to ours, one bar a factor: text for a terminal, SVG for a page.
//!
//! Each factor stands for itself: its bar is the change that its alternative nearest to the published number makes
//! alone. Such changes need not add up, so the last bar holds what is unexplained and what the factors share.

use std::fmt::Write as _;
use std::iter;

use serde::Serialize;

use crate::explanation::{Alternative, Factor};
use crate::table::html;

/// Narrower than this no bar says anything.
const LEAST_WIDTH: usize = 20;

/// Of the drawing, in pixels: a row, the column of labels, the plot, the column of numbers.
const ROW: f64 = 26.0;
const LABELS: f64 = 290.0;
const PLOT: f64 = 420.0;
const NUMBERS: f64 = 190.0;

/// What a bar stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The published number.
    Published,
    /// A factor with an alternative that lies nearer to the published number than ours.
    Factor,
    /// A factor none of whose alternatives does.
    NoneNearer,
    /// What is left.
    Rest,
    /// Our number.
    Ours,
}

/// One bar.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Bar {
    /// What it stands for.
    pub kind: Kind,
    /// In words.
    pub label: String,
    /// Where it begins.
    pub from: f64,
    /// Where it ends.
    pub to: f64,
    /// 95 % interval of its end, from how far its own size is known; `null` where that is exact.
    pub interval: Option<(f64, f64)>,
}

/// The bars, from the published number down or up to ours.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Waterfall(Vec<Bar>);

impl Waterfall {
    /// One bar a factor, in the order in which the factors come.
    pub fn new(published: f64, ours: f64, alternatives: &[Alternative]) -> Self {
        let gap = (published - ours).abs();
        let mut bars = vec![Bar {
            kind: Kind::Published,
            label: "published".to_owned(),
            from: published,
            to: published,
            interval: None,
        }];
        let (mut level, mut doubt) = (published, 0.0);
        for factor in factors(alternatives) {
            let of_factor = alternatives.iter().filter(|one| one.factor == factor);
            let tried = of_factor.filter(|one| one.value.is_some());
            let left = |one: &&Alternative| one.gap_left.map_or(f64::INFINITY, f64::abs);
            let Some(nearest) = tried.min_by(|a, b| left(a).total_cmp(&left(b))) else {
                continue;
            };
            let change = nearest.change.filter(|_| left(&nearest) < gap - 1e-9);
            let to = level - change.unwrap_or(0.0);
            let half = nearest.ci95.map(|(low, high)| (high - low) / 2.0);
            bars.push(match change {
                Some(_) => Bar {
                    kind: Kind::Factor,
                    label: format!("{}: {}", factor.words(), nearest.alternative),
                    from: level,
                    to,
                    interval: half.map(|half| (to - half, to + half)),
                },
                None => Bar {
                    kind: Kind::NoneNearer,
                    label: format!("{}: none nearer", factor.words()),
                    from: level,
                    to: level,
                    interval: None,
                },
            });
            doubt += change.and(half).unwrap_or(0.0);
            level = to;
        }
        bars.push(Bar {
            kind: Kind::Rest,
            label: "unexplained, and interaction".to_owned(),
            from: level,
            to: ours,
            // What is measured on part of the questions is uncertain here too; the worst case of all at once.
            interval: (doubt > 0.0).then_some((ours - doubt, ours + doubt)),
        });
        bars.push(Bar {
            kind: Kind::Ours,
            label: "ours".to_owned(),
            from: ours,
            to: ours,
            interval: None,
        });
        Self(bars)
    }

    /// Lowest and highest value that a bar or an interval reaches.
    fn range(&self) -> (f64, f64) {
        let values = self.0.iter().flat_map(|bar| {
            let (low, high) = bar.interval.unwrap_or((bar.to, bar.to));
            [bar.from, bar.to, low, high]
        });
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
            (low.min(value), high.max(value))
        })
    }

    /// Lines of at most `width` columns.
    pub fn text(&self, width: usize) -> Vec<String> {
        let labels = self.0.iter().map(|bar| bar.label.chars().count()).max().unwrap_or(0);
        let labels = labels.min(width / 3);
        let numbers: Vec<String> = self.0.iter().map(Bar::number).collect();
        let column = numbers.iter().map(|number| number.chars().count()).max().unwrap_or(0);
        let canvas = width.saturating_sub(labels + column + 4).max(LEAST_WIDTH);
        let (low, high) = self.range();
        let place = |value: f64| {
            let share = if high > low { (value - low) / (high - low) } else { 0.5 };
            (share * (canvas - 1) as f64).round() as usize
        };
        let line = |(bar, number): (&Bar, &String)| {
            let mut drawn = vec![' '; canvas];
            let mut mark = |places: std::ops::RangeInclusive<usize>, letter: char| {
                drawn
                    .get_mut(places)
                    .into_iter()
                    .flatten()
                    .for_each(|slot| *slot = letter);
            };
            if let Some((low, high)) = bar.interval {
                mark(place(low)..=place(high), '─');
                mark(place(low)..=place(low), '├');
                mark(place(high)..=place(high), '┤');
            }
            let (from, to) = (place(bar.from), place(bar.to));
            mark(from.min(to)..=from.max(to), bar.letter());
            let drawn: String = drawn.into_iter().collect();
            let label = shortened(&bar.label, labels);
            format!("{label:<labels$}  {number:>column$}  {drawn}")
                .trim_end()
                .to_owned()
        };
        self.0.iter().zip(&numbers).map(line).collect()
    }

    /// A drawing that stands alone and follows the reader's light or dark page.
    pub fn svg(&self, title: &str) -> String {
        let (low, high) = self.range();
        let x = |value: f64| {
            let share = if high > low { (value - low) / (high - low) } else { 0.5 };
            LABELS + 10.0 + share * (PLOT - 20.0)
        };
        let (width, height) = (LABELS + PLOT + NUMBERS, ROW * (self.0.len() as f64 + 0.5));
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" \
             aria-label=\"{title}\" font-family=\"system-ui, sans-serif\" font-size=\"13\">\n<title>{title}</title>\n{STYLE}\n",
            title = html(title),
        );
        for (row, (bar, next)) in self
            .0
            .iter()
            .zip(self.0.iter().skip(1).map(Some).chain(iter::once(None)))
            .enumerate()
        {
            let middle = ROW * (row as f64 + 0.6);
            let (left, right) = (x(bar.from.min(bar.to)), x(bar.from.max(bar.to)));
            let _ = writeln!(
                svg,
                "<g class=\"{}\"><text x=\"0\" y=\"{:.1}\">{}</text><rect x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"14\"/>",
                bar.class(),
                middle + 4.0,
                html(&shortened(&bar.label, 42)),
                left - 1.5,
                middle - 7.0,
                right - left + 3.0,
            );
            if let Some((low, high)) = bar.interval {
                let _ = writeln!(
                    svg,
                    "<path class=\"interval\" d=\"M{a:.1} {t:.1}v8M{a:.1} {m:.1}H{b:.1}M{b:.1} {t:.1}v8\"/>",
                    a = x(low),
                    b = x(high),
                    t = middle - 4.0,
                    m = middle,
                );
            }
            if next.is_some() {
                let _ = writeln!(
                    svg,
                    "<path class=\"link\" d=\"M{a:.1} {from:.1}V{to:.1}\"/>",
                    a = x(bar.to),
                    from = middle + 7.0,
                    to = middle + ROW - 7.0,
                );
            }
            let _ = writeln!(
                svg,
                "<text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{}</text></g>",
                width - 4.0,
                middle + 4.0,
                html(&bar.number()),
            );
        }
        svg.push_str("</svg>\n");
        svg
    }
}

/// Colours that keep their contrast on light and dark pages.
const STYLE: &str = "<style>text{fill:#1c2128}rect{fill:#57606a}.factor rect{fill:#0969da}.rest rect{fill:#bc4c00}\
    .interval{stroke:#1c2128;fill:none;stroke-width:1.5}.link{stroke:#8c959f;stroke-dasharray:2 2}\
    @media(prefers-color-scheme:dark){text{fill:#e6edf3}rect{fill:#8b949e}.factor rect{fill:#4493f8}\
    .rest rect{fill:#f0883e}.interval{stroke:#e6edf3}}</style>";

impl Bar {
    /// The value where it ends, or the change with its interval.
    fn number(&self) -> String {
        let change = self.to - self.from;
        match (self.kind, self.interval) {
            (Kind::Published | Kind::Ours, _) => format!("{:.2}", self.to),
            (Kind::NoneNearer, _) => "–".to_owned(),
            (Kind::Factor | Kind::Rest, None) => format!("{change:+.2}"),
            (Kind::Factor | Kind::Rest, Some((low, high))) => {
                format!("{change:+.2} ± {:.2}", (high - low) / 2.0)
            }
        }
    }

    const fn letter(&self) -> char {
        match self.kind {
            Kind::Published | Kind::Ours => '┃',
            Kind::Factor => '█',
            Kind::NoneNearer => '│',
            Kind::Rest => '▒',
        }
    }

    const fn class(&self) -> &'static str {
        match self.kind {
            Kind::Published | Kind::Ours => "value",
            Kind::Factor => "factor",
            Kind::NoneNearer => "none",
            Kind::Rest => "rest",
        }
    }
}

/// The factors of some alternatives, each once, without the one that measures noise.
fn factors(alternatives: &[Alternative]) -> Vec<Factor> {
    let mut found = Vec::new();
    for one in alternatives {
        if one.factor != Factor::AskedAgain && !found.contains(&one.factor) {
            found.push(one.factor);
        }
    }
    found
}

fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let kept: String = text.chars().take(most.saturating_sub(1)).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alternative(factor: Factor, change: f64, gap: f64, half: Option<f64>) -> Alternative {
        Alternative {
            factor,
            alternative: "other".to_owned(),
            value: Some(60.0 + change),
            change: Some(change),
            ci95: half.map(|half| (change - half, change + half)),
            gap_left: Some(gap - change),
            reason: None,
            asked: None,
        }
    }

    fn waterfall() -> Waterfall {
        let alternatives = [
            alternative(Factor::AskedAgain, 9.0, 10.0, None),
            alternative(Factor::Protocol, 1.0, 10.0, None),
            alternative(Factor::Protocol, 3.0, 10.0, None),
            alternative(Factor::Metric, -5.0, 10.0, None),
            alternative(Factor::Dtype, 4.0, 10.0, Some(1.0)),
        ];
        Waterfall::new(70.0, 60.0, &alternatives)
    }

    #[test]
    fn bars_go_from_the_published_number_to_ours_through_the_nearest_alternative_of_each_factor() {
        let bars = waterfall().0;
        let ends: Vec<(Kind, f64, f64)> = bars.iter().map(|bar| (bar.kind, bar.from, bar.to)).collect();
        let expected = [
            (Kind::Published, 70.0, 70.0),
            (Kind::Factor, 70.0, 67.0),
            (Kind::NoneNearer, 67.0, 67.0),
            (Kind::Factor, 67.0, 63.0),
            (Kind::Rest, 63.0, 60.0),
            (Kind::Ours, 60.0, 60.0),
        ];
        assert_eq!(ends, expected);
        let intervals: Vec<_> = bars.iter().filter_map(|bar| bar.interval).collect();
        assert_eq!(intervals, [(62.0, 64.0), (59.0, 61.0)]);
    }

    #[test]
    fn a_rest_that_goes_back_shows_that_factors_share_what_they_explain() {
        let both = [
            alternative(Factor::Protocol, 8.0, 10.0, None),
            alternative(Factor::Metric, 7.0, 10.0, None),
        ];
        let bars = Waterfall::new(70.0, 60.0, &both).0;
        let rest = bars.iter().find(|bar| bar.kind == Kind::Rest).unwrap();
        assert_eq!((rest.from, rest.to), (55.0, 60.0));
    }

    #[test]
    fn text_fits_its_width_and_shows_every_bar() {
        insta::assert_snapshot!(waterfall().text(76).join("\n"));
        for width in [40, 60, 200] {
            let lines = waterfall().text(width);
            let longest = lines.iter().map(|line| line.chars().count()).max().unwrap();
            assert!(longest <= width.max(LEAST_WIDTH + 30), "{width}: {longest}");
        }
    }

    #[test]
    fn drawings_escape_what_they_quote() {
        let mut hostile = alternative(Factor::Protocol, 3.0, 10.0, None);
        hostile.alternative = "<script>\"&".to_owned();
        let svg = Waterfall::new(70.0, 60.0, &[hostile]).svg("a < b");
        assert!(svg.contains("protocol: &lt;script&gt;&quot;&amp;") && svg.contains("<title>a &lt; b</title>"));
        assert_eq!(svg.matches("<rect").count(), 4);
        assert!(svg.trim_end().ends_with("</svg>"));
    }
}
