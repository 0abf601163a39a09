//! One container as the node keeps it: what was asked for, what its cell and the warden say of it, what it wrote.

use alloc::{
    format,
    string::{String, ToString},
    vec::Vec,
};

use runner_container::Endpoint;
use runner_interfaces::{
    cell::{CellConfiguration, CellStatus, ContainerState, DETAIL_BYTES, FailureReason, NodeIdentity, World},
    kernel::Instant,
    output::Stream,
    plan::EndCause,
    policy::CALLED_DOMAINS,
    rate::{Bucket, Rate},
    warden::{Intervention, Reached, Succession, WardenCell},
};
use runner_tokens::Signatures;
use sha2::Sha256;
use shared_ring_messages::{AuditSession, ContainerReport, DeployRequest, ErrorCode};

use crate::{
    channels::{self, End},
    counters::{Counter, Counters},
    declaration::Declaration,
    events::{Event, GIVEN_UP},
    failure::{Failure, duration, printable},
    log::Log,
    policy::Rights,
    session::{Session, SessionKey},
    trust::{self, Revoked},
    used::Counted,
};

/// How long everything is dropped behind a record that was beyond the container's rate: a reader gets a page a gap, so there
/// are to be few of them.
const QUIET_NS: u64 = 100_000_000;

/// How often the log says that records are dropped: a reader should hear of it, and it must not fill the log.
const LIMIT_TOLD_NS: u64 = 1_000_000_000;

/// An upload under way.
#[derive(Debug)]
pub(crate) struct Upload {
    /// Bytes of the module that arrived.
    pub(crate) received: u32,
    pub(crate) next_sequence: u32,
    pub(crate) hasher: Sha256,
}

/// Where a container is, put together from what its cell says and what the warden did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) state: ContainerState,
    pub(crate) reason: FailureReason,
    /// The reason and its detail in words; empty where it did not fail.
    pub(crate) reason_text: String,
    /// It had been started, whatever came of it later.
    pub(crate) begun: bool,
}

/// What an upload is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A container of its own.
    Deploy,
    /// To take another's place.
    Update(Replaces),
    /// To be looked over and never loaded.
    DryRun,
}

/// A new version that is to take another container's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replaces {
    /// The serial of the old one.
    pub(crate) serial: u64,
    pub(crate) probation_ns: u64,
}

#[derive(Debug)]
pub(crate) struct Container {
    /// Never given twice, unlike the name.
    pub(crate) serial: u64,
    pub(crate) request: DeployRequest,
    pub(crate) rights: Rights,
    /// What its parties signed; none where nobody did.
    pub(crate) signed: Option<Signatures>,
    /// A key that signed it does not count any more: it is never loaded again.
    pub(crate) revoked: Option<Revoked>,
    /// What its manifest says; nothing before the upload is whole.
    pub(crate) declaration: Declaration,
    /// Its channels.
    pub(crate) ends: Vec<End>,
    /// What it is to replace, until it has.
    pub(crate) replaces: Option<Replaces>,
    /// It is looked over and never loaded.
    pub(crate) is_dry_run: bool,
    /// Who uploaded it.
    pub(crate) uploader: AuditSession,
    /// The session that it ends with.
    pub(crate) attached: Option<SessionKey>,
    deployed: Instant,
    /// While the module arrives.
    pub(crate) upload: Option<Upload>,
    /// The load that it is; 0 before the first.
    generation: u32,
    /// The last status of that load; once it was an end, no other replaces it.
    seen: Option<CellStatus>,
    /// The cell had shown the warden the end of that load, and then showed something else.
    contradicted: bool,
    /// Records that the cell said it dropped, of that load.
    dropped: u64,
    /// The log tells already what the warden did to that load.
    intervention_noted: bool,
    /// What the list of events tells of that load already.
    told: Told,
    pub(crate) log: Log,
    /// What it has written of its rate.
    written: Bucket,
    /// Records that were beyond it.
    limited: u64,
    /// Records that were not.
    records: u64,
    /// Until then every record is taken for one that is beyond it.
    quiet_until: Instant,
    /// When the log said last that some were.
    limit_told: Option<Instant>,
    /// There may be records in the ring that its reader waits for, and that its rate keeps there.
    pub(crate) held_back: bool,
    /// What its cell's calls had come to before it was there.
    pub(crate) used_before: Counted,
}

/// What was told of one load.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    /// How many of the steps of [`CellStatus`] that have a time.
    steps: usize,
    end: bool,
    next_start_ns: u64,
    given_up: bool,
    succession: u32,
    /// Which owners of resources refused it something, a bit each.
    refusals: u8,
}

impl Container {
    pub(crate) fn new(serial: u64, request: DeployRequest, rights: Rights, session: &Session, now: Instant) -> Self {
        Self {
            serial,
            // Whoever runs it attached is shown all of its output.
            log: if request.attached { Log::awaited() } else { Log::new() },
            attached: request.attached.then_some(session.key()),
            uploader: session.audited(),
            request,
            rights,
            signed: None,
            revoked: None,
            deployed: now,
            upload: Some(Upload { received: 0, next_sequence: 0, hasher: Sha256::default() }),
            generation: 0,
            seen: None,
            contradicted: false,
            dropped: 0,
            intervention_noted: false,
            told: Told::default(),
            replaces: None,
            is_dry_run: false,
            ends: Vec::new(),
            declaration: Declaration::default(),
            written: Bucket::default(),
            limited: 0,
            records: 0,
            quiet_until: Instant::default(),
            limit_told: None,
            held_back: false,
            used_before: Counted::default(),
        }
    }

    /// How often it may write.
    fn log_rate(&self) -> Rate {
        Rate::in_bursts(self.rights.set.log_per_second().unwrap_or(0))
    }

    /// Whether a record may be taken out of the ring now. Whose reader is to miss nothing leaves there what is beyond its rate:
    /// who writes waits then, as for a reader that does not keep up.
    pub(crate) fn may_take(&mut self, now: Instant) -> bool {
        let rate = self.log_rate();
        self.held_back = self.log.is_awaited() && self.written.wait_ns(rate, now) != Some(0);
        !self.held_back && self.log.make_room()
    }

    /// Whether it may write the record that came. One that is beyond its rate keeps those behind it out for a while, so that
    /// there are few gaps and not one behind every record.
    pub(crate) fn may_write(&mut self, now: Instant) -> bool {
        let rate = self.log_rate();
        let may_write = now >= self.quiet_until && self.written.take(rate, now);
        if !may_write && now >= self.quiet_until {
            self.quiet_until = now.saturating_add(QUIET_NS);
        }
        may_write
    }

    /// Takes a record in that it may write.
    pub(crate) fn note_written(&mut self) {
        self.records = self.records.saturating_add(1);
    }

    /// A record was beyond its rate. It gets a number, so that a reader sees the gap, and once a second the log says why there
    /// are some. Answers how many old records that pushed out.
    pub(crate) fn note_limited(&mut self, now: Instant) -> u64 {
        self.limited = self.limited.saturating_add(1);
        let is_news = self.limit_told.is_none_or(|told| now.nanoseconds_since(told) >= LIMIT_TOLD_NS);
        let mut dropped = 0;
        if is_news {
            self.limit_told = Some(now);
            let rate = self.rights.set.log_per_second().unwrap_or(0);
            let text = format!("it writes more than its right, log:{rate}/s, allows; what is beyond is dropped");
            let stream = u8::try_from(Stream::Cell.to_wire()).unwrap_or_default();
            dropped = self.log.push(now.nanoseconds(), stream, false, text.as_bytes());
        }
        self.log.note_lost(1);
        dropped
    }

    /// What its output came to: records, and those beyond its rate.
    pub(crate) fn written(&self) -> (u64, u64) {
        (self.records, self.limited)
    }

    pub(crate) fn name(&self) -> &str {
        &self.request.name
    }

    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    /// A new load begins.
    pub(crate) fn loaded(&mut self, generation: u32) {
        self.generation = generation;
        self.seen = None;
        self.contradicted = false;
        self.dropped = 0;
        self.intervention_noted = false;
        self.told = Told::default();
    }

    /// Whether the warden shows a later load of this container than is known of: it started it again.
    pub(crate) fn was_started_again(&self, shown: &WardenCell) -> bool {
        // Generations grow; a table read before a load must not bring back the one before it.
        let ahead = shown.generation.wrapping_sub(self.generation);
        self.generation != 0 && shown.generation != 0 && (1..u32::MAX / 2).contains(&ahead)
    }

    /// Whether it has come to its end and nothing follows, as far as cell and warden have told.
    pub(crate) fn is_over(&self, shown: &WardenCell, fault_name: fn(u64) -> &'static str) -> bool {
        // The warden takes away the rights of a container whose end it has seen; before, it has not said what follows.
        let seen_by_warden = shown.grants.generation != self.generation;
        self.view(shown, fault_name).state.is_final() && seen_by_warden && shown.next_start_ns == 0
    }

    /// What happened to it that was not told yet, in its order.
    pub(crate) fn news(&mut self, shown: &WardenCell, fault_name: fn(u64) -> &'static str, now: Instant) -> Vec<Event> {
        let generation = self.generation;
        let mut news = Vec::new();
        if generation == 0 || shown.generation != generation {
            return news;
        }
        let mut add = |time_ns, event, text| news.push(Event { time_ns, generation, event, text });
        for (index, (event, time_ns)) in self.steps().into_iter().enumerate().skip(self.told.steps) {
            if time_ns != 0 {
                self.told.steps = index + 1;
                add(time_ns, event, String::new());
            }
        }
        let view = self.view(shown, fault_name);
        if view.state.is_final() && !self.told.end {
            self.told.end = true;
            let ended_ns =
                self.seen.filter(|status| status.ended_ns != 0).map_or(now.nanoseconds(), |seen| seen.ended_ns);
            let text = if view.reason_text.is_empty() { self.end_text(&view) } else { view.reason_text };
            add(ended_ns, view.state.text(), text);
        }
        if self.told.next_start_ns != shown.next_start_ns {
            self.told.next_start_ns = shown.next_start_ns;
            if shown.next_start_ns != 0 {
                let wait = shown.next_start_ns.saturating_sub(now.nanoseconds()).next_multiple_of(1_000_000);
                add(now.nanoseconds(), "restart-scheduled", format!("in {}", duration(wait)));
            }
        }
        if self.told.succession != shown.succession {
            self.told.succession = shown.succession;
            if let Some((event, text)) = Succession::from_wire(shown.succession).and_then(succession_event) {
                add(now.nanoseconds(), event, text.into());
            }
        }
        if shown.given_up != 0 && !self.told.given_up {
            self.told.given_up = true;
            add(now.nanoseconds(), GIVEN_UP, format!("after {} new starts", shown.new_starts));
        }
        news
    }

    /// How far it has come in replacing another.
    pub(crate) fn succession(&self, shown: &WardenCell) -> Succession {
        if shown.generation != self.generation {
            return Succession::None;
        }
        Succession::from_wire(shown.succession).unwrap_or(Succession::None)
    }

    /// The steps of a life with their times, 0 where it has not got there.
    fn steps(&self) -> [(&'static str, u64); 5] {
        let time = |of: fn(&CellStatus) -> u64| self.seen.as_ref().map_or(0, of);
        [
            ("loading", time(|status| status.load_began_ns)),
            ("installed", time(|status| status.installed_ns)),
            ("starting", time(|status| status.started_ns)),
            ("running", time(|status| status.ready_ns)),
            ("stopping", time(|status| status.stopping_ns)),
        ]
    }

    /// Why it ended or is about to, where it did not fail.
    fn end_text(&self, view: &View) -> String {
        let ends = matches!(view.state, ContainerState::Stopping | ContainerState::Finalised);
        if let Some(revoked) = self.revoked.filter(|revoked| ends && revoked.was_live) {
            return revoked.to_string();
        }
        let cause = self.seen.and_then(|status| EndCause::from_wire(status.end_cause)).filter(|_| ends);
        cause.unwrap_or(EndCause::None).to_string()
    }

    /// What the cell is told about it.
    pub(crate) fn configuration(&self, node: NodeIdentity, lines: Vec<(String, u8)>, seed: u64) -> CellConfiguration {
        // Each was looked for when the manifest was read.
        let line = |label: &str| lines.iter().find(|(known, _)| known == label).map(|(_, line)| *line);
        let number = |endpoint: &Endpoint| u32::try_from(endpoint.number).ok();
        let endpoints = self.declaration.endpoints.iter();
        let endpoints = endpoints.filter_map(|endpoint| Some((number(endpoint)?, line(&endpoint.line)?))).collect();
        CellConfiguration {
            name: self.request.name.clone(),
            version: self.declaration.version.clone(),
            node,
            arguments: self.request.arguments.clone(),
            environment: self.request.environment.clone(),
            lines,
            channels: channels::names(&self.ends),
            endpoints,
            seed,
        }
    }

    /// Takes a status over, where it is about this load and its numbers have names.
    pub(crate) fn see(&mut self, status: &CellStatus, counters: &mut Counters) {
        if status.generation != self.generation || self.generation == 0 || self.has_ended_by_itself() {
            return;
        }
        let named = ContainerState::from_wire(status.state).is_some()
            && FailureReason::from_wire(status.reason).is_some()
            && World::from_wire(status.world).is_some();
        if named {
            self.seen = Some(*status);
            // Once: an end is the last that is seen of a load.
            if self.seen_state() == Some(ContainerState::Failed) {
                counters.count(Counter::ContainersFailed);
            }
        } else {
            counters.count(Counter::CellStatusInvalid);
        }
    }

    /// Whether the warden has seen the end of this load and the cell, read after that, shows none: an end is the last that a cell
    /// shows of a load. Not where the warden ended it, or is about to load it anew, which the cell may show already.
    pub(crate) fn is_contradicted(&self, shown: &WardenCell) -> bool {
        let ended = shown.generation == self.generation && shown.grants.generation != self.generation;
        let by_itself = self.intervention(shown) == Intervention::None && shown.next_start_ns == 0;
        self.generation != 0 && ended && by_itself && !self.has_ended_by_itself()
    }

    /// That load is over, and what its cell shows of it counts no more.
    pub(crate) fn note_contradicted(&mut self, counters: &mut Counters) {
        self.contradicted = true;
        counters.count(Counter::CellStatusInvalid);
        counters.count(Counter::ContainersFailed);
    }

    /// Takes over how many records the cell lost. After its ring was emptied: what was dropped comes behind that.
    pub(crate) fn note_dropped(&mut self, counters: &mut Counters) {
        let said = self.seen.map_or(0, |status| status.output_dropped);
        // What a cell says in one go is cut, so that its lies cannot use up the numbers of records.
        let new = said.saturating_sub(self.dropped).min(u64::from(u32::MAX));
        if new > 0 {
            self.dropped = said;
            self.log.note_lost(new);
            counters.add(Counter::OutputLost, new);
        }
    }

    /// Writes into the log what the warden did to this load, once. The cell cannot say it, and its own last words may have gone
    /// with the domain.
    pub(crate) fn note_intervention(
        &mut self,
        shown: &WardenCell,
        fault_name: fn(u64) -> &'static str,
        now: Instant,
    ) -> u64 {
        if self.intervention_noted || self.intervention(shown) == Intervention::None {
            return 0;
        }
        self.intervention_noted = true;
        let text = self.view(shown, fault_name).reason_text;
        let stream = u8::try_from(Stream::Cell.to_wire()).unwrap_or_default();
        self.log.push(now.nanoseconds(), stream, false, text.as_bytes())
    }

    /// What the warden did to this load, where [`Container::note_intervention`] has not noted it.
    pub(crate) fn new_intervention(&self, shown: &WardenCell) -> Option<Intervention> {
        Some(self.intervention(shown)).filter(|found| !self.intervention_noted && *found != Intervention::None)
    }

    /// Whether that owner of a resource, by its number, refuses this load something for the first time.
    pub(crate) fn is_first_refusal(&mut self, owner: usize) -> bool {
        let bit = 1 << owner;
        let is_first = self.told.refusals & bit == 0;
        self.told.refusals |= bit;
        is_first
    }

    fn has_ended_by_itself(&self) -> bool {
        self.contradicted || self.seen_state().is_some_and(ContainerState::is_final)
    }

    fn seen_state(&self) -> Option<ContainerState> {
        self.seen.and_then(|status| ContainerState::from_wire(status.state))
    }

    /// What the warden did to this load.
    fn intervention(&self, shown: &WardenCell) -> Intervention {
        if self.generation == 0 || shown.generation != self.generation {
            return Intervention::None;
        }
        Intervention::from_wire(shown.intervention).unwrap_or(Intervention::None)
    }

    pub(crate) fn view(&self, shown: &WardenCell, fault_name: fn(u64) -> &'static str) -> View {
        let mut view = self.view_as_told(shown, fault_name);
        if let Some(revoked) = self.revoked.filter(|revoked| revoked.was_live && view.state == ContainerState::Failed) {
            view.reason_text = format!("{}: {revoked}", view.reason_text);
        }
        view
    }

    /// Refused where a key that signed it does not count any more.
    pub(crate) fn check_believed(&self) -> Result<(), Failure> {
        match &self.revoked {
            None => Ok(()),
            Some(revoked) => {
                let detail = format!("{revoked}; remove `{}` and deploy it signed anew", self.name());
                Err(Failure::new(ErrorCode::NotSigned, detail))
            }
        }
    }

    fn view_as_told(&self, shown: &WardenCell, fault_name: fn(u64) -> &'static str) -> View {
        let begun = self.seen.is_some_and(|status| status.ready_ns != 0);
        let failed =
            |reason: FailureReason, reason_text| View { state: ContainerState::Failed, reason, reason_text, begun };
        match self.intervention(shown) {
            Intervention::None if self.contradicted => {
                failed(FailureReason::Contradicted, FailureReason::Contradicted.text().into())
            }
            Intervention::None => self.view_of_cell(shown, begun),
            Intervention::Killed => failed(FailureReason::Killed, FailureReason::Killed.text().into()),
            Intervention::StopLimit => failed(FailureReason::StopLimit, Intervention::StopLimit.text().into()),
            Intervention::Watchdog => failed(FailureReason::Watchdog, FailureReason::Watchdog.text().into()),
            Intervention::Flooded => failed(FailureReason::Flooded, flood_text(shown)),
            intervention @ (Intervention::Overrun | Intervention::Unheld) => {
                failed(FailureReason::Overrun, intervention.text().into())
            }
            Intervention::LoadLimit if self.seen_state() == Some(ContainerState::Starting) => {
                failed(FailureReason::StartLimit, FailureReason::StartLimit.text().into())
            }
            Intervention::LoadLimit => failed(FailureReason::LoadLimit, FailureReason::LoadLimit.text().into()),
            Intervention::NotProven | Intervention::NoHandover => {
                let intervention = self.intervention(shown);
                failed(FailureReason::NotReplaced, intervention.text().into())
            }
            Intervention::Fault => {
                let text = format!("{}: {}", FailureReason::CellFault, fault_text(shown, fault_name));
                failed(FailureReason::CellFault, text)
            }
        }
    }

    fn view_of_cell(&self, shown: &WardenCell, begun: bool) -> View {
        use ContainerState as State;
        // Told, and not heard of yet.
        let said = self.seen_state().filter(|state| *state != State::Empty).unwrap_or(State::Loading);
        let reached = Some(shown).filter(|shown| shown.generation == self.generation);
        let reached = reached.and_then(|shown| Reached::from_wire(shown.reached)).unwrap_or(Reached::Nothing);
        // A cell that tells two readers two stories keeps nobody waiting: the warden's word decides.
        let state = match (said, reached) {
            _ if self.generation == 0 => State::Provisioned,
            (State::Loading | State::Installed | State::Starting, Reached::Running) => State::Running,
            (State::Loading, Reached::Installed) => State::Installed,
            (state, _) => state,
        };
        let reason =
            self.seen.and_then(|status| FailureReason::from_wire(status.reason)).unwrap_or(FailureReason::None);
        let (reason, reason_text) = match state {
            ContainerState::Failed => (reason, self.reason_text(reason)),
            _ => (FailureReason::None, String::new()),
        };
        View { state, reason, reason_text, begun }
    }

    fn reason_text(&self, reason: FailureReason) -> String {
        let detail = self.seen.map(|status| detail_text(&status)).unwrap_or_default();
        if detail.is_empty() { reason.to_string() } else { format!("{reason}: {detail}") }
    }

    pub(crate) fn report(
        &self,
        cell: usize,
        shown: &WardenCell,
        fault_name: fn(u64) -> &'static str,
        now: Instant,
    ) -> ContainerReport {
        let view = self.view(shown, fault_name);
        let world =
            self.seen.and_then(|status| World::from_wire(status.world)).filter(|world| *world != World::Unknown);
        let finalised = view.state == ContainerState::Finalised;
        let number = |of: fn(&CellStatus) -> u64| self.seen.as_ref().map_or(0, of);
        let end_text = self.end_text(&view);
        ContainerReport {
            name: self.request.name.clone(),
            cell: u8::try_from(cell).unwrap_or(u8::MAX),
            state: view.state.to_wire(),
            state_text: view.state.text().into(),
            reason: view.reason.to_wire(),
            reason_text: view.reason_text,
            world: world.map(|world| world.text().into()).unwrap_or_default(),
            exit_code: self.seen.filter(|_| finalised).map_or(0, |status| status.exit_code),
            sha256: self.request.sha256,
            module_bytes: self.request.size,
            // Put in by whoever knows what was counted.
            grants: Vec::new(),
            refused: Vec::new(),
            arguments: self.request.arguments.clone(),
            deployed_ns: self.deployed.nanoseconds(),
            load_began_ns: number(|status| status.load_began_ns),
            started_ns: number(|status| status.started_ns),
            ended_ns: number(|status| status.ended_ns),
            now_ns: now.nanoseconds(),
            fuel: number(|status| status.fuel),
            slices: number(|status| status.slices),
            loops: number(|status| status.loops),
            host_calls: number(|status| status.host_calls),
            refused_calls: number(|status| status.refused_calls),
            linear_memory_bytes: number(|status| status.linear_memory_bytes),
            heap_bytes: number(|status| status.heap_bytes),
            output_lost: self.log.lost(),
            cell_restarts: shown.restarts,
            fault_text: if shown.faults == 0 { String::new() } else { fault_text(shown, fault_name) },
            version: self.declaration.version.clone(),
            end_text,
            restart: self.declaration.plan.policy().text().into(),
            new_starts: shown.new_starts,
            next_start_ns: shown.next_start_ns,
            given_up: shown.given_up != 0,
            installed_ns: number(|status| status.installed_ns),
            ready_ns: number(|status| status.ready_ns),
            stopping_ns: number(|status| status.stopping_ns),
            heartbeat_ns: number(|status| status.heartbeat_ns),
            channels: Vec::new(),
            update: if self.replaces.is_some() { "new".into() } else { String::new() },
            signers: self.signed.as_ref().map(trust::signers).unwrap_or_default(),
            signed_until_s: self.signed.as_ref().and_then(Signatures::expires).unwrap_or(0),
        }
    }
}

const fn succession_event(succession: Succession) -> Option<(&'static str, &'static str)> {
    match succession {
        Succession::None => None,
        Succession::Preparing => Some(("update-begun", "a new version starts beside the old one")),
        Succession::Probation => Some(("update-took-over", "the new version has taken over and is on probation")),
        Succession::Done => Some(("update-done", "the new version has proved itself")),
        Succession::RolledBack => Some(("update-rolled-back", "the old version goes on")),
    }
}

/// The cell's own words, whatever it claims their length to be.
fn detail_text(status: &CellStatus) -> String {
    let length = usize::try_from(status.detail_bytes).unwrap_or(DETAIL_BYTES).min(DETAIL_BYTES);
    printable(&status.detail[..length])
}

fn fault_text(shown: &WardenCell, fault_name: fn(u64) -> &'static str) -> String {
    let name = fault_name(shown.fault_kind);
    let named = if name.is_empty() { String::new() } else { format!(" ({name})") };
    format!(
        "fault {}{named} at instruction {:#x}, address {:#x}, syndrome {:#x}",
        shown.fault_kind, shown.fault_instruction, shown.fault_address, shown.fault_syndrome
    )
}

/// Whom it called too often.
fn flood_text(shown: &WardenCell) -> String {
    let driver = shown.flooded.checked_sub(1).and_then(|driver| CALLED_DOMAINS.get(usize::try_from(driver).ok()?));
    driver.map_or_else(|| FailureReason::Flooded.text().into(), |driver| format!("flooded `{driver}` with calls"))
}

/// The failure that a load or a start ended with, as its sender is told.
pub(crate) fn load_failure(view: &View) -> Failure {
    let code = match view.reason {
        FailureReason::NotWasm => ErrorCode::NotWasm,
        FailureReason::InvalidModule => ErrorCode::InvalidModule,
        FailureReason::UnknownImport => ErrorCode::UnknownImport,
        FailureReason::UnknownWorld => ErrorCode::UnknownWorld,
        FailureReason::MemoryLimit | FailureReason::TableLimit => ErrorCode::ResourceLimit,
        FailureReason::Configuration => ErrorCode::Internal,
        FailureReason::None
        | FailureReason::CellMemory
        | FailureReason::LoadLimit
        | FailureReason::StartLimit
        | FailureReason::LoopLimit
        | FailureReason::Overrun
        | FailureReason::Flooded
        | FailureReason::Contradicted
        | FailureReason::StopLimit
        | FailureReason::Trap
        | FailureReason::StartRefused
        | FailureReason::Killed
        | FailureReason::NotReplaced
        | FailureReason::CellFault
        | FailureReason::Watchdog => ErrorCode::LoadFailed,
    };
    Failure::new(code, &view.reason_text)
}
