//! Whether every container on a node meets its deadlines: response-time analysis for fixed priorities.
//!
//! A deadline is a promise, and this crate is where it is decided whether a node may give it. It bounds the response time of every
//! container, says what the bound is made of, and what would fit where something does not. `admission` asks it before a
//! container is started, `emit schedule` before one is deployed. It is pure: slices in, numbers out, integers in nanoseconds,
//! no allocation.
//!
//! # Whom it trusts
//!
//! Nobody's manifest: [`Task::new`] takes what makes sense and sums saturate, so that no number makes it panic, wrap or run for
//! long ([`ITERATIONS`]). It does trust the [`Platform`], which describes the node itself: a cost that is understated there is a promise
//! that will be broken.
//!
//! ```
//! use runner_schedule::{Platform, Refusal, Task, TaskParameters, analyse, assign_levels, largest_budget};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! const MS: u64 = 1_000_000;
//! let control = Task::new(TaskParameters::new(5 * MS, 5 * MS, 2 * MS))?;
//! let display = Task::new(TaskParameters::new(20 * MS, 20 * MS, 13 * MS))?;
//! let mut tasks = [control, display];
//! assign_levels(&mut tasks, 100..=200, &Platform::IDEAL)?;
//! let analysis = analyse(&tasks, &Platform::IDEAL)?;
//! assert!(matches!(analysis.refusal(), Some(Refusal::Deadline { task: 1, .. })));
//! assert_eq!(largest_budget(&tasks, 1, &Platform::IDEAL)?, Some(12 * MS));
//! # Ok(())
//! # }
//! ```
//!
//! # The bound
//!
//! A job of task *i* is released, is ready at most its jitter Jᵢ later, and then needs the processor for Cᵢ while others have it
//! first. Its window wᵢ is the least solution of
//!
//! ```text
//! wᵢ = Cᵢ + Kᵢ + Sᵢ + (nᵢ + 1)·B + Σ ⌈(wᵢ + Jⱼ) / Tⱼ⌉·(Cⱼ + Kⱼ) + Σ ⌈(wᵢ + Jₛ) / Tₛ⌉·Cₛ
//!                                  j: level ≥ i's              s: system tasks
//! ```
//!
//! found by iteration from below, and its response time is at most Rᵢ = Jᵢ + wᵢ (Joseph and Pandya 1986; Audsley et al. 1993, with
//! jitter). The task is admitted where Rᵢ ≤ Dᵢ. As Dᵢ ≤ Tᵢ, a job has ended before the next one of its task is
//! released, so the first one after the critical instant is the worst. The terms:
//!
//! - **C**: the budget, one slice by which a cell may notice late that it is used up, and two switches.
//! - **K**: the job's calls to drivers, each at its longest. Drivers run above all cells, so a call is the caller's work at the
//!   highest priority; it is charged to the caller. See [Drivers](#drivers).
//! - **S, n**: what the job waits of itself, in how many waits. For itself that is time like any other. For others it means that its
//!   work may come as late as its deadline allows, with the next job's right after: their jitter of it is Dⱼ (Chen
//!   et al. 2019).
//! - **B**: the kernel's longest stretch without a preemption point, and *one* call to a driver by somebody less urgent: while a
//!   job is ready, nobody less urgent runs, so nobody makes a second one. Again after each wait.
//! - **Others of the same level** count as if they came first. The kernel takes turns among them; whoever takes part cannot do more
//!   than what was released.
//!
//! # Deferred execution: the double hit
//!
//! Whatever may be done late in one period and at once in the next hits a victim twice within less than a period; a bound that
//! forgets it is unsafe. It was asked of everything that interferes whether it can:
//!
//! | what | can it be deferred | counted as |
//! |---|---|---|
//! | a job, held by its cell ([`Trust::Cells`]) | no: within its budget it is pending work without a gap, its calls included, and a window begins where none is pending | Jⱼ |
//! | a job that waits of itself | yes, up to its deadline | Dⱼ |
//! | a job that overran, and goes on with the next release's budget | it is that release's work then | Jⱼ |
//! | a cell on its scheduling context ([`Trust::Kernel`]) | no: see [below](#scheduling-contexts) | 0, by the context's own period |
//! | calls of a job that the kernel had stopped | yes: they come when it goes on, up to its deadline (later ones the cell holds until the next release) | Dⱼ |
//! | a call by somebody less urgent | it is made before the window or not at all | once |
//! | drivers | they never wait for budget ([checked](#drivers)); one that did would defer everybody's calls | |
//!
//! # Scheduling contexts
//!
//! seL4 keeps a budget as a list of refills. In the form that Microkit sets up (constant bandwidth), the head of the list moves to
//! the present whenever the thread gets the processor, and what is used at an instant comes back one period after that
//! instant (`src/kernel/sporadic.c`; it descends from the sporadic server of Sprunt et al. 1989 as corrected by Stanovich et
//! al. 2010). So any stretch of length P sees at most Q, and the interference in a window is at most ⌈w / P⌉·Q without any
//! jitter: budget that was saved up does not come twice, as it does from a deferrable server (Davis and Burns 2005). Into how many pieces
//! a budget falls, so often may the thread be switched to: 2·refills switches are added for each Q.
//!
//! What is safe for others is hard on the owner. A job that was delayed uses its budget late and gets it back late; with Q = C and
//! P = T, the next job starts late although nobody is in its way, is delayed again, and ends later still, without
//! end (`a_scheduling_context_of_the_tasks_own_period_makes_it_late` in the tests). A job ends by R, so all that it used is back by
//! R + P, in however many pieces. Two ways lead out:
//!
//! - **R + P ≤ T**: it is back before the next release.
//! - What is left of Q bridges the rest. When the thread is taken up again, the head of the list moves to the present, and the kernel
//!   joins to it whatever begins before it would be used up (`refill_head_overlapping`). So a head of R + P − T at
//!   the next release, or later, has all of Q again at once.
//!
//! Together: **Q ≥ C′ + max(0, R + P − T)**, where C′ is what a context is charged for a job: the job, a switch back after
//! everything that can interrupt it, and what the kernel does not start a thread with. Then it never stops a job that keeps its
//! budget ([`ServerNeed`], [`Refusal::ServerBudget`]).
//!
//! Such a context allows more than C in T. Whom to believe for the interference is [`Platform::trust`]:
//! with [`Trust::Cells`], cells stop jobs at their budgets and the contexts are a second line, which only a cell reaches that
//! does not; with [`Trust::Kernel`], every cell is taken to use all that its context gives.
//!
//! # Drivers
//!
//! A driver that used up its own budget makes its callers wait, and then none of the above holds. So the calls that may come before its
//! budget is back must fit into it ([`Refusal::DriverBudget`]). When is it back? That depends on into how many pieces the kernel
//! lets a budget fall, since a driver uses its own in a piece a call:
//!
//! - **Two** ([`FEWEST_REFILLS`]; what Microkit 2.3 sets up): what is left, and what was used. Each use joins what was used before and
//!   delays all of it, to a period after the present. Only a pause gives it back: P − Q + c from the beginning of a call to that
//!   of the next. So not more calls than the budget is enough for may follow each other with shorter pauses, and that
//!   many pauses are the stretch in which calls are counted.
//! - **Three or more**: the last piece is delayed only while the list is full, which is until the oldest piece is back, at most a
//!   period later. So two periods are counted.
//!
//! Unit tests of the simulator's refills show that either is enough and not much less is.
//!
//! # What makes it pessimistic
//!
//! For tasks that do not wait of themselves the bound is exact for what the parameters allow: the critical instant comes to it, to the
//! nanosecond. A real node has less freedom. Releases lie on one grid, and offsets keep some tasks apart for ever, which the
//! analysis does not use; jobs seldom take their budgets; ticks do not come at their worst each time. `examples/pessimism.rs`
//! prints how much that is; `docs/real-time.md` shows its table.
//!
//! # The simulator
//!
//! With the feature `simulate` there is a simulator of the schedule (`std`, for a developer's machine), to which the analysis is
//! held in the tests, and a timeline as SVG. It shares the description of tasks with the analysis and no formula.
//!
//! # Literature
//!
//! - C. L. Liu, J. W. Layland: Scheduling Algorithms for Multiprogramming in a Hard-Real-Time Environment. J. ACM 20(1), 1973.
//!   The critical instant.
//! - J. Y.-T. Leung, J. Whitehead: On the Complexity of Fixed-Priority Scheduling of Periodic, Real-Time Tasks. Performance Evaluation
//!   2(4), 1982. Deadline-monotonic priorities.
//! - M. Joseph, P. Pandya: Finding Response Times in a Real-Time System. The Computer Journal 29(5), 1986.
//! - B. Sprunt, L. Sha, J. Lehoczky: Aperiodic Task Scheduling for Hard-Real-Time Systems. Real-Time Systems 1(1), 1989. The
//!   sporadic server.
//! - N. Audsley, A. Burns, M. Richardson, K. Tindell, A. J. Wellings: Applying New Scheduling Theory to Static Priority Pre-emptive
//!   Scheduling. Software Engineering Journal 8(5), 1993. Jitter, blocking, sporadic tasks.
//! - K. Tindell, A. Burns, A. J. Wellings: An Extendible Approach for Analyzing Fixed Priority Hard Real-Time Tasks. Real-Time
//!   Systems 6(2), 1994.
//! - R. I. Davis, A. Burns: Hierarchical Fixed Priority Pre-emptive Scheduling. RTSS 2005. Servers, deferrable and sporadic.
//! - A. Zuhily, A. Burns: Optimal (D − J)-monotonic Priority Assignment. Information Processing Letters 103(6), 2007.
//! - M. Stanovich, T. P. Baker, A. Wang, M. González Harbour: Defects of the POSIX Sporadic Server and How to Correct Them. RTAS 2010.
//! - J.-J. Chen et al.: Many Suspensions, Many Problems: a Review of Self-Suspending Tasks in Real-Time Systems. Real-Time Systems
//!   55(1), 2019.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(any(test, feature = "simulate"))]
extern crate std;

mod analysis;
mod assign;
mod largest;
mod platform;
#[cfg(any(test, feature = "simulate"))]
pub mod simulate;
mod task;
mod time;

pub use analysis::{
    Analysis, Contribution, FEWEST_REFILLS, ITERATIONS, MAX_TASKS, Refusal, Response, ServerNeed, SetError, Source,
    Verdict, analyse,
};
pub use assign::{NoLevels, assign_levels};
pub use largest::{largest_budget, largest_budget_of};
pub use platform::{Driver, Platform, SystemTask, Trust};
pub use task::{
    DRIVERS, LONGEST_PERIOD_NS, Release, SHORTEST_PERIOD_NS, Server, Suspension, Task, TaskError, TaskParameters,
};
pub use time::Span;
