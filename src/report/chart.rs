//! Where marks stand on axes. The template draws them as SVG; here are only numbers and words.

use serde::Serialize;

/// Length of a horizontal axis: its unit is per cent of the drawing's width, so that text keeps its size on a phone.
const ACROSS: f64 = 100.0;

/// Height of a row of a chart, in pixels: a line of text above the marks.
const ROW: f64 = 38.0;

/// Where the marks of a row stand in it.
const MARKS: f64 = 27.0;

/// Height of a curve's plot, in pixels.
const CURVE_HEIGHT: f64 = 180.0;

/// Fraction of the range that is left free at either end.
const MARGIN: f64 = 0.06;

/// An axis of values.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Axis {
    low: f64,
    high: f64,
    /// Marks with their labels.
    pub ticks: Vec<Tick>,
}

/// A labelled place on an axis.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tick {
    /// Its place.
    pub at: f64,
    /// Its value.
    pub label: String,
}

impl Axis {
    /// An axis `length` long that shows all of `values` with round ticks; `None` without a value.
    pub fn around(values: impl IntoIterator<Item = f64>, length: f64) -> Option<Self> {
        let finite = values.into_iter().filter(|value| value.is_finite());
        let range = finite.fold(None, |range: Option<(f64, f64)>, value| match range {
            None => Some((value, value)),
            Some((low, high)) => Some((low.min(value), high.max(value))),
        });
        let (low, high) = range?;
        // One value alone still needs a range to stand in.
        let spread = if high > low {
            high - low
        } else {
            low.abs().max(1.0) * 0.1
        };
        Some(Self::from_to(low - MARGIN * spread, high + MARGIN * spread, length))
    }

    /// An axis between two values.
    pub fn from_to(low: f64, high: f64, length: f64) -> Self {
        let mut axis = Self {
            low,
            high,
            ticks: Vec::new(),
        };
        let step = round_step((high - low) / 4.0);
        let decimals = (-step.log10().floor()).clamp(0.0, 6.0) as usize;
        let first = (low / step).ceil() as i64;
        axis.ticks = (first..first + 12)
            .map(|n| n as f64 * step)
            .filter(|value| *value <= high)
            .map(|value| Tick {
                at: axis.at(value, length),
                // No "-0".
                label: format!("{:.decimals$}", if value == 0.0 { 0.0 } else { value }),
            })
            .collect();
        axis
    }

    fn at(&self, value: f64, length: f64) -> f64 {
        hundredths((value - self.low) / (self.high - self.low) * length)
    }
}

/// 1, 2 or 5 times a power of ten, not below `step`.
fn round_step(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let digit = [1.0, 2.0, 5.0].into_iter().find(|digit| digit * power >= step * 0.999);
    digit.unwrap_or(10.0) * power
}

/// Finer than a pixel, and short in the page.
fn hundredths(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// What a mark stands for; its colour and shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A run of this page.
    Run,
    /// A published number that the run agrees with.
    Agrees,
    /// One that it differs from.
    Differs,
    /// A difference that is significant and bad.
    Worse,
    /// A difference that is significant and good.
    Better,
    /// A difference that may be chance.
    Open,
}

/// A value with its interval.
#[derive(Debug, Clone, PartialEq)]
pub struct Value {
    /// Its row; neighbours with equal labels share one.
    pub label: String,
    /// What it is of, in full.
    pub name: String,
    /// The value.
    pub value: f64,
    /// Its 95 % interval.
    pub interval: Option<(f64, f64)>,
    /// What it stands for.
    pub kind: Kind,
}

/// Values one below the other on one axis. Across in per cent, down in pixels.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Forest {
    /// What a reader hears in place of the drawing.
    pub title: String,
    /// Height of all rows.
    pub height: f64,
    /// The axis.
    pub axis: Axis,
    /// Place of zero, where it matters.
    pub zero: Option<f64>,
    /// The rows.
    pub rows: Vec<ForestRow>,
}

/// A row of a [`Forest`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ForestRow {
    /// What it is of.
    pub label: String,
    /// Where its text stands.
    pub text_y: f64,
    /// Where its marks stand.
    pub y: f64,
    /// The values.
    pub marks: Vec<Mark>,
}

/// A value in a [`ForestRow`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mark {
    /// What it is of.
    pub name: String,
    /// Colour and shape.
    pub kind: Kind,
    /// The value.
    pub x: f64,
    /// The interval's ends.
    pub interval: Option<(f64, f64)>,
    /// The value in digits.
    pub text: String,
}

impl Forest {
    /// Values on an axis of their own; `None` without a value.
    pub fn new(title: String, values: &[Value]) -> Option<Self> {
        Self::on(
            title,
            values,
            Axis::around(values.iter().flat_map(Value::extent), ACROSS)?,
            false,
        )
    }

    /// Differences: zero is on the axis and drawn.
    pub fn of_differences(title: String, values: &[Value]) -> Option<Self> {
        let extent = values.iter().flat_map(Value::extent).chain([0.0]);
        Self::on(title, values, Axis::around(extent, ACROSS)?, true)
    }

    fn on(title: String, values: &[Value], axis: Axis, zero: bool) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let mark = |value: &Value| Mark {
            name: value.name.clone(),
            kind: value.kind,
            x: axis.at(value.value, ACROSS),
            interval: value
                .interval
                .map(|(low, high)| (axis.at(low, ACROSS), axis.at(high, ACROSS))),
            text: if zero {
                format!("{:+.2}", value.value)
            } else {
                format!("{:.2}", value.value)
            },
        };
        let groups = values.chunk_by(|one, next| one.label == next.label);
        let rows = groups.enumerate().map(|(number, group)| ForestRow {
            label: group.first().map(|value| value.label.clone()).unwrap_or_default(),
            text_y: number as f64 * ROW + 15.0,
            y: number as f64 * ROW + MARKS,
            marks: group.iter().map(mark).collect(),
        });
        let rows: Vec<ForestRow> = rows.collect();
        Some(Self {
            title,
            height: rows.len() as f64 * ROW,
            rows,
            zero: zero.then(|| axis.at(0.0, ACROSS)),
            axis,
        })
    }
}

impl Value {
    fn extent(&self) -> impl Iterator<Item = f64> + use<> {
        let (low, high) = self.interval.unwrap_or((self.value, self.value));
        [self.value, low, high].into_iter()
    }
}

/// A value on a short axis from zero, for a cell of a table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Strip {
    /// The value, 0 to 100.
    pub x: f64,
    /// The interval's ends.
    pub interval: Option<(f64, f64)>,
}

impl Strip {
    /// A value on an axis from zero to `most`.
    pub fn new(value: f64, interval: Option<(f64, f64)>, most: f64) -> Self {
        let at = |value: f64| hundredths((value / most * 100.0).clamp(0.0, 100.0));
        Self {
            x: at(value),
            interval: interval.map(|(low, high)| (at(low), at(high))),
        }
    }

    /// The end of an axis from zero that holds `most`: 100, as most metrics are per cent, or a round number above.
    pub fn end(most: f64) -> f64 {
        let ends = [100.0, 200.0, 500.0, 1000.0, 2000.0, 3000.0];
        ends.into_iter().find(|end| most <= *end).unwrap_or(most)
    }
}

/// A value over training steps. Across in per cent, down in pixels.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Curve {
    /// What a reader hears in place of the drawing.
    pub title: String,
    /// What the horizontal axis counts.
    pub across: String,
    /// Height of the plot.
    pub height: f64,
    /// Values, from the bottom up.
    pub axis: Axis,
    /// The points, by step.
    pub points: Vec<Point>,
}

/// A point of a [`Curve`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Point {
    /// The run.
    pub name: String,
    /// Its label on the horizontal axis.
    pub step: String,
    /// Across.
    pub x: f64,
    /// Down.
    pub y: f64,
    /// The interval's ends, down.
    pub interval: Option<(f64, f64)>,
    /// The value in digits.
    pub text: String,
}

impl Curve {
    /// Values of runs over the steps that their names end in (`checkpoint-2000`), or over the order in which they
    /// were given where a name has none. `None` for fewer than three values.
    pub fn new(title: String, values: &[Value]) -> Option<Self> {
        if values.len() < 3 {
            return None;
        }
        let steps: Option<Vec<u64>> = values.iter().map(|value| step(&value.label)).collect();
        let steps = steps.filter(|steps| {
            steps
                .iter()
                .all(|step| steps.iter().filter(|other| *other == step).count() == 1)
        });
        let across = if steps.is_some() {
            "training step"
        } else {
            "run, in the order given"
        };
        let steps = steps.unwrap_or_else(|| (1..=values.len() as u64).collect());
        let axis = Axis::around(values.iter().flat_map(Value::extent), CURVE_HEIGHT)?;
        let (first, last) = (steps.iter().min()?, steps.iter().max()?);
        let x = |step: u64| hundredths(ACROSS * (0.08 + 0.88 * (step - first) as f64 / (last - first) as f64));
        let y = |value: f64| hundredths(CURVE_HEIGHT - axis.at(value, CURVE_HEIGHT));
        let mut points: Vec<(u64, Point)> = values
            .iter()
            .zip(&steps)
            .map(|(value, &step)| {
                let point = Point {
                    name: value.name.clone(),
                    step: step.to_string(),
                    x: x(step),
                    y: y(value.value),
                    interval: value.interval.map(|(low, high)| (y(low), y(high))),
                    text: format!("{:.2}", value.value),
                };
                (step, point)
            })
            .collect();
        points.sort_by_key(|(step, _)| *step);
        let points: Vec<Point> = points.into_iter().map(|(_, point)| point).collect();
        let ticks = axis.ticks.iter().map(|tick| Tick {
            at: hundredths(CURVE_HEIGHT - tick.at),
            label: tick.label.clone(),
        });
        Some(Self {
            title,
            across: across.to_owned(),
            height: CURVE_HEIGHT,
            axis: Axis {
                ticks: ticks.collect(),
                ..axis
            },
            points,
        })
    }
}

/// The number that a checkpoint's name ends in.
fn step(name: &str) -> Option<u64> {
    let digits = name.len() - name.trim_end_matches(|letter: char| letter.is_ascii_digit()).len();
    name.get(name.len() - digits..)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(label: &str, value: f64) -> Value {
        Value {
            label: label.to_owned(),
            name: label.to_owned(),
            value,
            interval: Some((value - 1.0, value + 1.0)),
            kind: Kind::Run,
        }
    }

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn ticks_are_round_and_within_the_axis() {
        assert_eq!(labels(&Axis::from_to(84.2, 87.9, 100.0)), ["85", "86", "87"]);
        assert_eq!(
            labels(&Axis::from_to(-1.0, 1.0, 100.0)),
            ["-1.0", "-0.5", "0.0", "0.5", "1.0"]
        );
        assert_eq!(
            labels(&Axis::from_to(1200.0, 1600.0, 100.0)),
            ["1200", "1300", "1400", "1500", "1600"]
        );
        let one = Axis::around([50.0], 100.0).unwrap();
        assert!(!one.ticks.is_empty() && one.at(50.0, 100.0) == 50.0);
        assert_eq!(Axis::around([f64::NAN], 100.0), None);
    }

    #[test]
    fn a_forest_keeps_every_interval_inside_and_zero_where_it_belongs() {
        let forest = Forest::of_differences("d".to_owned(), &[value("a", 3.0), value("b", 9.0)]).unwrap();
        let mark = forest.rows.first().unwrap().marks.first().unwrap();
        let (low, high) = mark.interval.unwrap();
        assert!(0.0 < low && low < mark.x && mark.x < high && high < ACROSS);
        assert!(forest.zero.unwrap() > 0.0 && forest.zero.unwrap() < low);
        assert_eq!(mark.text, "+3.00");
        assert_eq!(Forest::new("d".to_owned(), &[]), None);
    }

    #[test]
    fn neighbours_of_one_label_share_a_row() {
        let forest = Forest::new("f".to_owned(), &[value("a", 1.0), value("b", 2.0), value("b", 3.0)]).unwrap();
        let marks: Vec<_> = forest.rows.iter().map(|row| row.marks.len()).collect();
        assert_eq!((marks, forest.height), (vec![1, 2], 2.0 * ROW));
    }

    #[test]
    fn a_curve_goes_by_the_steps_in_names() {
        let runs = [
            value("checkpoint-3000", 60.0),
            value("checkpoint-1000", 50.0),
            value("checkpoint-1500", 55.0),
        ];
        let curve = Curve::new("c".to_owned(), &runs).unwrap();
        let names: Vec<_> = curve.points.iter().map(|point| point.step.as_str()).collect();
        assert_eq!(
            (names, curve.across.as_str()),
            (vec!["1000", "1500", "3000"], "training step")
        );
        let [first, second, third] = [0, 1, 2].map(|n| curve.points.get(n).unwrap());
        assert!(
            (second.x - first.x) * 2.9 < third.x - second.x,
            "distances are those of the steps"
        );
        assert!(first.y > second.y && second.y > third.y, "up is more");
        let unnumbered = [value("a", 1.0), value("b", 2.0), value("c", 3.0)];
        assert_eq!(
            Curve::new("c".to_owned(), &unnumbered).unwrap().across,
            "run, in the order given"
        );
        let twice = [value("a-1", 1.0), value("b-1", 2.0), value("c-2", 3.0)];
        assert_eq!(
            Curve::new("c".to_owned(), &twice).unwrap().across,
            "run, in the order given"
        );
        assert_eq!(Curve::new("c".to_owned(), &unnumbered[..2]), None);
    }

    #[test]
    fn strips_start_at_zero() {
        assert_eq!(Strip::end(62.0), 100.0);
        assert_eq!(Strip::end(1531.3), 2000.0);
        let strip = Strip::new(50.0, Some((-3.0, 60.0)), 100.0);
        assert_eq!((strip.x, strip.interval), (50.0, Some((0.0, 60.0))));
    }
}
