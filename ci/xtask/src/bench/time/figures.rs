//! A distribution, exact to its unit.

use serde::{Deserialize, Serialize};

/// Some values of one distribution, in the order of their size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Samples(Vec<u64>);

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
    pub(super) fn new(mut values: Vec<u64>) -> Self {
        values.sort_unstable();
        Self(values)
    }

    pub(super) fn values(&self) -> &[u64] {
        &self.0
    }

    /// Nothing where there is no value.
    pub(super) fn figure(&self) -> Option<Figure> {
        let (least, most) = (*self.0.first()?, *self.0.last()?);
        let at = |permille: usize| self.0[(self.0.len() * permille).div_ceil(1000).max(1) - 1];
        Some(Figure { count: self.0.len() as u64, least, median: at(500), p99: at(990), most })
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
