//! A target with random inputs, for as long as somebody wants.

use std::panic::{AssertUnwindSafe, catch_unwind};

use fastrand::Rng;

use crate::{Target, mutation};

/// Executions between two questions whether to go on.
const BATCH: u64 = 64;

/// An input that a target did not survive.
#[derive(Debug)]
pub struct Failure {
    /// The input.
    pub input: Vec<u8>,
    /// The panic's message.
    pub message: String,
}

/// Drives the target with an input.
///
/// # Errors
/// What did not hold.
pub fn survives(target: &Target, input: &[u8]) -> Result<(), Failure> {
    // A target keeps nothing that a panic could leave half done, or makes it anew.
    catch_unwind(AssertUnwindSafe(|| (target.drive)(input))).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let message = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default();
        Failure { input: input.to_vec(), message }
    })
}

/// All of `inputs`, then changes of them for as long as `goes_on` says, which is asked now and then with the number of
/// executions. Answers how many there were.
///
/// # Errors
/// The first input that the target did not survive.
pub fn run_while(
    target: &Target,
    inputs: &[Vec<u8>],
    seed: u64,
    mut goes_on: impl FnMut(u64) -> bool,
) -> Result<u64, Failure> {
    let mut random = Rng::with_seed(seed);
    let mut executions = 0;
    for input in inputs {
        survives(target, input)?;
        executions += 1;
    }
    while goes_on(executions) {
        for _ in 0..BATCH {
            survives(target, &mutation::next(&mut random, inputs, target.longest))?;
        }
        executions += BATCH;
    }
    Ok(executions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn breaks_at_two_bytes(input: &[u8]) {
        assert!(!input.starts_with(b"!?"), "that was it");
    }

    #[test]
    fn an_input_that_breaks_something_is_found_and_named() {
        let target = Target { name: "broken", longest: 16, drive: breaks_at_two_bytes, seeds: || vec![b"!!".to_vec()] };
        let enough = |executions| executions < 10_000_000;
        let failure = run_while(&target, &(target.seeds)(), 1, enough).expect_err("it is near a seed");
        assert!(failure.input.starts_with(b"!?"));
        assert_eq!(failure.message, "that was it");
        assert!(survives(&target, &failure.input).is_err());
    }
}
