//! A distribution, exact to its unit.

use serde::{Deserialize, Serialize};

/// Some values of one distribution, in the order of their size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Samples(Vec<u64>);

/// What is told of a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct Figure {
    pub(super) count: u64,
    pub(super) least: u64,
    pub(super) median: u64,
    /// No more than one of a hundred is larger.
    pub(super) p99: u64,
    pub(super) most: u64,
}

impl Samples {
    pub(in super::super) fn new(mut values: Vec<u64>) -> Self {
        values.sort_unstable();
        Self(values)
    }

    pub(in super::super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The value that so many of a thousand are no larger than. Nothing where there is no value.
    pub(in super::super) fn quantile(&self, permille: usize) -> Option<u64> {
        self.0.get((self.0.len() * permille).div_ceil(1000).max(1) - 1).copied()
    }

    pub(super) fn values(&self) -> &[u64] {
        &self.0
    }

    /// Nothing where there is no value.
    pub(super) fn figure(&self) -> Option<Figure> {
        Some(Figure {
            count: self.0.len() as u64,
            least: *self.0.first()?,
            median: self.quantile(500)?,
            p99: self.quantile(990)?,
            most: *self.0.last()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_seen() {
        let samples = Samples::new((1..=200).rev().collect());
        let expected = Figure { count: 200, least: 1, median: 100, p99: 198, most: 200 };
        assert_eq!(samples.figure(), Some(expected));
        assert_eq!(Samples::new(vec![7]).figure().map(|figure| (figure.median, figure.p99)), Some((7, 7)));
        assert_eq!(Samples::default().figure(), None);
    }
}
