//! The domain: what it holds, and the round in which it serves the link, the cells and the answers that wait.

use alloc::{
    string::{String, ToString},
    vec::Vec,
};
use core::fmt;

use runner_interfaces::{
    MAX_CELLS,
    boot_report::Finding,
    exchange::{ExchangeStatus, MAX_CHANNELS, SlotStatus, slot_offset_bytes},
    gpio::{GpioStatus, LineCountsTable},
    i2c::I2cStatus,
    kernel::{Channel, ChannelSet, Domain, Instant, Kernel, MissingWiring, Wiring, required_channel, required_region},
    link::{LINK_PAYLOAD_BYTES, LINK_SLOT_BYTES, LinkKind, LinkSlot, MAX_SESSIONS},
    timer::TimerStatus,
    warden::{Intervention, WardenTable},
};
use shared_ring::{SequencedCell, SharedMemory};
use shared_ring_messages::{
    Answer, AuditKind, FrameError, FromAgent, FromNode, HELLO_MAGIC, PROTOCOL_MAJOR, PROTOCOL_MINOR,
};

use crate::{
    acts::{RefusedCalls, of_container},
    answers,
    audit::{Act, Audit},
    cell::{CellMemory, CellPort, CellSymbols, TooSmall},
    channels::Slot,
    container::load_failure,
    counters::{Counter, Counters},
    events::{Event, Events, GIVEN_UP},
    failure::Failure,
    link::{Arrival, Link},
    pending::{MAX_PENDING_REQUESTS, Pending, Progress, Wish},
    policy::{Policy, PolicyError},
    session::{MAX_UNREADABLE_FRAMES, Phase, Session, SessionKey},
    trust::{NoKeyTable, Trust},
    used::UsageTables,
};

/// What admission cannot find out by itself.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the node runs on, as `emit info` shows it: "seL4 Microkit", or "Linux host (not seL4)".
    pub substrate: String,
    /// The name of the substrate's number for a kind of fault, or an empty text.
    pub fault_name: fn(u64) -> &'static str,
}

/// Why there is no admission: a fault of `system.xml`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartError {
    /// A channel or a region is missing.
    Missing(MissingWiring),
    /// The region of that symbol, or the one beside it, is too small for what lies in it.
    RegionTooSmall(String),
}

impl fmt::Display for StartError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(missing) => missing.fmt(formatter),
            Self::RegionTooSmall(symbol) => write!(formatter, "the region of `{symbol}` or its head is too small"),
        }
    }
}

impl core::error::Error for StartError {}

impl From<MissingWiring> for StartError {
    fn from(missing: MissingWiring) -> Self {
        Self::Missing(missing)
    }
}

/// See the crate's documentation.
pub struct Admission<M> {
    pub(crate) options: Options,
    pub(crate) policy: Result<Policy, PolicyError>,
    pub(crate) trust: Result<Trust, NoKeyTable>,
    pub(crate) requests: M,
    pub(crate) warden: Channel,
    pub(crate) exchange: Channel,
    warden_status: SequencedCell<M, WardenTable>,
    pub(crate) gpio_status: SequencedCell<M, GpioStatus>,
    pub(crate) line_counts: LineCountsTable<M>,
    pub(crate) i2c_status: SequencedCell<M, I2cStatus>,
    pub(crate) timer_status: SequencedCell<M, TimerStatus>,
    pub(crate) usage: UsageTables<M>,
    pub(crate) exchange_status: SequencedCell<M, ExchangeStatus>,
    pub(crate) slot_status: Vec<SequencedCell<M, SlotStatus>>,
    /// The node's channels, by the exchange's numbers.
    pub(crate) slots: [Option<Slot>; MAX_CHANNELS],
    /// The warden's table as it was last read whole.
    pub(crate) table: WardenTable,
    pub(crate) cells: Vec<Option<CellPort<M>>>,
    link: Link<M>,
    pub(crate) sessions: [Session; MAX_SESSIONS],
    pub(crate) pending: Vec<Pending>,
    pub(crate) counters: Counters,
    pub(crate) events: Events,
    pub(crate) audit: Audit,
    pub(crate) last_serial: u64,
    /// The number of the last session that greeted.
    last_session: u64,
    /// Calls that each owner of resources refused each cell, as far as they were looked at.
    pub(crate) refused_calls: RefusedCalls,
}

impl<M: SharedMemory + Clone> Admission<M> {
    /// Takes its channels and regions from `wiring`. A cell is there if its channel is.
    pub fn new<W: Wiring<Memory = M>>(wiring: &W, options: Options) -> Result<Self, StartError> {
        let link = Link::new(
            required_channel(wiring, "channel_vmm")?,
            (required_region(wiring, "region_link_in")?, required_region(wiring, "region_link_in_head")?),
            (required_region(wiring, "region_link_out")?, required_region(wiring, "region_link_out_head")?),
        )
        .map_err(|_| StartError::RegionTooSmall("region_link_in` or `region_link_out".into()))?;
        let mut cells = Vec::with_capacity(MAX_CELLS);
        for number in 0..MAX_CELLS {
            cells.push(find_cell(wiring, number)?);
        }
        Ok(Self {
            options,
            policy: Policy::read(&required_region(wiring, "region_policy")?),
            trust: Trust::read(&required_region(wiring, "region_keys")?),
            requests: required_region(wiring, "region_requests")?,
            warden: required_channel(wiring, "channel_warden")?,
            exchange: required_channel(wiring, "channel_exchange")?,
            warden_status: status_block(wiring, "region_warden_status")?,
            gpio_status: status_block(wiring, "region_gpio_status")?,
            line_counts: LineCountsTable::new(required_region(wiring, "region_gpio_status")?)
                .map_err(|_| StartError::RegionTooSmall("region_gpio_status".into()))?,
            i2c_status: status_block(wiring, "region_i2c_status")?,
            timer_status: status_block(wiring, "region_timer_status")?,
            usage: UsageTables::new(wiring)?,
            exchange_status: status_block(wiring, "region_exchange_status")?,
            slot_status: slot_status(wiring)?,
            slots: [const { None }; MAX_CHANNELS],
            table: WardenTable::default(),
            cells,
            link,
            sessions: core::array::from_fn(Session::new),
            pending: Vec::new(),
            counters: Counters::default(),
            events: Events::default(),
            audit: Audit::new(),
            last_serial: 0,
            last_session: 0,
            refused_calls: RefusedCalls::default(),
        })
    }

    /// Whether the image holds a board policy that can be read. Without one every upload is refused.
    pub fn has_policy(&self) -> bool {
        self.policy.is_ok()
    }

    /// Goes round until there is nothing left to do. Each round takes from each ring at most what it holds at a time, and
    /// serves everybody, so that who keeps one ring full keeps nobody else waiting.
    fn work<K: Kernel>(&mut self, kernel: &mut K) {
        while self.round(kernel) {}
    }

    fn round<K: Kernel>(&mut self, kernel: &mut K) -> bool {
        let output = self.look_at_cells(kernel);
        let arrived = self.serve_link(kernel);
        let settled = self.settle(kernel);
        self.send_answers();
        self.link.notify(kernel);
        output || arrived || settled
    }

    /// Reads what warden and cells show. Answers whether a cell may have more output.
    fn look_at_cells<K: Kernel>(&mut self, kernel: &mut K) -> bool {
        self.look_for_refused_calls(kernel.now());
        let mut more = false;
        for cell in 0..self.cells.len() {
            more |= self.look_at(kernel, cell);
        }
        more
    }

    /// Brings what is known of a cell up to date. Answers whether it may have more output.
    pub(crate) fn look_at<K: Kernel>(&mut self, kernel: &mut K, cell: usize) -> bool {
        self.refresh_table();
        let Some(port) = self.cells[cell].as_mut() else { return false };
        let mut more = port.look(kernel.now(), &mut self.counters);
        self.hold_to_its_end(cell);
        let Some(port) = self.cells[cell].as_mut() else { return false };
        let (shown, fault_name, now) = (&self.table.cells[cell], self.options.fault_name, kernel.now());
        if let Some(container) = port.container.as_mut() {
            let mut news = container.news(shown, fault_name, now);
            if container.was_started_again(shown) {
                container.loaded(shown.generation);
                let text = alloc::format!("new start {}, {}", shown.new_starts, container.declaration.plan.policy());
                let (time_ns, generation) = (now.nanoseconds(), shown.generation);
                self.audit
                    .record(now, Act { text: text.clone(), ..of_container(AuditKind::StartedAgain, cell, container) });
                news.push(Event { time_ns, generation, event: "restarted", text });
                more |= port.look(kernel.now(), &mut self.counters);
            }
            let container = port.container.as_mut().expect("looking takes no container away");
            news.extend(container.news(shown, fault_name, now));
            // What was asked for is on record with who asked.
            if container.new_intervention(shown).is_some_and(|found| found != Intervention::Killed) {
                let text = container.view(shown, fault_name).reason_text;
                self.audit.record(now, Act { text, ..of_container(AuditKind::Intervention, cell, container) });
            }
            if let Some(Event { text, .. }) = news.iter().find(|event| event.event == GIVEN_UP) {
                self.audit.record(now, Act { text: text.clone(), ..of_container(AuditKind::GivenUp, cell, container) });
            }
            news.into_iter().for_each(|event| self.events.push(container.name(), cell, event));
            let dropped = container.note_intervention(shown, fault_name, now);
            self.counters.add(Counter::OutputLost, dropped);
        }
        port.notify(kernel);
        more
    }

    /// A cell that has shown the warden an end, and shows another state when admission looks, would keep whoever waits for that
    /// waiting for ever. The warden's table was read before the cell, and is read again: what the cell showed lies in between.
    fn hold_to_its_end(&mut self, cell: usize) {
        let is_contradicted = |admission: &Self| {
            let container = admission.cells[cell].as_ref().and_then(|port| port.container.as_ref());
            container.is_some_and(|container| container.is_contradicted(&admission.table.cells[cell]))
        };
        if !is_contradicted(self) {
            return;
        }
        self.refresh_table();
        if !is_contradicted(self) {
            return;
        }
        if let Some(container) = self.cells[cell].as_mut().and_then(|port| port.container.as_mut()) {
            container.note_contradicted(&mut self.counters);
        }
    }

    /// Writes down something that the node did to the container in that cell.
    pub(crate) fn note(&mut self, cell: usize, now: Instant, event: &'static str, text: String) {
        let Some(container) = self.cells[cell].as_ref().and_then(|port| port.container.as_ref()) else { return };
        let event = Event { time_ns: now.nanoseconds(), generation: container.generation(), event, text };
        self.events.push(container.name(), cell, event);
    }

    /// Reads the warden's table; where none can be read, what is known stands.
    pub(crate) fn refresh_table(&mut self) {
        if let Some(table) = self.warden_status.try_read() {
            self.table = table;
        }
    }

    /// Empties the incoming ring at most once. Answers whether anything came.
    fn serve_link<K: Kernel>(&mut self, kernel: &mut K) -> bool {
        // Before anything of a new life of the other side is read: what belonged to its last one is over.
        self.follow_resets(kernel);
        let mut arrived = false;
        let mut buffer = [0; LINK_SLOT_BYTES];
        for _ in 0..self.link.incoming_slots() {
            match self.link.receive(&mut buffer) {
                Arrival::Nothing | Arrival::Misbehaved => break,
                Arrival::Slot(length) => {
                    arrived = true;
                    self.serve_slot(kernel, &buffer[..length]);
                }
            }
        }
        self.follow_resets(kernel);
        arrived
    }

    /// After a reset of either ring the streams have holes: their sessions are over.
    fn follow_resets<K: Kernel>(&mut self, kernel: &mut K) {
        let (resets, misbehaviours) = self.link.look_for_resets();
        self.counters.add(Counter::LinkMisbehaved, misbehaviours.into());
        if resets == 0 && misbehaviours == 0 {
            return;
        }
        for index in 0..MAX_SESSIONS {
            if self.sessions[index].phase != Phase::Closed {
                self.end_session(kernel, index, Phase::Ending, "the link began anew");
            }
        }
    }

    fn serve_slot<K: Kernel>(&mut self, kernel: &mut K, slot: &[u8]) {
        let Ok(LinkSlot { session, kind, bytes }) = LinkSlot::decode(slot) else {
            self.counters.count(Counter::LinkSlotsInvalid);
            return;
        };
        match kind {
            LinkKind::Open => self.end_session(kernel, session, Phase::Greeting, "its port was opened anew"),
            LinkKind::Close => self.end_session(kernel, session, Phase::Closed, "it hung up"),
            LinkKind::Data => self.serve_bytes(kernel, session, bytes),
        }
    }

    fn serve_bytes<K: Kernel>(&mut self, kernel: &mut K, index: usize, mut bytes: &[u8]) {
        loop {
            let session = &mut self.sessions[index];
            if !matches!(session.phase, Phase::Greeting | Phase::Open) {
                self.counters.count(Counter::LinkSlotsStray);
                return;
            }
            match session.decoder.next_frame(&mut bytes) {
                None => return,
                Some(Ok(message)) => {
                    session.unreadable = 0;
                    self.serve_message(kernel, index, message);
                }
                Some(Err(error)) => self.serve_unreadable(kernel, index, error),
            }
            if bytes.is_empty() {
                return;
            }
        }
    }

    fn serve_unreadable<K: Kernel>(&mut self, kernel: &mut K, index: usize, error: FrameError) {
        self.counters.count(match error {
            FrameError::Damaged => Counter::FramesDamaged,
            FrameError::TooLong | FrameError::Malformed | FrameError::Unknown => Counter::FramesMalformed,
        });
        let session = &mut self.sessions[index];
        session.unreadable = session.unreadable.saturating_add(1);
        if session.unreadable == MAX_UNREADABLE_FRAMES + 1 {
            let act = Act { text: error.to_string(), ..self.act_of(AuditKind::BadFrames, index) };
            self.audit.record(kernel.now(), act);
        }
        if self.sessions[index].unreadable <= MAX_UNREADABLE_FRAMES {
            self.send_failure(kernel, index, 0, &Failure::protocol(error));
        }
    }

    fn serve_message<K: Kernel>(&mut self, kernel: &mut K, index: usize, message: FromAgent) {
        match message {
            FromAgent::Hello { magic, major, minor } => self.greet(kernel, index, magic, (major, minor)),
            FromAgent::Request { number, request } => {
                let asked = self.asked(index, &request);
                let result = if self.sessions[index].phase == Phase::Open {
                    self.serve(kernel, index, number, request)
                } else {
                    Err(Failure::protocol("a session begins with a greeting"))
                };
                self.record_request(kernel.now(), asked, &result);
                match result {
                    Ok(Some(answer)) => self.send_answer(kernel, index, number, answer),
                    Ok(None) => {}
                    Err(failure) => self.send_failure(kernel, index, number, &failure),
                }
            }
        }
    }

    /// Whatever the greeting says, it begins a session: a greeting in the middle of one ends that.
    fn greet<K: Kernel>(&mut self, kernel: &mut K, index: usize, magic: u32, (major, minor): (u16, u16)) {
        let welcome = magic == HELLO_MAGIC && major == PROTOCOL_MAJOR;
        if self.sessions[index].phase == Phase::Open || !welcome {
            // The port's closing and opening were not seen, or this is the end: what was before is over.
            self.end_session(kernel, index, Phase::Ending, "it greeted anew");
        }
        if magic != HELLO_MAGIC {
            let act = self.act_of(AuditKind::WrongProtocol, index);
            self.audit.record(kernel.now(), act);
            self.send_failure(kernel, index, 0, &Failure::protocol("that greeting is of another protocol"));
        } else if major != PROTOCOL_MAJOR {
            self.counters.count(Counter::VersionMismatches);
            let text = alloc::format!("{major}.{minor}, and this node speaks {PROTOCOL_MAJOR}.{PROTOCOL_MINOR}");
            let act = Act { text, ..self.act_of(AuditKind::WrongVersion, index) };
            self.audit.record(kernel.now(), act);
            let message = FromNode::VersionMismatch { major: PROTOCOL_MAJOR, minor: PROTOCOL_MINOR };
            self.queue(kernel, index, &answers::encode_message(&message));
        } else {
            self.sessions[index].phase = Phase::Open;
            self.last_session += 1;
            self.sessions[index].number = self.last_session;
            let act = self.act_of(AuditKind::SessionOpened, index);
            self.audit.record(kernel.now(), act);
            let message = FromNode::Welcome { major: PROTOCOL_MAJOR, minor: PROTOCOL_MINOR };
            self.queue(kernel, index, &answers::encode_message(&message));
        }
    }

    fn send_answer<K: Kernel>(&mut self, kernel: &mut K, index: usize, number: u32, answer: Answer) {
        self.queue(kernel, index, &answers::encode(number, answer));
    }

    fn send_failure<K: Kernel>(&mut self, kernel: &mut K, index: usize, number: u32, failure: &Failure) {
        if failure.code == shared_ring_messages::ErrorCode::Protocol {
            self.counters.count(Counter::ProtocolErrors);
        }
        self.queue(kernel, index, &answers::encode_failure(number, failure));
    }

    fn queue<K: Kernel>(&mut self, kernel: &mut K, index: usize, bytes: &[u8]) {
        if self.sessions[index].queue(bytes).is_err() {
            self.counters.count(Counter::SessionsStalled);
            self.end_session(kernel, index, Phase::Ending, "it did not read its answers");
        }
    }

    /// Sends what waits, a slot of each session in turn, as long as the ring has room.
    fn send_answers(&mut self) {
        let mut sent = true;
        while sent {
            sent = false;
            for index in 0..MAX_SESSIONS {
                sent |= self.send_slot(index);
            }
        }
    }

    fn send_slot(&mut self, index: usize) -> bool {
        let session = &mut self.sessions[index];
        if session.has_unread() {
            if !self.link.has_room() {
                return false;
            }
            let mut bytes = [0; LINK_PAYLOAD_BYTES];
            let length = session.peek(&mut bytes);
            let sent = self.link.send(index, LinkKind::Data, &bytes[..length]);
            if sent {
                session.sent(length);
            }
            return sent;
        }
        if session.phase == Phase::Ending && self.link.send(index, LinkKind::Close, &[]) {
            session.reset(Phase::Closed);
            return true;
        }
        false
    }

    /// The session is over: its upload and its attached containers go, and nobody waits for its answers any more.
    fn end_session<K: Kernel>(&mut self, kernel: &mut K, index: usize, phase: Phase, why: &str) {
        let key = self.sessions[index].key();
        if let Some(cell) = self.sessions[index].upload {
            self.counters.count(Counter::UploadsAbandoned);
            self.record_broken_upload(kernel.now(), index, cell, why);
        }
        for cell in 0..self.cells.len() {
            let uploading = self.sessions[index].upload == Some(cell);
            let attached = self.cells[cell].as_ref().and_then(|port| port.container.as_ref()?.attached) == Some(key);
            if attached && !uploading {
                let mut act = self.act_on(AuditKind::Removed, cell);
                (act.session, act.text) = (Some(self.sessions[index].audited()), why.to_string());
                self.audit.record(kernel.now(), act);
            }
            if uploading || attached {
                self.remove_container(kernel, cell);
            }
        }
        if self.sessions[index].phase == Phase::Open {
            let act = Act { text: why.to_string(), ..self.act_of(AuditKind::SessionClosed, index) };
            self.audit.record(kernel.now(), act);
        }
        self.forget_waiting(key);
        self.sessions[index].reset(phase);
    }

    /// What the session waited for goes on only where it has consequences: a container that cannot be loaded must go, one
    /// that was stopped to be started again must be started.
    fn forget_waiting(&mut self, key: SessionKey) {
        let (own, mut kept): (Vec<Pending>, Vec<Pending>) =
            self.pending.drain(..).partition(|pending| pending.session == Some(key));
        for pending in own {
            let matters = matches!(pending.wish, Wish::Deployed { .. } | Wish::EndedToStart | Wish::Replaced);
            let known = |other: &Pending| {
                other.session.is_none() && (other.serial, other.wish) == (pending.serial, pending.wish)
            };
            if matters && !kept.iter().any(known) {
                kept.push(Pending { session: None, ..pending });
            }
        }
        self.pending = kept;
    }

    pub(crate) fn may_wait(&self, key: SessionKey) -> bool {
        self.pending.iter().filter(|pending| pending.session == Some(key)).count() < MAX_PENDING_REQUESTS
    }

    /// Answers what can be answered by now. Answers whether anything could.
    fn settle<K: Kernel>(&mut self, kernel: &mut K) -> bool {
        let mut settled = false;
        let mut position = 0;
        while let Some(pending) = self.pending.get(position).copied() {
            match self.settle_one(kernel, position, pending) {
                None => position += 1,
                Some(result) => {
                    settled = true;
                    self.pending.remove(position);
                    self.answer_waiting(kernel, &pending, result);
                    // The answer may have ended its session, and with it other waits.
                    position = 0;
                }
            }
        }
        settled
    }

    fn answer_waiting<K: Kernel>(&mut self, kernel: &mut K, pending: &Pending, result: Result<Answer, Failure>) {
        let Some(key) = pending.session else { return };
        if self.sessions[key.index].key() != key {
            return;
        }
        match result {
            Ok(answer) => self.send_answer(kernel, key.index, pending.number, answer),
            Err(failure) => self.send_failure(kernel, key.index, pending.number, &failure),
        }
    }

    /// The answer to what waits, once there is one.
    fn settle_one<K: Kernel>(
        &mut self,
        kernel: &mut K,
        position: usize,
        pending: Pending,
    ) -> Option<Result<Answer, Failure>> {
        let found = self.cells.iter().position(|port| {
            port.as_ref().and_then(|port| port.container.as_ref()).is_some_and(|held| held.serial == pending.serial)
        });
        let Some(cell) = found else {
            let detail = "the container was removed meanwhile";
            return Some(Err(Failure::new(shared_ring_messages::ErrorCode::NoSuchContainer, detail)));
        };
        if pending.wish == Wish::Replaced {
            return self.settle_update(kernel, cell);
        }
        let container = self.cells[cell].as_ref().and_then(|port| port.container.as_ref())?;
        let generation = container.generation();
        let wish = match pending.wish {
            // Somebody else loaded it again: the end was reached, and a start is under way.
            Wish::Ended if generation != pending.generation => return Some(self.container_answer(cell, kernel.now())),
            Wish::EndedToStart if generation != pending.generation => Wish::Started,
            wish => wish,
        };
        let view = container.view(&self.table.cells[cell], self.options.fault_name);
        match (wish.progress(&view), wish) {
            (Progress::Waits, _) => None,
            (Progress::Fulfilled, Wish::EndedToStart) => self.start_again(kernel, cell, position),
            (Progress::Fulfilled, _) => Some(self.container_answer(cell, kernel.now())),
            (Progress::Failed, wish) => {
                let failure = load_failure(&view);
                self.counters.count(Counter::LoadsFailed);
                if matches!(wish, Wish::Deployed { .. }) {
                    self.record_upload_failure(kernel.now(), AuditKind::UploadRefused, cell, &failure);
                    self.remove_container(kernel, cell);
                }
                Some(Err(failure))
            }
        }
    }

    /// The second half of a restart: what waited for the end now waits for the start.
    fn start_again<K: Kernel>(
        &mut self,
        kernel: &mut K,
        cell: usize,
        position: usize,
    ) -> Option<Result<Answer, Failure>> {
        match self.load(kernel, cell, true) {
            Ok(generation) => {
                let pending = &mut self.pending[position];
                (pending.wish, pending.generation) = (Wish::Started, generation);
                None
            }
            Err(failure) => Some(Err(failure)),
        }
    }
}

impl<K: Kernel, M: SharedMemory + Clone> Domain<K> for Admission<M> {
    /// The rings were laid out when this was made; their peers are not believed to have been there yet.
    fn self_test(&mut self, _: &mut K) -> Finding {
        match (&self.policy, &self.trust) {
            (Err(policy), Err(keys)) => Finding::wrong(format_args!("{policy}; {keys}")),
            (Err(error), _) => Finding::wrong(format_args!("{error}")),
            (_, Err(error)) => Finding::wrong(format_args!("{error}")),
            (Ok(Policy { board, .. }), Ok(trust)) => {
                let (cells, lines) = (self.cells.iter().flatten().count(), board.lines.len());
                Finding::well(format_args!(
                    "policy of {}: {lines} lines, {} keys; rings of {cells} cells and Linux",
                    board.board,
                    trust.keys().len()
                ))
            }
        }
    }

    fn start(&mut self, kernel: &mut K) {
        self.record_boot(kernel.now());
        self.work(kernel);
    }

    fn notified(&mut self, kernel: &mut K, _channels: ChannelSet) {
        // Notifications are hints, and everything there is to look at is little: it looks at all of it.
        self.work(kernel);
    }
}

fn status_block<W: Wiring, T>(wiring: &W, symbol: &str) -> Result<SequencedCell<W::Memory, T>, StartError>
where
    T: zerocopy::FromBytes + zerocopy::IntoBytes + zerocopy::Immutable,
{
    SequencedCell::new(required_region(wiring, symbol)?, 0).map_err(|_| StartError::RegionTooSmall(symbol.into()))
}

/// What the exchange shows of each channel.
fn slot_status<W: Wiring>(wiring: &W) -> Result<Vec<SequencedCell<W::Memory, SlotStatus>>, StartError> {
    const SYMBOL: &str = "region_exchange_status";
    let region = required_region(wiring, SYMBOL)?;
    (0..MAX_CHANNELS)
        .map(|slot| {
            let cell = slot_offset_bytes(slot).map(|offset| SequencedCell::new(region.clone(), offset));
            cell.and_then(Result::ok).ok_or_else(|| StartError::RegionTooSmall(SYMBOL.into()))
        })
        .collect()
}

fn find_cell<W: Wiring>(wiring: &W, number: usize) -> Result<Option<CellPort<W::Memory>>, StartError> {
    let symbols = CellSymbols::of(number);
    let Some(channel) = wiring.channel(&symbols.channel) else { return Ok(None) };
    let memory = CellMemory {
        module: required_region(wiring, &symbols.module)?,
        status: required_region(wiring, &symbols.status)?,
        output: required_region(wiring, &symbols.output)?,
        output_head: required_region(wiring, &symbols.output_head)?,
    };
    CellPort::new(channel, memory).map(Some).map_err(|TooSmall| StartError::RegionTooSmall(symbols.module))
}
