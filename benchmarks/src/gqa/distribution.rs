//! How far predicted answers are distributed as the right ones (`gqa.md`, section 6); lower is better.
//!
//! Over the questions of each global group, with `e` the count of a right answer and `o` its count among the
//! predictions, chi = Σ (o - e)² / e over the right answers. The value is the mean of chi over all questions with a
//! group, divided by 100. Predictions that are never right in their group are left out.

use std::collections::BTreeMap;

use super::score::Outcome;
use crate::metric::{Metric, MetricId, Ratio, Term};

/// What the original divides by.
const SCALE: f64 = 100.0;

/// How often an answer is right, and how often it is predicted.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    right: f64,
    predicted: f64,
}

/// The counts of a group.
type Group<'a> = BTreeMap<&'a str, Counts>;

/// The metric `distribution`.
pub(super) fn metric(outcomes: &[Outcome<'_>]) -> Metric {
    let grouped: Vec<(&str, &Outcome<'_>)> = outcomes
        .iter()
        .filter_map(|outcome| Some((outcome.question.global_group.as_deref()?, outcome)))
        .collect();
    let mut groups: BTreeMap<&str, Group<'_>> = BTreeMap::new();
    for (name, outcome) in &grouped {
        groups
            .entry(name)
            .or_default()
            .entry(&outcome.reference)
            .or_default()
            .right += 1.0;
    }
    for (name, outcome) in &grouped {
        if let Some(counts) = groups
            .get_mut(name)
            .and_then(|group| group.get_mut(&*outcome.prediction))
        {
            counts.predicted += 1.0;
        }
    }
    let id = MetricId::new("distribution");
    if grouped.is_empty() {
        return Metric {
            id,
            value: Err("no answered question has a global group".to_owned()),
            n: 0,
            bounds: None,
            ratios: Vec::new(),
        };
    }
    let n = grouped.len() as f64;
    let sum: f64 = groups.values().map(|group| chi(group) * weight(group)).sum();
    let value = sum / n / SCALE;
    Metric {
        id,
        value: Ok(value),
        n: grouped.len(),
        bounds: None,
        ratios: ratios(&grouped, &groups, value),
    }
}

fn chi(group: &Group<'_>) -> f64 {
    group
        .values()
        .map(|counts| (counts.predicted - counts.right).powi(2) / counts.right)
        .sum()
}

/// How many questions a group has.
fn weight(group: &Group<'_>) -> f64 {
    group.values().map(|counts| counts.right).sum()
}

/// The value as ratios whose linearisation is its own. With F = Σ weight · chi over the groups, a question adds
/// `g = ∂F/∂(its counts)` to F to first order, and Σ g = 2 F, for F has degree 2 in the counts. Half of each g is
/// the numerator of a ratio of weight 2; a constant ratio of weight -1 takes off what that is too much.
fn ratios(grouped: &[(&str, &Outcome<'_>)], groups: &BTreeMap<&str, Group<'_>>, value: f64) -> Vec<Ratio> {
    let of_group: BTreeMap<&str, (f64, f64)> = groups
        .iter()
        .map(|(name, group)| (*name, (chi(group), weight(group))))
        .collect();
    let change = |name: &str, outcome: &Outcome<'_>| -> f64 {
        let (Some(group), Some((chi, weight))) = (groups.get(name), of_group.get(name)) else {
            return 0.0;
        };
        let share = |answer: &str| group.get(answer).map(|counts| counts.predicted / counts.right);
        let by_reference = share(&outcome.reference).map_or(0.0, |share| 1.0 - share.powi(2));
        let by_prediction = share(&outcome.prediction).map_or(0.0, |share| 2.0 * (share - 1.0));
        chi + weight * (by_reference + by_prediction)
    };
    let terms = |numerator: &dyn Fn(&str, &Outcome<'_>) -> f64| -> Vec<Term> {
        let terms = grouped.iter().map(|(name, outcome)| Term {
            sample: outcome.sample,
            numerator: numerator(name, outcome),
            denominator: 1.0,
        });
        terms.collect()
    };
    vec![
        Ratio {
            weight: 2.0 / SCALE,
            terms: terms(&|name, outcome| change(name, outcome) / 2.0),
        },
        Ratio {
            weight: -1.0,
            terms: terms(&|_, _| value),
        },
    ]
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::*;
    use crate::gqa::Question;

    const WORDS: [&str; 4] = ["red", "blue", "left", "right"];

    /// Group, right answer and prediction of each question.
    fn of(rows: &[(Option<usize>, usize, usize)]) -> Metric {
        let question = |group: &Option<usize>| Question {
            global_group: group.map(|n| n.to_string()),
            ..Question::default()
        };
        let questions: Vec<Question> = rows.iter().map(|row| question(&row.0)).collect();
        let outcomes = questions
            .iter()
            .zip(rows)
            .enumerate()
            .map(|(sample, (question, row))| Outcome {
                sample,
                question,
                reference: Cow::Borrowed(WORDS[row.1]),
                prediction: Cow::Borrowed(WORDS[row.2]),
            });
        metric(&outcomes.collect::<Vec<_>>())
    }

    #[test]
    fn groups_count_by_their_size_and_strange_predictions_not_at_all() {
        let cases = [
            // Twice red is right and once predicted: chi is (1 - 2)² / 2.
            (vec![(Some(0), 0, 0), (Some(0), 0, 1)], 0.5 / 100.0),
            (
                vec![(Some(0), 0, 0), (Some(0), 0, 1), (Some(1), 2, 2), (Some(1), 3, 3)],
                0.25 / 100.0,
            ),
            (vec![(Some(0), 0, 1), (Some(0), 1, 0), (None, 2, 3)], 0.0),
        ];
        for (rows, expected) in cases {
            let metric = of(&rows);
            assert!((metric.value.unwrap() - expected).abs() < 1e-15, "{rows:?}");
        }
        assert_eq!(
            of(&[(None, 0, 0)]).value,
            Err("no answered question has a global group".to_owned())
        );
    }

    #[test]
    fn the_first_ratio_holds_half_of_what_one_question_more_changes() {
        const COPIES: usize = 1000;
        let rows = [
            (Some(0), 0, 0),
            (Some(0), 0, 1),
            (Some(0), 1, 1),
            (Some(0), 1, 2),
            (Some(1), 2, 3),
            (Some(1), 2, 2),
            (None, 3, 3),
        ];
        let many: Vec<_> = rows.iter().cycle().take(rows.len() * COPIES).copied().collect();
        let total = |rows: &[_]| {
            let metric = of(rows);
            metric.value.unwrap() * metric.n as f64 * SCALE
        };
        let terms = of(&many).ratios.remove(0).terms;
        for (at, row) in rows.iter().enumerate().filter(|(_, row)| row.0.is_some()) {
            let more: Vec<_> = many.iter().copied().chain([*row]).collect();
            let mut less = many.clone();
            less.remove(at);
            let change = (total(&more) - total(&less)) / 2.0;
            let term = terms.iter().find(|term| term.sample == at).unwrap();
            assert!(
                (change - 2.0 * term.numerator).abs() < 1e-3,
                "{row:?}: {change}, {term:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn ratios_add_up_to_the_value(
            rows in proptest::collection::vec((proptest::option::of(0_usize..3), 0_usize..4, 0_usize..4), 0..40),
        ) {
            let metric = of(&rows);
            let sum: Option<f64> = metric.ratios.iter().map(Ratio::value).sum();
            match metric.value {
                Ok(value) => prop_assert!((value - sum.unwrap()).abs() < 1e-9),
                Err(_) => prop_assert!(rows.iter().all(|row| row.0.is_none())),
            }
        }
    }
}
