//! How many questions decode side by side where the user names no number: learned from the decode steps of a run, and
//! kept for the next.
//!
//! A step reads every weight once, however many rows it feeds, until arithmetic takes over; from there on more rows
//! cost memory and gain nothing. The number doubles as long as that makes a row a tenth cheaper. No answer depends on
//! it.

/// Steps at full size that are timed before the number changes.
const STEPS: usize = 8;
/// A larger number must make a row cheaper by so much.
const GAIN: f64 = 0.9;
/// No more than this, whatever the gain.
const LARGEST: usize = 1024;

/// The number of rows so far, and what its steps took.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchSize {
    rows: usize,
    /// Seconds a row of the steps at this number.
    timed: Vec<f64>,
    /// Seconds a row at half of it.
    before: Option<f64>,
    settled: bool,
}

impl BatchSize {
    /// Starts from `rows`; goes no further where they are `settled`.
    pub const fn new(rows: usize, settled: bool) -> Self {
        Self {
            rows,
            timed: Vec::new(),
            before: None,
            settled,
        }
    }

    /// The number, once it is settled.
    pub const fn learned(&self) -> Option<usize> {
        if self.settled { Some(self.rows) } else { None }
    }

    /// Notes a decode step of `rows` rows; gives the number that is best from now on.
    pub fn note(&mut self, rows: usize, seconds: f64) -> usize {
        // A step of fewer rows says nothing about a full one.
        if !self.settled && rows * 4 >= self.rows * 3 {
            self.timed.push(seconds / rows as f64);
            if self.timed.len() == STEPS {
                self.judge();
            }
        }
        self.rows
    }

    /// After an allocation failed with the number as it was.
    pub fn halve(&mut self) -> usize {
        self.rows = (self.rows / 2).max(1);
        self.settled = true;
        self.rows
    }

    fn judge(&mut self) {
        let mut timed = std::mem::take(&mut self.timed);
        timed.sort_by(f64::total_cmp);
        // The median: a neighbour on the machine slows some steps.
        let Some(&now) = timed.get(STEPS / 2) else { return };
        let pays = self.before.is_none_or(|before| now < GAIN * before);
        if !pays {
            self.rows /= 2;
            self.settled = true;
        } else if self.rows >= LARGEST {
            self.settled = true;
        } else {
            self.before = Some(now);
            self.rows *= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs full steps on a machine where a step takes `weights` seconds and `row` more a row.
    fn settle(weights: f64, row: f64) -> usize {
        let mut size = BatchSize::new(16, false);
        let mut rows = 16;
        for _ in 0..1000 {
            rows = size.note(rows, weights + row * rows as f64);
        }
        assert_eq!(size.learned(), Some(rows));
        rows
    }

    #[test]
    fn the_number_doubles_until_a_row_is_hardly_cheaper() {
        // At 64 rows a row costs 1.16, at 128 1.08: less than a tenth better.
        assert_eq!(settle(10.0, 1.0), 64);
        assert_eq!(settle(0.0, 1.0), 16);
        assert_eq!(settle(1.0, 0.0), LARGEST);
    }

    #[test]
    fn steps_that_are_not_full_teach_nothing() {
        let mut size = BatchSize::new(16, false);
        for _ in 0..100 {
            assert_eq!(size.note(11, 1.0), 16);
        }
        assert_eq!(size.learned(), None);
    }

    #[test]
    fn a_failed_allocation_settles_half() {
        let mut size = BatchSize::new(16, false);
        assert_eq!(size.halve(), 8);
        assert_eq!(size.learned(), Some(8));
        assert_eq!(BatchSize::new(1, false).halve(), 1);
        let mut known = BatchSize::new(24, true);
        assert_eq!(known.note(24, 1.0), 24);
        assert_eq!(known.learned(), Some(24));
    }
}
