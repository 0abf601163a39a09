//! Rights as a person types them.

use anyhow::{Context, Result, bail};
use shared_ring_messages::Grant;

/// `gpio:LABEL:out`, `gpio:LABEL:in`, `gpio:LABEL:edge`, `i2c:ADDRESS`, `i2c:FIRST-LAST`, `timer:DURATION`.
pub(crate) fn parse(text: &str) -> Result<Grant> {
    right(text).with_context(|| format!("`--grant {text}` is not understood"))
}

/// The same, without saying where it was typed.
pub(crate) fn right(text: &str) -> Result<Grant> {
    match text.split(':').collect::<Vec<_>>().as_slice() {
        ["gpio", label, direction] if !label.is_empty() => gpio(label, direction),
        ["i2c", addresses] => i2c(addresses),
        ["timer", duration] => timer(duration),
        _ => bail!(
            "expected gpio:LABEL:out, gpio:LABEL:in, gpio:LABEL:edge, i2c:ADDRESS, i2c:FIRST-LAST or timer:DURATION"
        ),
    }
}

/// Whether both are for the same line, for addresses that overlap, or for timers: a person who types the one means it instead of
/// the other.
pub(crate) fn is_for_the_same(one: &Grant, other: &Grant) -> bool {
    match (one, other) {
        (Grant::I2c { first, last }, Grant::I2c { first: other_first, last: other_last }) => {
            first <= other_last && other_first <= last
        }
        (Grant::I2c { .. }, _) | (_, Grant::I2c { .. }) => false,
        _ => line(one) == line(other),
    }
}

/// The line's label; none for what is no line.
fn line(grant: &Grant) -> Option<&str> {
    match grant {
        Grant::GpioOutput(label) | Grant::GpioInput(label) | Grant::GpioEdges(label) => Some(label),
        Grant::Timer { .. } | Grant::I2c { .. } => None,
    }
}

fn gpio(label: &str, direction: &str) -> Result<Grant> {
    let label = label.to_owned();
    Ok(match direction {
        "out" => Grant::GpioOutput(label),
        "in" => Grant::GpioInput(label),
        "edge" => Grant::GpioEdges(label),
        other => bail!("a line is asked for as `out`, `in` or `edge`, not `{other}`"),
    })
}

fn i2c(text: &str) -> Result<Grant> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (address(first)?, address(last)?);
    if first > last {
        bail!("a range of addresses begins with the lower one, as i2c:0x48-0x4f");
    }
    Ok(Grant::I2c { first, last })
}

/// As data sheets have it, `0x48`, or in decimal.
fn address(text: &str) -> Result<u8> {
    let number = match text.strip_prefix("0x") {
        Some(digits) => u8::from_str_radix(digits, 16),
        None => text.parse(),
    };
    // Both take a sign, which no address has.
    number
        .ok()
        .filter(|address| *address <= 0x7f && !text.contains('+'))
        .with_context(|| format!("`{text}` is no I2C address: 0x00 to 0x7f"))
}

fn timer(text: &str) -> Result<Grant> {
    let duration = humantime::parse_duration(text).context("a timer's shortest period is a duration, as `10ms`")?;
    let minimum_period_ns = u64::try_from(duration.as_nanos()).context("that period is too long")?;
    Ok(Grant::Timer { minimum_period_ns })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_read_as_typed() {
        assert_eq!(parse("gpio:LED:out").expect("valid"), Grant::GpioOutput("LED".into()));
        assert_eq!(parse("gpio:BUTTON:edge").expect("valid"), Grant::GpioEdges("BUTTON".into()));
        assert_eq!(parse("i2c:0x48").expect("valid"), Grant::I2c { first: 0x48, last: 0x48 });
        assert_eq!(parse("i2c:0x48-79").expect("valid"), Grant::I2c { first: 0x48, last: 0x4f });
        assert_eq!(parse("timer:10ms").expect("valid"), Grant::Timer { minimum_period_ns: 10_000_000 });
    }

    #[test]
    fn a_wrong_right_is_named() {
        for wrong in [
            "",
            "gpio",
            "gpio::out",
            "gpio:LED",
            "gpio:LED:sideways",
            "timer:",
            "timer:10",
            "spi:1",
            "i2c:",
            "i2c:0x80",
            "i2c:200",
            "i2c:0x4f-0x48",
            "i2c:0x+1",
            "i2c:0x48-",
        ] {
            let error = parse(wrong).expect_err("invalid").to_string();
            assert!(error.contains(wrong), "{error}");
        }
    }

    #[test]
    fn what_is_typed_replaces_what_it_overlaps() {
        let same = |one, other| is_for_the_same(&parse(one).expect("valid"), &parse(other).expect("valid"));
        assert!(same("i2c:0x48", "i2c:0x40-0x4f") && same("i2c:0x40-0x4f", "i2c:0x4f-0x50"));
        assert!(!same("i2c:0x48", "i2c:0x49") && !same("i2c:0x48", "timer:1ms") && !same("gpio:A:in", "i2c:1"));
        assert!(same("timer:1ms", "timer:2ms") && same("gpio:A:in", "gpio:A:out") && !same("gpio:A:in", "timer:1ms"));
    }
}
