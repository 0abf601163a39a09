//! A test that this machine cannot run says so, loudly and in one format.
//!
//! `cargo test` has no outcome "skipped" that is decided while a test runs, and it hides what a passing test prints. So the
//! line goes to the process's own standard error, past the test harness, and `cargo xtask test` counts it:
//!
//! ```text
//! SKIPPED <test>: <reason>
//! ```
//!
//! One line, the test's full path without spaces, a colon and a space, then the reason in words.

use std::io::Write;

/// Every skipped test's line starts with this.
pub const PREFIX: &str = "SKIPPED ";

/// The line that reports a skipped test, without its line end. Line breaks in the reason become spaces.
#[must_use]
pub fn line(test: &str, reason: &str) -> String {
    let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
    format!("{PREFIX}{test}: {reason}")
}

/// Reports a skipped test on standard error; the caller returns. [`skip!`](crate::skip!) does both.
pub fn report(test: &str, reason: &str) {
    // One write, so that tests on other threads cannot break the line. A closed standard error leaves nobody to tell.
    let text = format!("\n{}\n", line(test, reason));
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Takes the name that [`skip!`](crate::skip!) finds for its own place and leaves the test function's path.
#[doc(hidden)]
#[must_use]
pub fn test_name(place: &str) -> &str {
    place.trim_end_matches("::place").trim_end_matches("::{{closure}}")
}

/// Reports that the test it stands in is skipped, and returns from it: `skip!("no QEMU: {error}")`.
#[macro_export]
macro_rules! skip {
    ($($reason:tt)+) => {{
        fn place() {}
        $crate::skip::report(
            $crate::skip::test_name(::std::any::type_name_of_val(&place)),
            &::std::format!($($reason)+),
        );
        return;
    }};
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_one_line() {
        assert_eq!(line("guest::boots", "no QEMU;\n  install it"), "SKIPPED guest::boots: no QEMU; install it");
    }

    #[test]
    fn the_name_is_the_test_functions_path() {
        fn place() {}
        assert_eq!(
            test_name(std::any::type_name_of_val(&place)),
            "qemu::skip::tests::the_name_is_the_test_functions_path"
        );
    }
}
