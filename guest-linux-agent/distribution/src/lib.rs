//! Distributions of times as a person reads them: percentiles, bars, pictures.
//!
//! It exists because two draw the same picture: `emit jitter --svg` of what a node tells, and `cargo xtask bench --time` of what it
//! measured. A node's report may say anything: sums saturate, and what makes no sense is shown as it is.
#![forbid(unsafe_code)]

mod picture;

pub use picture::picture;

use shared_ring_messages::MeasureReport;

/// A time that so many hundred-thousandths of the values are no larger than; `None` where there is none. Exact to a bucket, an
/// eighth of the time, and never less than it is.
#[must_use]
pub fn percentile(measure: &MeasureReport, share: u64) -> Option<u64> {
    let total: u64 = measure.buckets.iter().map(|(_, count)| u64::from(*count)).sum();
    let wanted = (u128::from(total) * u128::from(share)).div_ceil(100_000).max(1);
    let mut seen = 0_u128;
    measure.buckets.iter().find_map(|(end_ns, count)| {
        seen += u128::from(*count);
        (seen >= wanted).then_some((*end_ns).min(measure.most_ns))
    })
}

/// Nanoseconds in a unit of which there are some, with three digits.
#[must_use]
pub fn time(nanoseconds: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let value = nanoseconds as f64;
    let (scaled, unit) = match nanoseconds {
        0..1_000 => return format!("{nanoseconds} ns"),
        1_000..1_000_000 => (value / 1e3, "us"),
        1_000_000..1_000_000_000 => (value / 1e6, "ms"),
        _ => (value / 1e9, "s"),
    };
    let decimals = if scaled < 9.995 { 2 } else { usize::from(scaled < 99.95) };
    format!("{scaled:.decimals$} {unit}")
}

/// The buckets put together to at most `rows`, each an equal step of a logarithm: (largest time, count).
#[must_use]
pub fn rows(measure: &MeasureReport, rows: usize) -> Vec<(u64, u64)> {
    let (Some((first, _)), Some((last, _))) = (measure.buckets.first(), measure.buckets.last()) else {
        return Vec::new();
    };
    let eighths = |end_ns: u64| {
        let end_ns = end_ns.max(1);
        let bits = end_ns.ilog2();
        // Eighths of a power of two, as the buckets are.
        let eighths = if bits < 3 { end_ns << (3 - bits) } else { end_ns >> (bits - 3) };
        u64::from(bits) * 8 + (eighths & 7)
    };
    let span = eighths(*last) - eighths(*first).min(eighths(*last)) + 1;
    let step = span.div_ceil(rows.max(1) as u64).max(1);
    let mut found: Vec<(u64, u64)> = Vec::new();
    let mut current = None;
    for (end_ns, count) in &measure.buckets {
        let row = eighths(*end_ns).saturating_sub(eighths(*first)) / step;
        match found.last_mut().filter(|_| current == Some(row)) {
            Some((end, sum)) => (*end, *sum) = (*end_ns, *sum + u64::from(*count)),
            None => found.push((*end_ns, u64::from(*count))),
        }
        current = Some(row);
    }
    found
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn measure(buckets: &[(u64, u32)]) -> MeasureReport {
        let count = buckets.iter().map(|(_, count)| u64::from(*count)).sum();
        let most_ns = buckets.last().map_or(0, |(end, _)| *end);
        let least_ns = buckets.first().map_or(0, |(end, _)| *end);
        MeasureReport { name: "response".into(), count, sum_ns: 7, least_ns, most_ns, buckets: buckets.into() }
    }

    #[test]
    fn percentiles_are_no_less_than_they_are() {
        let measure = measure(&[(1000, 90), (2000, 9), (8000, 1)]);
        let found = [50_000, 90_000, 90_001, 99_000, 99_001, 100_000].map(|share| percentile(&measure, share));
        assert_eq!(found, [1000, 1000, 2000, 2000, 8000, 8000].map(Some));
        assert_eq!(percentile(&MeasureReport::default(), 50_000), None);
    }

    #[test]
    fn times_have_three_digits() {
        let times = [0, 999, 1_000, 9_994, 9_996, 99_949, 99_951, 999_499, 1_500_000, 2_000_000_000];
        let texts = times.map(time);
        let expected =
            ["0 ns", "999 ns", "1.00 us", "9.99 us", "10.0 us", "99.9 us", "100 us", "999 us", "1.50 ms", "2.00 s"];
        assert_eq!(texts, expected);
    }

    #[test]
    fn rows_keep_every_value_and_are_no_more_than_asked_for() {
        let buckets: Vec<_> = (0..200_u32)
            .map(|index| ((64_u64 << (index / 8)) + u64::from(index % 8) * (8 << (index / 8)), index + 1))
            .collect();
        let measure = measure(&buckets);
        for most in [1, 2, 10, 1000] {
            let rows = rows(&measure, most);
            assert!(rows.len() <= most, "{} of {most}", rows.len());
            assert_eq!(rows.iter().map(|(_, count)| count).sum::<u64>(), measure.count);
            assert!(rows.is_sorted());
        }
        assert!(rows(&MeasureReport::default(), 10).is_empty());
    }
}
