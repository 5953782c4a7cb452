//! The stages of a training and the learning rate at each step.

use std::collections::BTreeMap;
use std::error::Error;
use std::f64::consts::PI;
use std::fmt::Display;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::parameters::Part;
use crate::records::Source;

/// What a stage teaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Objective {
    /// The tower: the words of captions at their places.
    Words,
    /// The projector: the same words in the decoder's own terms, so that its head would read them off a picture's rows.
    Rows,
    /// The whole model: the answers.
    Answers,
}

/// A stage: what is seen and what is trained for how long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// What the log calls it.
    pub name: String,
    /// How many steps it takes.
    pub steps: u64,
    /// Sequences of a step.
    pub batch: usize,
    /// Shares of the files.
    pub mixture: BTreeMap<Source, f64>,
    /// What is foretold.
    pub objective: Objective,
    /// What is trained; the rest stands still.
    pub train: Vec<Part>,
    /// Learning rate after warm-up.
    pub peak: f64,
    /// Learning rate at the end, reached along a cosine.
    pub floor: f64,
    /// Steps from zero to the peak.
    pub warm_up: u64,
}

/// The stages, one after the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan(pub Vec<Stage>);

impl Plan {
    /// Reads a plan.
    pub fn read(path: &Path) -> Result<Self, Box<dyn Error>> {
        let blame = |what: &dyn Display| format!("`{}`: {what}", path.display());
        let text = fs::read_to_string(path).map_err(|error| blame(&error))?;
        let plan: Self = serde_json::from_str(&text).map_err(|error| blame(&error))?;
        // A name is a column of `loss.csv`.
        match plan.0.iter().find(|stage| stage.name.contains([',', '"', '\n'])) {
            Some(stage) => Err(blame(&format!(
                "the name `{}` has a comma, quote or line feed in it",
                stage.name
            ))
            .into()),
            None => Ok(plan),
        }
    }

    /// The stage of step `step`, counted from 0, and how far into it that is; `None` behind the last.
    pub fn at(&self, step: u64) -> Option<(&Stage, u64)> {
        let mut left = step;
        for stage in &self.0 {
            if left < stage.steps {
                return Some((stage, left));
            }
            left -= stage.steps;
        }
        None
    }

    /// Whether `self` has the same stages as `other` up to step `steps`: what was done stays what it was. The stage
    /// under way may be stretched or cut short.
    pub fn continues(&self, other: &Self, steps: u64) -> Result<(), Box<dyn Error>> {
        let mut end = 0;
        for (number, old) in other.0.iter().enumerate() {
            end += old.steps;
            if end <= steps && self.0.get(number) != Some(old) {
                return Err(format!("stage `{}` is done: a new plan cannot change it", old.name).into());
            }
        }
        Ok(())
    }
}

impl Stage {
    /// The learning rate of step `at` of the stage.
    pub fn rate(&self, at: u64) -> f64 {
        if at < self.warm_up {
            return self.peak * (at + 1) as f64 / self.warm_up as f64;
        }
        let share = (at - self.warm_up) as f64 / (self.steps - self.warm_up).max(1) as f64;
        self.floor + (self.peak - self.floor) * 0.5 * (1.0 + (PI * share).cos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(name: &str, steps: u64) -> Stage {
        Stage {
            name: name.to_owned(),
            objective: Objective::Answers,
            steps,
            batch: 1,
            mixture: BTreeMap::new(),
            train: Vec::new(),
            peak: 1.0,
            floor: 0.1,
            warm_up: 4,
        }
    }

    #[test]
    fn stages_follow_one_another() {
        let plan = Plan(vec![stage("one", 2), stage("none", 0), stage("two", 3)]);
        let names = |step| plan.at(step).map(|(stage, at)| (stage.name.as_str(), at));
        assert_eq!(names(1), Some(("one", 1)));
        assert_eq!(names(2), Some(("two", 0)));
        assert_eq!(names(4), Some(("two", 2)));
        assert_eq!(names(5), None);
    }

    #[test]
    fn the_rate_rises_and_falls_along_a_cosine() {
        let stage = stage("one", 104);
        let rates = [0, 1, 3, 4, 54, 103].map(|at| (stage.rate(at) * 1000.0).round());
        assert_eq!(rates, [250.0, 500.0, 1000.0, 1000.0, 550.0, 100.0]);
    }

    #[test]
    fn a_name_with_a_comma_would_break_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.json");
        for (name, read) in [("3 tuning", true), ("tuning, again", false)] {
            fs::write(&path, serde_json::to_string(&[stage(name, 1)]).unwrap()).unwrap();
            assert_eq!(Plan::read(&path).is_ok(), read, "{name}");
        }
    }

    #[test]
    fn a_new_plan_keeps_what_is_done() {
        let old = Plan(vec![stage("one", 2), stage("two", 3)]);
        let longer = Plan(vec![stage("one", 2), stage("two", 9), stage("three", 1)]);
        let other = Plan(vec![stage("uno", 2), stage("two", 3)]);
        assert!(longer.continues(&old, 4).is_ok());
        assert!(other.continues(&old, 1).is_ok());
        for (plan, steps) in [(&other, 2), (&longer, 5), (&Plan(Vec::new()), 2)] {
            let error = plan.continues(&old, steps).unwrap_err().to_string();
            assert!(error.ends_with("is done: a new plan cannot change it"), "{error}");
        }
    }
}
