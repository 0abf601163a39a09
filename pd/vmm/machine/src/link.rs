//! The link to `admission`: sessions of the ports on one side, slots of two rings on the other.
//!
//! [`LinkBridge`] is the only thing that stands between them. It knows ports by the trait [`SessionPorts`], so the same
//! logic serves the guest's virtio ports here and any other kind of port elsewhere. Neither side is believed: ports
//! report what a hostile guest does, and slots of `admission` are decoded like anybody's.
//!
//! **Back-pressure.** Bytes leave a port only when the ring has a free slot. Bytes of `admission` wait in a buffer per
//! session; when one is full, the bridge takes nothing more from the ring, and if that lasts for [`STALL_NANOSECONDS`]
//! although others wait behind, the session that does not read is ended, so none can block the rest for ever.
//!
//! **One session never hears another's bytes.** `admission` may still be writing for a session that the guest has
//! closed. So the next opening of that port is told only after `admission` has taken the closing out of its ring: what it
//! wrote before lies in the ring to here by then, and is dropped on arrival because no session is open.
//!
//! **Restarts.** When a ring is reset because the other side restarted, nobody knows what was lost: every session is
//! ended towards the guest, which then reads end-of-file and opens again.

use alloc::collections::VecDeque;

use runner_interfaces::kernel::Instant;
pub use runner_interfaces::link::link_geometry;
use runner_interfaces::link::{LINK_PAYLOAD_BYTES, LINK_SLOT_BYTES, LinkHeader, LinkKind, LinkSlot, MAX_SESSIONS};
use shared_ring::{Consumer, Producer, SharedMemory};

use crate::virtio_console::{PortError, PortEvent};

/// Bytes that wait for one session at the most: a screenful or two of output while the guest is busy.
const WAITING_BYTES: usize = 64 * 1024;

/// How long a session may block the others by not reading: 5 s, longer than a guest under load pauses and shorter than
/// a person's patience.
pub const STALL_NANOSECONDS: u64 = 5_000_000_000;

/// Slots moved in each direction in one run, so that the guest's other faults come round: a ring's worth.
const SLOTS_PER_RUN: usize = 64;

/// Ports as the bridge needs them. Implemented by the machine's ports.
pub trait SessionPorts {
    /// The next event of the ports that are `wanted`; bytes go into `buffer`.
    fn next_event(&mut self, wanted: &dyn Fn(usize) -> bool, buffer: &mut [u8]) -> Option<PortEvent>;

    /// Sends what there is room for; answers how many bytes that were.
    fn send(&mut self, port: usize, bytes: &[u8]) -> Result<usize, PortError>;

    /// Tells the peer that the session is over; [`PortEvent::Closed`] follows when it has obeyed.
    fn close(&mut self, port: usize) -> Result<(), PortError>;
}

/// What went through and what went wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkCounters {
    /// Sessions that `admission` was told of.
    pub sessions: u64,
    /// Slots pushed.
    pub slots_sent: u64,
    /// Slots popped.
    pub slots_received: u64,
    /// Slots from `admission` that break the contract.
    pub malformed_slots: u64,
    /// Slots for a session that is not open (any more).
    pub late_slots: u64,
    /// Sessions ended because their reader did not read.
    pub stalled_sessions: u64,
    /// Sessions ended because the other side restarted or misbehaved.
    pub interrupted_sessions: u64,
}

/// Where a session stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// The port is closed.
    #[default]
    Closed,
    /// The guest has opened the port; `admission` does not know yet.
    Opening,
    /// `admission` knows.
    Open,
    /// To be ended towards the guest: `admission` wants it, or its reader does not read.
    Ending,
    /// To be ended towards the guest, and the `admission` that knew of it is gone.
    Orphaned,
}

/// What must have happened before the next opening of a port is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Quarantine {
    /// Nothing.
    #[default]
    None,
    /// `admission` must have taken this slot, counted over all that were pushed: the closing.
    UntilTaken(u64),
    /// What it wrote before must have left the ring to here: once this many slots were popped, or the ring was empty.
    UntilReceived(u64),
}

/// One port's session.
#[derive(Debug)]
struct Session {
    state: State,
    quarantine: Quarantine,
    /// The port was told that the session ends.
    end_told: bool,
    /// Bytes for the guest.
    waiting: VecDeque<u8>,
}

impl Session {
    fn new() -> Self {
        Self {
            state: State::Closed,
            quarantine: Quarantine::None,
            end_told: false,
            waiting: VecDeque::with_capacity(WAITING_BYTES),
        }
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.end_told = false;
        self.waiting.clear();
    }

    /// Sends what there is room for, and the end when it is its turn.
    fn pass_on(&mut self, port: usize, ports: &mut impl SessionPorts) {
        while !self.waiting.is_empty() {
            match ports.send(port, self.waiting.as_slices().0) {
                Ok(0) => return,
                Ok(sent) => drop(self.waiting.drain(..sent)),
                // The guest has closed; the event that says so is on its way.
                Err(_) => self.waiting.clear(),
            }
        }
        if matches!(self.state, State::Ending | State::Orphaned) && !self.end_told {
            // An error means that the guest was faster.
            let _ = ports.close(port);
            self.end_told = true;
        }
    }
}

/// The two rings and what is between.
#[derive(Debug)]
pub struct LinkBridge<D, H = D> {
    to_admission: Producer<D, H>,
    from_admission: Consumer<D, H>,
    sessions: [Session; MAX_SESSIONS],
    /// A slot that was taken from the ring and finds no room yet: its session and bytes lie in `incoming`.
    held: Option<HeldSlot>,
    incoming: [u8; LINK_SLOT_BYTES],
    outgoing: [u8; LINK_SLOT_BYTES],
    /// Resets of both rings that were dealt with.
    resets_seen: (u32, u32),
    counters: LinkCounters,
}

#[derive(Clone, Copy, Debug)]
struct HeldSlot {
    session: usize,
    start: usize,
    end: usize,
    since: Instant,
}

impl<D: SharedMemory, H: SharedMemory> LinkBridge<D, H> {
    /// Joins the ring ends. All memory is allocated here.
    pub fn new(to_admission: Producer<D, H>, from_admission: Consumer<D, H>) -> Self {
        let resets_seen = (to_admission.reset_count(), from_admission.reset_count());
        Self {
            to_admission,
            from_admission,
            sessions: core::array::from_fn(|_| Session::new()),
            held: None,
            incoming: [0; LINK_SLOT_BYTES],
            outgoing: [0; LINK_SLOT_BYTES],
            resets_seen,
            counters: LinkCounters::default(),
        }
    }

    /// What was counted so far.
    pub fn counters(&self) -> LinkCounters {
        self.counters
    }

    /// Whether the bridge should run although nothing happened: something waits, and time passes.
    pub fn is_waiting(&self) -> bool {
        self.held.is_some() || self.sessions.iter().any(|session| session.state == State::Opening)
    }

    /// Moves what can be moved. Answers whether `admission` has to be notified.
    ///
    /// To be called when the ports had activity, when `admission` notified, and now and then while [`Self::is_waiting`].
    pub fn run(&mut self, ports: &mut impl SessionPorts, now: Instant) -> bool {
        self.notice_resets();
        self.notice_taken_closings();
        self.move_in(ports, now);
        self.move_out(ports);
        self.pass_on(ports);
        let sent = self.to_admission.take_notification_due();
        let received = self.from_admission.take_notification_due();
        sent | received
    }

    /// A ring that was reset may have lost anything: sessions that `admission` was told of are over.
    fn notice_resets(&mut self) {
        // Looking is what makes the end notice.
        self.to_admission.is_connected();
        let resets = (self.to_admission.reset_count(), self.from_admission.reset_count());
        if resets == self.resets_seen {
            return;
        }
        self.resets_seen = resets;
        self.held = None;
        for session in &mut self.sessions {
            // The ring is empty: no closing will be taken, and nothing late comes.
            session.quarantine = Quarantine::None;
            if matches!(session.state, State::Open | State::Ending) {
                let end_told = session.end_told;
                session.enter(State::Orphaned);
                session.end_told = end_told;
                self.counters.interrupted_sessions += 1;
            }
        }
    }

    /// Closings that `admission` has taken: what it wrote before is in the ring to here by now.
    fn notice_taken_closings(&mut self) {
        let taken = self.slots_taken();
        let received = self.counters.slots_received + u64::from(self.from_admission.geometry().slots());
        for session in &mut self.sessions {
            if let Quarantine::UntilTaken(slot) = session.quarantine
                && slot <= taken
            {
                session.quarantine = Quarantine::UntilReceived(received);
            }
        }
    }

    /// So many slots were popped, or there was none left (`None`).
    fn lift_quarantines(&mut self, received: Option<u64>) {
        for session in &mut self.sessions {
            if let Quarantine::UntilReceived(slots) = session.quarantine
                && received.is_none_or(|received| received >= slots)
            {
                session.quarantine = Quarantine::None;
            }
        }
    }

    fn pass_on(&mut self, ports: &mut impl SessionPorts) {
        for (port, session) in self.sessions.iter_mut().enumerate() {
            session.pass_on(port, ports);
        }
    }

    // From `admission` to the ports.

    fn move_in(&mut self, ports: &mut impl SessionPorts, now: Instant) {
        self.pass_on(ports);
        for _ in 0..SLOTS_PER_RUN {
            if !self.place_held(ports, now) {
                return;
            }
            // A quarantined ring shows as nothing to take; its reset is noticed when it comes.
            let Ok(Some(length)) = self.from_admission.pop(&mut self.incoming) else {
                self.lift_quarantines(None);
                return;
            };
            self.counters.slots_received += 1;
            self.take_in(length, now);
            self.lift_quarantines(Some(self.counters.slots_received));
        }
        self.place_held(ports, now);
    }

    /// Judges the slot in `incoming`.
    fn take_in(&mut self, length: usize, now: Instant) {
        let Ok(slot) = LinkSlot::decode(&self.incoming[..length]) else {
            self.counters.malformed_slots += 1;
            return;
        };
        let session = &mut self.sessions[slot.session];
        if session.state != State::Open {
            self.counters.late_slots += 1;
            return;
        }
        match slot.kind {
            LinkKind::Data => {
                // The bytes follow the header; what may follow them is not theirs.
                let start = size_of::<LinkHeader>();
                self.held = Some(HeldSlot { session: slot.session, start, end: start + slot.bytes.len(), since: now });
            }
            LinkKind::Close => session.state = State::Ending,
            // Sessions begin at the ports.
            LinkKind::Open => self.counters.malformed_slots += 1,
        }
    }

    /// Puts the slot at hand into its session's buffer; answers whether the hand is free.
    fn place_held(&mut self, ports: &mut impl SessionPorts, now: Instant) -> bool {
        let Some(held) = self.held else { return true };
        let session = &mut self.sessions[held.session];
        let bytes = &self.incoming[held.start..held.end];
        session.pass_on(held.session, ports);
        if session.state != State::Open {
            self.counters.late_slots += 1;
        } else if session.waiting.len() + bytes.len() <= WAITING_BYTES {
            session.waiting.extend(bytes);
            session.pass_on(held.session, ports);
        } else if now.nanoseconds_since(held.since) < STALL_NANOSECONDS {
            return false;
        } else {
            session.enter(State::Ending);
            session.pass_on(held.session, ports);
            self.counters.stalled_sessions += 1;
        }
        self.held = None;
        true
    }

    // From the ports to `admission`.

    fn move_out(&mut self, ports: &mut impl SessionPorts) {
        for port in 0..MAX_SESSIONS {
            self.tell_opening(port);
        }
        for _ in 0..SLOTS_PER_RUN {
            if self.to_admission.free_slots() == 0 {
                return;
            }
            let sessions = &self.sessions;
            let mut bytes = [0; LINK_PAYLOAD_BYTES];
            // What a port holds back stays in order behind its opening.
            let wanted = |port: usize| sessions[port].state != State::Opening;
            let Some(event) = ports.next_event(&wanted, &mut bytes) else { return };
            match event {
                PortEvent::Opened { port } => {
                    self.sessions[port].enter(State::Opening);
                    self.tell_opening(port);
                }
                PortEvent::Closed { port } => self.tell_closing(port),
                PortEvent::Data { port, length } if self.sessions[port].state == State::Open => {
                    self.push(port, LinkKind::Data, &bytes[..length]);
                }
                // The session is over; only the guest has not noticed yet.
                PortEvent::Data { .. } => {}
            }
        }
    }

    /// How many of the slots that were ever pushed `admission` has taken.
    fn slots_taken(&mut self) -> u64 {
        if !self.to_admission.is_connected() {
            return 0;
        }
        let in_flight = self.to_admission.geometry().slots() - self.to_admission.free_slots();
        self.counters.slots_sent.saturating_sub(in_flight.into())
    }

    fn tell_opening(&mut self, port: usize) {
        let session = &self.sessions[port];
        if session.state == State::Opening
            && session.quarantine == Quarantine::None
            && self.push(port, LinkKind::Open, &[])
        {
            self.sessions[port].enter(State::Open);
            self.counters.sessions += 1;
        }
    }

    fn tell_closing(&mut self, port: usize) {
        let known = matches!(self.sessions[port].state, State::Open | State::Ending);
        self.sessions[port].enter(State::Closed);
        if known && self.push(port, LinkKind::Close, &[]) {
            self.sessions[port].quarantine = Quarantine::UntilTaken(self.counters.slots_sent);
        }
    }

    /// Pushes a slot; answers whether that worked. Where a free slot was seen before, what fails is a ring that was reset
    /// in between, and [`Self::notice_resets`] ends the sessions.
    fn push(&mut self, session: usize, kind: LinkKind, bytes: &[u8]) -> bool {
        let slot = LinkSlot { session, kind, bytes };
        let length = slot.encode(&mut self.outgoing).expect("a port's event fits a slot");
        let pushed = self.to_admission.push(&self.outgoing[..length]).is_ok();
        self.counters.slots_sent += u64::from(pushed);
        pushed
    }
}

#[cfg(test)]
mod tests;
