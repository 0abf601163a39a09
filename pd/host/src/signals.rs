//! Signals by name: on the host, the kind of a cell's fault is the signal that ended its process.

use rustix::process::Signal;

/// The name of a signal's number; empty where it has none here.
pub(crate) fn name(number: u64) -> &'static str {
    const NAMES: [(Signal, &str); 8] = [
        (Signal::ABORT, "SIGABRT: it panicked"),
        (Signal::BUS, "SIGBUS"),
        (Signal::FPE, "SIGFPE"),
        (Signal::ILL, "SIGILL"),
        (Signal::KILL, "SIGKILL: somebody killed the process"),
        (Signal::SEGV, "SIGSEGV: an access where there is no memory"),
        (Signal::TERM, "SIGTERM"),
        (Signal::TRAP, "SIGTRAP"),
    ];
    let found = NAMES.iter().find(|(signal, _)| u64::try_from(signal.as_raw()) == Ok(number));
    match (number, found) {
        (0, _) => "the process returned",
        (_, Some((_, name))) => name,
        (_, None) => "",
    }
}

#[cfg(test)]
mod tests {
    use super::name;

    #[test]
    fn what_ends_a_process_has_a_name() {
        assert!(name(6).starts_with("SIGABRT"));
        assert!(name(11).starts_with("SIGSEGV"));
        assert_eq!(name(0), "the process returned");
        assert_eq!(name(1 << 40), "");
    }
}
