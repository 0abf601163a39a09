//! The largest budget that still fits: what a refusal offers instead.

use crate::{
    Platform, SetError, Task,
    analysis::{Set, analyse_set},
};

/// The largest budget of the task at `candidate` with which the whole set is admitted, everything else being as it is.
///
/// `None`: not even one nanosecond fits, or there is no such task.
///
/// A larger budget never shortens anybody's response time, so the budgets that fit are those up to the largest: halving finds it
/// in at most 42 analyses.
///
/// # Errors
///
/// As [`analyse`](crate::analyse).
pub fn largest_budget(tasks: &[Task], candidate: usize, platform: &Platform<'_>) -> Result<Option<u64>, SetError> {
    let Some(task) = tasks.get(candidate) else { return Ok(None) };
    largest_budget_of(tasks, candidate, platform, |budget_ns| task.with_budget(budget_ns).ok())
}

/// As [`largest_budget`], where more than the budget changes with it: a scheduling context that is chosen by it, say.
///
/// `made` makes the candidate for a budget, or says that there is none. What it makes of a larger budget must not be easier
/// to admit, and it must keep level and deadline.
///
/// # Errors
///
/// As [`analyse`](crate::analyse).
pub fn largest_budget_of(
    tasks: &[Task],
    candidate: usize,
    platform: &Platform<'_>,
    made: impl Fn(u64) -> Option<Task>,
) -> Result<Option<u64>, SetError> {
    let Some(task) = tasks.get(candidate) else { return Ok(None) };
    let fits = |budget_ns| match made(budget_ns) {
        Some(task) => Ok(analyse_set(Set { tasks, replaced: Some((candidate, task)) }, platform)?.is_admitted()),
        None => Ok(false),
    };
    // What fits lies at `fits_ns` or above; what lies above `at_most_ns` does not.
    let (mut fits_ns, mut at_most_ns) = (0, task.parameters().deadline_ns);
    while fits_ns < at_most_ns {
        let middle_ns = at_most_ns - (at_most_ns - fits_ns) / 2;
        if fits(middle_ns)? {
            fits_ns = middle_ns;
        } else {
            at_most_ns = middle_ns - 1;
        }
    }
    Ok((fits_ns > 0).then_some(fits_ns))
}
