//! Sizes and durations as a person writes them: a whole number and a unit.

/// Bytes of `text`: a number with `B`, `KiB` or `MiB`.
pub(crate) fn bytes(text: &str) -> Result<u32, String> {
    let value = scaled(text, &[("KiB", 1024), ("MiB", 1024 * 1024), ("B", 1)])
        .ok_or_else(|| format!("\"{text}\" is no size; write a whole number with B, KiB or MiB, as \"2MiB\""))?;
    u32::try_from(value).map_err(|_| format!("\"{text}\" is over 4 GiB"))
}

/// Nanoseconds of `text`: a number with `ns`, `us`, `ms` or `s`.
pub(crate) fn nanoseconds(text: &str) -> Result<u64, String> {
    scaled(text, &[("ns", 1), ("us", 1_000), ("ms", 1_000_000), ("s", 1_000_000_000)])
        .ok_or_else(|| format!("\"{text}\" is no duration; write a whole number with ns, us, ms or s, as \"10ms\""))
}

/// The first unit that `text` ends with decides, so a unit stands before those that it ends with.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (digits, factor) = units.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)))?;
    let digits = digits.trim_end();
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(*factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_scale() {
        assert_eq!(bytes("2MiB"), Ok(2 * 1024 * 1024));
        assert_eq!(bytes("64 KiB"), Ok(64 * 1024));
        assert_eq!(bytes("512B"), Ok(512));
        assert_eq!(nanoseconds("1s"), Ok(1_000_000_000));
        assert_eq!(nanoseconds("10ms"), Ok(10_000_000));
        assert_eq!(nanoseconds("20us"), Ok(20_000));
        assert_eq!(nanoseconds("7ns"), Ok(7));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in ["", "MiB", "2", "2MB", "-1KiB", "+1KiB", "1.5MiB", "8192MiB", "99999999999999999999B"] {
            assert!(bytes(text).is_err(), "{text}");
        }
        for text in ["", "ms", "1", "1m", "-1s", "99999999999999999999ns", "99999999999999s"] {
            assert!(nanoseconds(text).is_err(), "{text}");
        }
    }
}
