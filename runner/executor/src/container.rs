//! One container: which hook runs, what it waits for, how it ends.
//!
//! Each [`Container::turn`] does one bounded thing: settle a wait, or run one slice. The cell decides between turns whether
//! to go on. What the container does cannot make a turn longer than its fuel and its largest bulk operation.

use runner_interfaces::{
    cell::{CellControl, ContainerState, FailureReason, Hold, World},
    gpio::Status,
    kernel::Instant,
    plan::EndCause,
    schedule::Release,
};
use wasmi::ResumableCallHostTrap;

use crate::{
    allowance::{Allowance, Leave},
    delivery::{self, ALLOCATOR_FUEL},
    engine::{Execution, Hook, Program, SliceEnd},
    failure::Failure,
    memory::Fault,
    releases::Releases,
    wait::{self, Settled, Wait},
    worlds::function::Answer,
};

/// What a command that was stopped ends with: 128 and the number of SIGTERM, as a shell reports it.
pub(crate) const STOPPED_EXIT_CODE: i32 = 143;

/// How a container ended.
#[derive(Clone, Debug)]
pub(crate) enum Ending {
    /// By itself or by stop.
    Finalised { exit_code: i32, cause: EndCause },
    /// For a reason.
    Failed(Failure),
}

/// What a turn came to.
#[derive(Clone, Debug)]
pub(crate) enum Turn {
    /// There is more to do at once.
    Again,
    /// It waits, for a command or an event.
    Rests,
    /// It ended.
    Ended(Ending),
}

/// How long hooks may take, in nanoseconds, and how often the loop hook is called.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HookLimits {
    pub(crate) start_ns: u64,
    /// One call of the loop hook; `None` where it may take as long as it wants.
    pub(crate) loop_ns: Option<u64>,
    pub(crate) stop_ns: u64,
    /// Calls of the loop hook after which the container stops; `None` where it goes on.
    pub(crate) loops: Option<u64>,
}

impl HookLimits {
    /// As the warden tells them.
    pub(crate) fn new(control: &CellControl) -> Self {
        let nanoseconds = |microseconds: u32| u64::from(microseconds) * 1000;
        Self {
            start_ns: nanoseconds(control.start_limit_us),
            loop_ns: Some(nanoseconds(control.loop_limit_us)).filter(|limit| *limit != 0),
            stop_ns: nanoseconds(control.stop_limit_us),
            loops: Some(control.loops_limit).filter(|limit| *limit != 0),
        }
    }

    fn of(&self, hook: Hook) -> u64 {
        match hook {
            Hook::OnStop => self.stop_ns,
            Hook::OnLoop => self.loop_ns.unwrap_or(u64::MAX),
            _ => self.start_ns,
        }
    }
}

/// When a container got where, as far as it came.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    pub(crate) installed: Option<Instant>,
    pub(crate) started: Option<Instant>,
    /// When starting was over.
    pub(crate) ready: Option<Instant>,
    pub(crate) stopping: Option<Instant>,
}

enum Activity {
    /// No hook was called: installed.
    None,
    /// The next hook is the loop hook, and the container is held.
    Held,
    /// The next hook is the loop hook, which the clock releases then.
    Due(Instant),
    /// A hook can run.
    Runnable(Hook, Execution),
    /// A hook waits in a host call.
    Waiting(Hook, ResumableCallHostTrap),
    /// A hook waits in a host call for which the container's allocator makes room.
    Allocating(Hook, Allocation),
}

/// A run of the container's allocator.
struct Allocation {
    /// The host call that needs the room.
    call: ResumableCallHostTrap,
    execution: Execution,
    /// What the allocator has burnt.
    fuel: u64,
}

/// A loaded module and where its life is.
pub(crate) struct Container {
    program: Program,
    activity: Activity,
    /// It was asked to run.
    run: bool,
    /// When the hook that runs must be done.
    deadline: Option<Instant>,
    limits: HookLimits,
    /// Why it stops, once it does.
    cause: EndCause,
    hold: Hold,
    pub(crate) times: Times,
    pub(crate) fuel: u64,
    pub(crate) slices: u64,
    pub(crate) loops: u64,
}

impl Container {
    /// A container that begins to run its start function, if it has one, `now`.
    pub(crate) fn new(program: Program, now: Instant, limits: HookLimits) -> Self {
        let mut container = Self {
            program,
            activity: Activity::None,
            run: false,
            deadline: Some(now.saturating_add(limits.start_ns)),
            limits,
            cause: EndCause::None,
            hold: Hold::No,
            times: Times::default(),
            fuel: 0,
            slices: 0,
            loops: 0,
        };
        if !container.call(Hook::StartFunction) && !container.call(Hook::Initialize) {
            container.installed(now);
        }
        container
    }

    pub(crate) fn program(&self) -> &Program {
        &self.program
    }

    /// Why it stops, once it does.
    pub(crate) fn cause(&self) -> EndCause {
        self.cause
    }

    fn installed(&mut self, now: Instant) {
        self.deadline = None;
        self.times.installed = Some(now);
    }

    pub(crate) fn program_mut(&mut self) -> &mut Program {
        &mut self.program
    }

    /// Runs it, as soon as it is installed.
    pub(crate) fn run(&mut self, now: Instant) {
        self.run = true;
        if matches!(self.activity, Activity::None) {
            self.begin(now);
        }
    }

    /// Holds it, or lets it go.
    pub(crate) fn hold(&mut self, hold: Hold, now: Instant) {
        let was_held = self.is_held();
        self.hold = hold;
        if hold != Hold::No || !was_held {
            return;
        }
        if matches!(self.activity, Activity::Held | Activity::Due(_)) {
            self.begin_loop(now);
        } else {
            // The time in which it was held is not its own.
            self.deadline = self.limits.loop_ns.map(|limit| now.saturating_add(limit));
        }
    }

    /// Whether it is held, and does nothing until it is let go or stopped.
    pub(crate) fn is_held(&self) -> bool {
        match self.activity {
            Activity::Held => true,
            Activity::Due(_) => self.hold != Hold::No,
            Activity::Waiting(Hook::OnLoop, _) => self.hold == Hold::Anywhere,
            _ => false,
        }
    }

    /// Stops it: what waits is abandoned, a reactor that has begun runs its stop hook.
    pub(crate) fn stop(&mut self, now: Instant, cause: EndCause) -> Turn {
        match (self.hook(), self.program.world()) {
            (Some(Hook::OnStop), _) => Turn::Again,
            (Some(Hook::OnStart | Hook::OnLoop), _) => {
                self.hold = Hold::No;
                self.begin_stop(now, cause);
                Turn::Again
            }
            (_, World::WasiCommand) => Turn::Ended(Ending::Finalised { exit_code: STOPPED_EXIT_CODE, cause }),
            _ => Turn::Ended(Ending::Finalised { exit_code: 0, cause }),
        }
    }

    /// Whether its loop hook waits for a release that comes at least once in so many nanoseconds.
    pub(crate) fn is_due_within(&self, nanoseconds: u64) -> bool {
        let soon = |releases: &Releases| releases.period_ns() <= nanoseconds;
        !self.is_held()
            && matches!(self.activity, Activity::Due(_))
            && self.program.host().releases.as_ref().is_some_and(soon)
    }

    /// What it shows of itself.
    pub(crate) fn state(&self) -> ContainerState {
        match (&self.activity, self.hook()) {
            (_, None) => ContainerState::Installed,
            (_, Some(Hook::StartFunction | Hook::Initialize)) => ContainerState::Loading,
            (_, Some(Hook::OnStart)) => ContainerState::Starting,
            (_, Some(Hook::OnStop)) => ContainerState::Stopping,
            (Activity::Waiting(..) | Activity::Held | Activity::Due(_), _) => ContainerState::Ready,
            _ => ContainerState::Running,
        }
    }

    /// Goes on for at most so much fuel.
    pub(crate) fn turn(&mut self, now: Instant, fuel: u64) -> Turn {
        let turn = self.turn_of(now, fuel);
        if let (Turn::Rests, Some(allowance)) = (&turn, self.allowance()) {
            allowance.rest();
        }
        turn
    }

    fn turn_of(&mut self, now: Instant, fuel: u64) -> Turn {
        if self.is_held() {
            return Turn::Rests;
        }
        if let (Some(deadline), Some(hook)) = (self.deadline, self.hook())
            && now > deadline
        {
            return Turn::Ended(Ending::Failed(self.limit_failure(hook)));
        }
        if let Some(releases) = self.releases()
            && releases.look_at_deadline(now)
        {
            return Turn::Ended(Ending::Failed(late(releases)));
        }
        let grant = match self.leave(now, fuel) {
            Ok(grant) => grant,
            Err(turn) => return turn,
        };
        match core::mem::replace(&mut self.activity, Activity::None) {
            Activity::None | Activity::Held => Turn::Rests,
            Activity::Due(release) if now < release => {
                self.activity = Activity::Due(release);
                Turn::Rests
            }
            Activity::Due(release) => {
                self.release_loop(release, now);
                Turn::Again
            }
            Activity::Runnable(hook, execution) => self.slices(hook, execution, grant, fuel),
            Activity::Waiting(hook, call) => self.settle(hook, call, now),
            Activity::Allocating(hook, allocation) => self.allocate(hook, allocation, grant),
        }
    }

    /// The fuel that it may burn now; or what comes of it where its time is used up.
    fn leave(&mut self, now: Instant, fuel: u64) -> Result<u64, Turn> {
        let goes_on = match &self.activity {
            Activity::Runnable(_, execution) => Some(execution.needed_fuel()),
            Activity::Allocating(_, allocation) => Some(allocation.execution.needed_fuel()),
            Activity::Waiting(..) if self.program.host().wait.is_none_or(|wait| wait.goes_on_at_once()) => Some(0),
            _ => None,
        };
        match (self.allowance(), goes_on) {
            (Some(allowance), None) => {
                allowance.go_on(now);
                Ok(fuel)
            }
            (_, needed) => self.grant(self.hook(), needed.unwrap_or(0), now, fuel),
        }
    }

    /// The same of a hook that goes on where it has `needed` units.
    fn grant(&mut self, hook: Option<Hook>, needed: u64, now: Instant, fuel: u64) -> Result<u64, Turn> {
        let Some(releases) = self.releases() else { return Ok(fuel) };
        let (fails, by_clock) = (releases.fails_by_overrun(), releases.kind() == Release::Periodic);
        let Some(allowance) = &mut releases.allowance else { return Ok(fuel) };
        match allowance.leave(now, needed, fuel) {
            Leave::Fuel(fuel) => Ok(fuel),
            Leave::From(until) if !fails || hook == Some(Hook::OnStop) => {
                if !by_clock {
                    self.program.host_mut().wake_unasked_at(until);
                }
                Err(Turn::Rests)
            }
            Leave::From(_) | Leave::Never => Err(Turn::Ended(Ending::Failed(overrun(releases)))),
        }
    }

    /// A slice burnt so much more than was granted, by a host call or by what cannot be cut.
    fn note_overdraft(&mut self, fuel: u64) {
        if let Some(allowance) = self.allowance().filter(|_| fuel != 0) {
            allowance.note_overdraft(fuel);
        }
    }

    fn allowance(&mut self) -> Option<&mut Allowance> {
        self.releases()?.allowance.as_mut()
    }

    fn hook(&self) -> Option<Hook> {
        match &self.activity {
            Activity::None => None,
            Activity::Held | Activity::Due(_) => Some(Hook::OnLoop),
            Activity::Runnable(hook, _) | Activity::Waiting(hook, _) | Activity::Allocating(hook, _) => Some(*hook),
        }
    }

    /// Makes `hook` what runs next; false where the module has none.
    fn call(&mut self, hook: Hook) -> bool {
        match self.program.begin(hook) {
            Some(execution) => {
                self.activity = Activity::Runnable(hook, execution);
                true
            }
            None => false,
        }
    }

    /// A slice after the other, up to where somebody else is to be looked at: it does not go on, or was granted a turn's fuel.
    /// Whoever is not held to a budget has all of it in one slice.
    fn slices(&mut self, hook: Hook, mut execution: Execution, mut grant: u64, mut turns_fuel: u64) -> Turn {
        loop {
            let (end, burnt) = self.program.run_slice(hook, execution, grant);
            self.fuel = self.fuel.saturating_add(burnt);
            self.slices += 1;
            turns_fuel = turns_fuel.saturating_sub(grant);
            self.note_overdraft(burnt.saturating_sub(grant));
            match end {
                SliceEnd::Preempted(rest) => execution = rest,
                SliceEnd::Returned(answer) => {
                    // Not the time before the slice: the next hook has its whole limit.
                    let now = self.program.host().now();
                    return self.returned(hook, answer, now);
                }
                SliceEnd::Suspended(call) => {
                    self.activity = Activity::Waiting(hook, call);
                    return Turn::Again;
                }
                SliceEnd::Exited(exit_code) => {
                    return Turn::Ended(Ending::Finalised { exit_code, cause: self.end_cause() });
                }
                SliceEnd::Failed(failure) => return Turn::Ended(Ending::Failed(failure)),
            }
            let next = match turns_fuel {
                0 => Err(Turn::Again),
                left => self.grant(Some(hook), execution.needed_fuel(), self.program.host().now(), left),
            };
            match next {
                Ok(next) => grant = next,
                Err(turn) => {
                    self.activity = Activity::Runnable(hook, execution);
                    return turn;
                }
            }
        }
    }

    fn settle(&mut self, hook: Hook, call: ResumableCallHostTrap, now: Instant) -> Turn {
        let by_events = self.waits_for_release(hook);
        if by_events && let Some(earliest) = self.too_early(now) {
            return self.rest_until(call, earliest);
        }
        match wait::settle(self.program.store_mut(), now) {
            Ok(Settled::Answer(answer)) => {
                if by_events && let Some(release) = self.releases().map(|releases| releases.release_of_event(now)) {
                    self.begin_job(release, now);
                }
                self.activity = Activity::Runnable(hook, Execution::Answered(call, answer));
                Turn::Again
            }
            Ok(Settled::Waits) => {
                if by_events && let Some(releases) = self.releases() {
                    releases.forget_arrival();
                }
                self.rest(hook, call)
            }
            Ok(Settled::Allocate) => match delivery::request(self.program.host()) {
                Ok(execution) => {
                    self.activity = Activity::Allocating(hook, Allocation { call, execution, fuel: 0 });
                    Turn::Again
                }
                Err(fault) => self.fault(hook, fault),
            },
            Err(fault) => self.fault(hook, fault),
        }
    }

    /// A slice of the container's allocator; once it has made room, the host call has its answer.
    fn allocate(&mut self, hook: Hook, allocation: Allocation, granted: u64) -> Turn {
        let Allocation { call, execution, fuel: burnt_before } = allocation;
        let (end, burnt) = self.program.run_allocator_slice(execution, granted);
        self.fuel = self.fuel.saturating_add(burnt);
        self.slices += 1;
        self.note_overdraft(burnt.saturating_sub(granted));
        let burnt = burnt_before.saturating_add(burnt);
        match end {
            SliceEnd::Returned(address) => {
                match delivery::complete(self.program.store_mut(), address.cast_unsigned()) {
                    Ok(()) => {
                        self.activity = Activity::Runnable(hook, Execution::Answered(call, Answer::Nothing));
                        Turn::Again
                    }
                    Err(fault) => self.fault(hook, fault),
                }
            }
            SliceEnd::Preempted(_) if burnt >= ALLOCATOR_FUEL => {
                self.fault(hook, Fault::AllocatorFuel { fuel: ALLOCATOR_FUEL })
            }
            SliceEnd::Preempted(execution) => {
                self.activity = Activity::Allocating(hook, Allocation { call, execution, fuel: burnt });
                Turn::Again
            }
            SliceEnd::Suspended(_) => self.fault(hook, Fault::AllocatorWaits),
            SliceEnd::Exited(exit_code) => Turn::Ended(Ending::Finalised { exit_code, cause: self.end_cause() }),
            SliceEnd::Failed(failure) => Turn::Ended(Ending::Failed(failure)),
        }
    }

    fn fault(&self, hook: Hook, fault: Fault) -> Turn {
        Turn::Ended(Ending::Failed(fault_failure(hook.name(self.program.world()), fault)))
    }

    /// Arms the executor's timer for whatever ends the wait first: its own time, or the hook's limit.
    fn rest(&mut self, hook: Hook, call: ResumableCallHostTrap) -> Turn {
        let host = self.program.host_mut();
        let Some(wait) = host.wait.filter(|wait| !wait.goes_on_at_once()) else {
            self.activity = Activity::Waiting(hook, call);
            return Turn::Again;
        };
        let limits = self.deadline.into_iter().chain(host.releases.as_ref().and_then(Releases::limit));
        let limit = limits.min().map(|limit| limit.saturating_add(1));
        let wake = wait.until().into_iter().chain(limit).min();
        let status = wake.map_or(Status::Ok, |wake| host.wake_at(wake));
        if status != Status::Ok && wait.until().is_some() {
            host.wait = None;
            return match wait.refused(status) {
                Ok(answer) => {
                    self.activity = Activity::Runnable(hook, Execution::Answered(call, Answer::I32(answer)));
                    Turn::Again
                }
                Err(fault) => self.fault(hook, fault),
            };
        }
        self.activity = Activity::Waiting(hook, call);
        Turn::Rests
    }

    /// A hook came back: what comes next.
    fn returned(&mut self, hook: Hook, answer: i32, now: Instant) -> Turn {
        if let (Hook::OnLoop, Some(releases)) = (hook, self.releases())
            && releases.kind() == Release::Periodic
        {
            releases.complete(now);
        }
        match (hook, answer) {
            (Hook::StartFunction, _) if self.call(Hook::Initialize) => {}
            (Hook::StartFunction | Hook::Initialize, _) => {
                self.installed(now);
                if self.run {
                    self.begin(now);
                }
            }
            (Hook::OnStart, 0) => {
                self.times.ready = Some(now);
                self.begin_loop(now);
            }
            (Hook::OnStart, status) => return Turn::Ended(Ending::Failed(start_refused(status))),
            (Hook::OnLoop, 0) => {
                self.loops += 1;
                if self.limits.loops.is_some_and(|limit| self.loops >= limit) {
                    self.begin_stop(now, EndCause::Lifetime);
                } else {
                    self.begin_loop(now);
                }
            }
            (Hook::OnLoop, 1) => {
                self.loops += 1;
                self.begin_stop(now, EndCause::Finished);
            }
            // A TinyContainer goes on for as long as it answers 0.
            (Hook::OnLoop, _) if self.program.world() == World::TinyContainer => {
                self.loops += 1;
                self.begin_stop(now, EndCause::Finished);
            }
            (Hook::OnLoop, next) => {
                let fault = Fault::NoSuchValue { enumeration: "next", value: next.cast_unsigned() };
                return Turn::Ended(Ending::Failed(fault_failure(hook.name(self.program.world()), fault)));
            }
            (Hook::Command | Hook::OnStop, _) => {
                return Turn::Ended(Ending::Finalised { exit_code: 0, cause: self.end_cause() });
            }
        }
        Turn::Again
    }

    fn begin(&mut self, now: Instant) {
        self.times.started = Some(now);
        match self.program.world() {
            World::Reactor | World::TinyContainer => self.begin_limited(Hook::OnStart, now),
            _ => {
                self.times.ready = Some(now);
                self.call(Hook::Command);
            }
        }
    }

    fn begin_loop(&mut self, now: Instant) {
        if self.hold != Hold::No {
            self.deadline = None;
            self.activity = Activity::Held;
            return;
        }
        let host = self.program.host_mut();
        if let Some(releases) = host.releases.as_mut().filter(|releases| releases.kind() == Release::Periodic) {
            let (release, period_ns) = (releases.next(now), releases.period_ns());
            host.wake_at_releases(release, period_ns);
            self.deadline = None;
            self.activity = Activity::Due(release);
            return;
        }
        self.call_loop(now);
    }

    fn call_loop(&mut self, now: Instant) {
        self.deadline = self.limits.loop_ns.map(|limit| now.saturating_add(limit));
        self.call(Hook::OnLoop);
    }

    /// The release of the loop hook that was due has come.
    fn release_loop(&mut self, release: Instant, now: Instant) {
        self.begin_job(release, now);
        self.call_loop(now);
    }

    /// Work begins that was released at `release`.
    fn begin_job(&mut self, release: Instant, now: Instant) {
        let host = self.program.host_mut();
        if let Some(releases) = &mut host.releases {
            releases.begin(release, now);
            host.limits.is_fixed |= releases.allowance.is_some();
        }
    }

    fn releases(&mut self) -> Option<&mut Releases> {
        self.program.host_mut().releases.as_mut()
    }

    /// Whether it waits for the event that releases its work.
    fn waits_for_release(&mut self, hook: Hook) -> bool {
        let host = self.program.host_mut();
        let waits = matches!(host.wait, Some(Wait::Events { .. }));
        let by_events = host.releases.as_ref().is_some_and(|releases| releases.kind() == Release::Events);
        hook == Hook::OnLoop && waits && by_events
    }

    /// The work before is done, as the container waits for the next event. Answers when that may release work, where it is not yet.
    fn too_early(&mut self, now: Instant) -> Option<Instant> {
        let releases = self.releases()?;
        releases.complete(now);
        Some(releases.earliest()).filter(|earliest| now < *earliest)
    }

    /// Lets an event wait that comes too soon.
    fn rest_until(&mut self, call: ResumableCallHostTrap, earliest: Instant) -> Turn {
        // Where the timer is not to be had, it looks again whenever something arrives.
        self.program.host_mut().wake_at(earliest);
        self.activity = Activity::Waiting(Hook::OnLoop, call);
        Turn::Rests
    }

    fn begin_stop(&mut self, now: Instant, cause: EndCause) {
        if let Some(releases) = self.releases() {
            releases.abandon();
        }
        self.cause = cause;
        self.times.stopping = Some(now);
        self.begin_limited(Hook::OnStop, now);
    }

    fn begin_limited(&mut self, hook: Hook, now: Instant) {
        self.deadline = Some(now.saturating_add(self.limits.of(hook)));
        self.call(hook);
    }

    /// Why it ended, now that it has.
    fn end_cause(&self) -> EndCause {
        if self.cause == EndCause::None { EndCause::Finished } else { self.cause }
    }

    fn limit_failure(&self, hook: Hook) -> Failure {
        let reason = match hook {
            Hook::OnStart => FailureReason::StartLimit,
            Hook::OnLoop => FailureReason::LoopLimit,
            Hook::OnStop => FailureReason::StopLimit,
            _ => FailureReason::LoadLimit,
        };
        Failure::new(
            reason,
            format_args!("{} took more than {} us", hook.name(self.program.world()), self.limits.of(hook) / 1000),
        )
    }
}

fn overrun(releases: &Releases) -> Failure {
    let text = format_args!("its work takes more than the {} us of its budget", releases.budget_us());
    Failure::new(FailureReason::Overrun, text)
}

fn late(releases: &Releases) -> Failure {
    let text = format_args!("its work was not done {} us after its release", releases.deadline_us());
    Failure::new(FailureReason::Overrun, text)
}

fn fault_failure(hook: &str, fault: Fault) -> Failure {
    Failure::new(FailureReason::Trap, format_args!("{hook}: {fault}"))
}

fn start_refused(answer: i32) -> Failure {
    match u32::try_from(answer).ok().and_then(Status::from_wire) {
        Some(status) => Failure::new(FailureReason::StartRefused, format_args!("on-start answered: {status}")),
        None => {
            Failure::new(FailureReason::StartRefused, format_args!("on-start answered {answer}, which is no status"))
        }
    }
}
