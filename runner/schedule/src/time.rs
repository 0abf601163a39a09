//! Times as a person reads them.

use core::fmt;

/// Nanoseconds, printed in the largest unit of which there is one, with as many decimals as it takes to say them exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub u64);

/// Largest first. Deadlines are read in milliseconds up to many of them, so seconds begin at ten.
const UNITS: [(u64, u64, &str); 4] =
    [(10_000_000_000, 1_000_000_000, "s"), (1_000_000, 1_000_000, "ms"), (1_000, 1_000, "us"), (0, 1, "ns")];

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, unit, name) = UNITS.into_iter().find(|(from, ..)| self.0 >= *from).unwrap_or((0, 1, "ns"));
        write!(f, "{}", self.0 / unit)?;
        let mut rest = self.0 % unit;
        let mut digit = unit / 10;
        if rest > 0 {
            write!(f, ".")?;
        }
        while rest > 0 {
            write!(f, "{}", rest / digit)?;
            rest %= digit;
            digit /= 10;
        }
        write!(f, " {name}")
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::Span;

    #[test]
    fn spans_read_as_a_person_writes_them() {
        for (ns, text) in [
            (0, "0 ns"),
            (999, "999 ns"),
            (1_500, "1.5 us"),
            (1_000_000, "1 ms"),
            (1_000_001, "1.000001 ms"),
            (2_500_000_000, "2500 ms"),
            (3_600_000_000_000, "3600 s"),
        ] {
            assert_eq!(Span(ns).to_string(), text);
        }
    }
}
