//! Rights as a person types them.

use anyhow::{Context, Result, bail};
use shared_ring_messages::Grant;

/// `gpio:LABEL:out`, `gpio:LABEL:in`, `gpio:LABEL:edge`, `timer:DURATION`.
pub(crate) fn parse(text: &str) -> Result<Grant> {
    right(text).with_context(|| format!("`--grant {text}` is not understood"))
}

/// The same, without saying where it was typed.
pub(crate) fn right(text: &str) -> Result<Grant> {
    match text.split(':').collect::<Vec<_>>().as_slice() {
        ["gpio", label, direction] if !label.is_empty() => gpio(label, direction),
        ["timer", duration] => timer(duration),
        _ => bail!("expected gpio:LABEL:out, gpio:LABEL:in, gpio:LABEL:edge or timer:DURATION"),
    }
}

/// Whether both are for the same line, or for timers: a person who types the one means it instead of the other.
pub(crate) fn is_for_the_same(one: &Grant, other: &Grant) -> bool {
    line(one) == line(other)
}

/// The line's label; none for timers.
fn line(grant: &Grant) -> Option<&str> {
    match grant {
        Grant::GpioOutput(label) | Grant::GpioInput(label) | Grant::GpioEdges(label) => Some(label),
        Grant::Timer { .. } => None,
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
        assert_eq!(parse("timer:10ms").expect("valid"), Grant::Timer { minimum_period_ns: 10_000_000 });
    }

    #[test]
    fn a_wrong_right_is_named() {
        for wrong in ["", "gpio", "gpio::out", "gpio:LED", "gpio:LED:sideways", "timer:", "timer:10", "i2c:1"] {
            let error = parse(wrong).expect_err("invalid").to_string();
            assert!(error.contains(wrong), "{error}");
        }
    }
}
