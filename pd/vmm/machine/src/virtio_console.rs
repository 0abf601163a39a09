//! The guest's way to the real-time side: a virtio console with several ports (virtio 1.2, chapter 5.3).
//!
//! Linux' stock driver makes a character device of each port and gives it the name that this device tells it:
//! `emit.0` to `emit.3`. Opening one begins a session, closing it ends one. Port 0 is what the driver would make the
//! system console of; it is never announced, because the guest has its PL011, so the data ports are 1 to 4 and keep the
//! numbers that QEMU's `virtserialport` gives them.
//!
//! Both directions push back. What the guest writes stays in its own transmit queue until the host asks for it with
//! [`Console::next_event`] and says how much it can take; what the host sends goes into buffers that the guest offered,
//! and [`Console::send`] answers how much that was. Messages towards the guest about ports are not queued but remembered
//! as what is due, so a guest that asks a thousand times makes no list grow.
//!
//! Order: a port's opening and closing take their place among its bytes. The host first gets all bytes that were in the
//! transmit queue when the guest closed, then the closing; what it sends meanwhile is refused, so no byte of one session
//! reaches the next. The guest is hostile: chains are copied once and checked (see [`crate::virtqueue`]), and a breach
//! closes every port and stops the device until the guest resets it.

mod control;
mod port;

use alloc::vec::Vec;
use core::fmt;

use runner_interfaces::link::MAX_SESSIONS;

use self::control::{CONTROL_BYTES, ControlMessage, LONGEST_CONTROL, event};
use self::port::{MARKERS, Marker, Partial, Port};
use crate::abort::{AccessSize, Direction};
use crate::memory::GuestMemory;
use crate::pl011::ConsoleSink;
use crate::virtio_mmio::{CONFIGURATION, DeviceIdentity, FEATURE_VERSION_1, Request, Transport, TransportCounters};
use crate::virtqueue::{BufferDirection, Chain, MAX_QUEUE_SIZE, Misbehaviour, Segment, Virtqueue};

/// Ports that sessions use; also how many sessions the link has.
pub const PORTS: usize = MAX_SESSIONS;

/// The id of the port that carries session 0; id 0 is the console port, which does not exist here.
const FIRST_PORT_ID: u16 = 1;
/// Ids that the configuration announces: the console port's and the sessions'.
#[allow(clippy::cast_possible_truncation, reason = "there are at most ten ports, see `NAME_PREFIX`")]
const PORT_IDS: u16 = FIRST_PORT_ID + PORTS as u16;
/// A receive and a transmit queue for each id, and two control queues (5.3.2).
const QUEUES: u16 = 2 * (PORT_IDS + 1);
/// The device's control messages go here.
const CONTROL_RECEIVE: u16 = 2;
/// The driver's control messages come here.
const CONTROL_TRANSMIT: u16 = 3;

/// Feature bits (5.3.3).
const FEATURE_MULTIPORT: u64 = 1 << 1;
const FEATURE_EMERGENCY_WRITE: u64 = 1 << 2;

/// What happened at a port. The bytes of [`PortEvent::Data`] are in the buffer that the host gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortEvent {
    /// The guest opened the port: a session begins.
    Opened {
        /// The session, below [`PORTS`].
        port: usize,
    },
    /// The guest closed the port, or the device was reset: the session is over, and there are no more bytes of it.
    Closed {
        /// The session, below [`PORTS`].
        port: usize,
    },
    /// Bytes that the guest wrote.
    Data {
        /// The session, below [`PORTS`].
        port: usize,
        /// How many bytes of the buffer were filled; at least 1.
        length: usize,
    },
}

/// Why nothing can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortError {
    /// There is no such port.
    NoSuchPort,
    /// No session is open there: the guest has closed the port, whether or not the host has taken that event yet.
    Closed,
}

impl fmt::Display for PortError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NoSuchPort => "there is no such port",
            Self::Closed => "no session is open on the port",
        })
    }
}

impl core::error::Error for PortError {}

/// What went through and what was dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConsoleCounters {
    /// Bytes from the guest, taken by the host.
    pub from_guest: u64,
    /// Bytes into the guest's buffers.
    pub to_guest: u64,
    /// Bytes that the guest wrote while no session was open.
    pub discarded: u64,
    /// Sessions that were over before the host looked.
    pub unseen_sessions: u64,
    /// Control messages that mean nothing here.
    pub ignored_control_messages: u64,
}

/// The device.
#[derive(Debug)]
pub struct Console {
    transport: Transport,
    ports: [Port; PORTS],
    /// The port that is looked at first, so that none starves.
    next_port: usize,
    /// Something may wait for the host.
    activity: bool,
    /// Buffers of the chain at hand, for the queues that are emptied in one step.
    segments: Vec<Segment>,
    counters: ConsoleCounters,
}

impl Default for Console {
    fn default() -> Self {
        Self::new()
    }
}

impl Console {
    /// A device after reset. All its memory is allocated here.
    pub fn new() -> Self {
        let identity = DeviceIdentity {
            device_id: 3,
            offered_features: FEATURE_VERSION_1 | FEATURE_MULTIPORT | FEATURE_EMERGENCY_WRITE,
            // Without several ports there is no opening and closing, and so no session.
            required_features: FEATURE_VERSION_1 | FEATURE_MULTIPORT,
            queues: QUEUES,
        };
        Self {
            transport: Transport::new(identity),
            ports: core::array::from_fn(|_| Port::new()),
            next_port: 0,
            activity: false,
            segments: Vec::with_capacity(usize::from(MAX_QUEUE_SIZE)),
            counters: ConsoleCounters::default(),
        }
    }

    /// What went through so far.
    pub fn counters(&self) -> ConsoleCounters {
        self.counters
    }

    /// What the driver did wrong so far.
    pub fn transport_counters(&self) -> TransportCounters {
        self.transport.counters()
    }

    /// What the driver did wrong last.
    pub fn last_misbehaviour(&self) -> Option<Misbehaviour> {
        self.transport.last_misbehaviour()
    }

    /// Whether the interrupt line is high.
    pub fn interrupt_line(&self) -> bool {
        self.transport.interrupt_line()
    }

    /// Whether something happened since the host last asked that makes it worth asking for events, or sending again.
    pub fn take_activity(&mut self) -> bool {
        core::mem::take(&mut self.activity)
    }

    /// As after power-on, the sessions closed.
    pub fn reset(&mut self) {
        self.transport.reset();
        self.take_ports_down();
    }

    /// The guest's access at `offset`; answers what a load reads. Emergency output goes to `sink`.
    pub fn access(
        &mut self,
        offset: u64,
        size: AccessSize,
        direction: Direction,
        memory: &impl GuestMemory,
        sink: &mut impl ConsoleSink,
    ) -> u64 {
        match direction {
            Direction::Read if offset >= CONFIGURATION => read_configuration(offset - CONFIGURATION, size),
            Direction::Read => self.transport.read(offset, size).into(),
            Direction::Write(value) if offset >= CONFIGURATION => {
                if offset - CONFIGURATION == CONFIGURATION_EMERGENCY_WRITE {
                    // There is no back-pressure here: an emergency's byte goes out now or never.
                    sink.put((value & 0xff) as u8);
                }
                0
            }
            Direction::Write(value) => {
                let breaches = self.transport.counters().misbehaviour;
                let request = self.transport.write(offset, size, value, memory);
                if self.transport.counters().misbehaviour != breaches {
                    self.take_ports_down();
                }
                self.handle(request, memory);
                0
            }
        }
    }

    /// The next thing that happened, ports taking turns; `None` where nothing waits. Bytes are put into `buffer`, at most
    /// as many as it has; with an empty buffer only openings and closings are told, and not past bytes that wait.
    ///
    /// Ports for which `wanted` says `false` are passed over and keep what they have.
    pub fn next_event(
        &mut self,
        wanted: impl Fn(usize) -> bool,
        memory: &impl GuestMemory,
        buffer: &mut [u8],
    ) -> Option<PortEvent> {
        for turn in 0..PORTS {
            let port = (self.next_port + turn) % PORTS;
            if !wanted(port) {
                continue;
            }
            match self.port_event(port, memory, buffer) {
                Ok(None) => {}
                Ok(Some(event)) => {
                    self.next_port = (port + 1) % PORTS;
                    return Some(event);
                }
                Err(misbehaviour) => self.fail(misbehaviour),
            }
        }
        None
    }

    /// Sends bytes to the guest; answers how many found room in its buffers, from the front. To be tried again with the
    /// rest after [`Console::take_activity`] said that something happened.
    pub fn send(&mut self, port: usize, bytes: &[u8], memory: &impl GuestMemory) -> Result<usize, PortError> {
        let state = self.ports.get(port).ok_or(PortError::NoSuchPort)?;
        if !state.is_live() || !self.transport.is_running() {
            return Err(PortError::Closed);
        }
        let mut sent = 0;
        // Buffers without room are given back empty, hence the bound.
        for _ in 0..MAX_QUEUE_SIZE {
            if sent == bytes.len() {
                break;
            }
            match self.fill_buffer(receive_queue(port), &bytes[sent..], memory) {
                Ok(Some(written)) => sent += written,
                Ok(None) => break,
                Err(misbehaviour) => {
                    self.fail(misbehaviour);
                    return Err(PortError::Closed);
                }
            }
        }
        self.counters.to_guest += sent as u64;
        Ok(sent)
    }

    /// Ends a session from the host's side: the guest reads what was sent and then end-of-file. [`PortEvent::Closed`]
    /// follows when the guest has closed the port, and it can be opened again after.
    pub fn close(&mut self, port: usize, memory: &impl GuestMemory) -> Result<(), PortError> {
        let state = self.ports.get_mut(port).ok_or(PortError::NoSuchPort)?;
        if !state.is_live() {
            return Err(PortError::Closed);
        }
        state.host_closing = true;
        state.open_due = Some(false);
        self.tell_guest(memory);
        Ok(())
    }

    fn handle(&mut self, request: Request, memory: &impl GuestMemory) {
        match request {
            Request::None => {}
            Request::Reset => self.take_ports_down(),
            Request::Notify(CONTROL_TRANSMIT) => {
                if let Err(misbehaviour) = self.hear_guest(memory) {
                    self.fail(misbehaviour);
                }
                self.tell_guest(memory);
            }
            Request::Notify(CONTROL_RECEIVE) => self.tell_guest(memory),
            Request::Notify(_) => self.activity = true,
        }
    }

    /// The driver broke the rules: every session is over.
    fn fail(&mut self, misbehaviour: Misbehaviour) {
        self.transport.fail(misbehaviour);
        self.take_ports_down();
    }

    fn take_ports_down(&mut self) {
        for port in &mut self.ports {
            self.counters.unseen_sessions += port.take_down();
        }
        self.activity = true;
    }

    /// Takes control messages from the guest, no more than the queue can hold.
    fn hear_guest(&mut self, memory: &impl GuestMemory) -> Result<(), Misbehaviour> {
        for _ in 0..MAX_QUEUE_SIZE {
            let mut segments = core::mem::take(&mut self.segments);
            let message = self.take_control_message(memory, &mut segments);
            self.segments = segments;
            match message? {
                Some(message) => self.obey(message, memory)?,
                None => break,
            }
        }
        Ok(())
    }

    fn take_control_message(
        &mut self,
        memory: &impl GuestMemory,
        segments: &mut Vec<Segment>,
    ) -> Result<Option<ControlMessage>, Misbehaviour> {
        let queue = queue_of(&mut self.transport, CONTROL_TRANSMIT)?;
        let Some(chain) = queue.take(memory, BufferDirection::FromDriver, segments)? else { return Ok(None) };
        let mut bytes = [0; CONTROL_BYTES];
        if read_chain(memory, segments, &mut bytes)? < CONTROL_BYTES {
            return Err(Misbehaviour::ControlMessage);
        }
        self.give_back(CONTROL_TRANSMIT, chain, 0, memory)?;
        Ok(Some(ControlMessage::from_bytes(bytes)))
    }

    fn obey(&mut self, message: ControlMessage, memory: &impl GuestMemory) -> Result<(), Misbehaviour> {
        match (message.event, session_of(message.id)) {
            (event::DEVICE_READY, _) if message.value == 1 => {
                for port in &mut self.ports {
                    port.add_due = true;
                }
            }
            (event::PORT_READY, Some(port)) if message.value == 1 => {
                self.ports[port].name_due = true;
                // The host's end is always there; without this the driver lets nobody write.
                self.ports[port].open_due = Some(true);
            }
            (event::PORT_OPEN, Some(port)) => return self.mark(port, message.value != 0, memory),
            _ => self.counters.ignored_control_messages += 1,
        }
        Ok(())
    }

    /// The guest opened or closed a port: remembered at its place among the port's bytes.
    fn mark(&mut self, port: usize, opens: bool, memory: &impl GuestMemory) -> Result<(), Misbehaviour> {
        let at = queue_of(&mut self.transport, transmit_queue(port))?.available_index(memory)?;
        let state = &mut self.ports[port];
        let known = state.markers.last().map_or(state.reported_open, |marker| marker.opens);
        state.guest_open = opens;
        self.activity = true;
        if known == opens {
            return Ok(());
        }
        if !opens && state.host_closing {
            // The guest obeyed; the host's end is there again for the next session.
            state.open_due = Some(true);
        }
        self.counters.unseen_sessions += state.markers.push(Marker { opens, at: Some(at) });
        Ok(())
    }

    /// Sends the messages that the guest is due, as far as it offers buffers.
    fn tell_guest(&mut self, memory: &impl GuestMemory) {
        if !self.transport.is_running() {
            return;
        }
        for port in 0..PORTS {
            while let Some((event, value)) = self.ports[port].next_due() {
                match self.send_control(port, event, value, memory) {
                    Ok(true) => self.ports[port].due_is_done(),
                    Ok(false) => return,
                    Err(misbehaviour) => return self.fail(misbehaviour),
                }
            }
        }
    }

    /// Answers whether there was a buffer.
    fn send_control(
        &mut self,
        port: usize,
        event: u16,
        value: u16,
        memory: &impl GuestMemory,
    ) -> Result<bool, Misbehaviour> {
        let message = ControlMessage { id: u32::from(port_id(port)), event, value };
        let mut bytes = [0; LONGEST_CONTROL];
        let length = message.write(port, &mut bytes);
        match self.fill_buffer(CONTROL_RECEIVE, &bytes[..length], memory)? {
            Some(written) if written == length => Ok(true),
            Some(_) => Err(Misbehaviour::ControlMessage),
            None => Ok(false),
        }
    }

    /// Puts as many of `bytes` as fit into the next buffer of a receive queue; answers how many that were, or that there
    /// is no buffer.
    fn fill_buffer(
        &mut self,
        number: u16,
        bytes: &[u8],
        memory: &impl GuestMemory,
    ) -> Result<Option<usize>, Misbehaviour> {
        let queue = queue_of(&mut self.transport, number)?;
        let Some(chain) = queue.take(memory, BufferDirection::ToDriver, &mut self.segments)? else {
            return Ok(None);
        };
        let written = write_chain(memory, &self.segments, bytes)?;
        let length = u32::try_from(written).map_err(|_| Misbehaviour::BufferAddress)?;
        self.give_back(number, chain, length, memory)?;
        Ok(Some(written))
    }

    fn give_back(
        &mut self,
        number: u16,
        chain: Chain,
        written: u32,
        memory: &impl GuestMemory,
    ) -> Result<(), Misbehaviour> {
        if queue_of(&mut self.transport, number)?.give_back(memory, chain, written)? {
            self.transport.interrupt();
        }
        Ok(())
    }

    /// The next event of one port. Ends: each turn takes a chain from a queue that holds at most so many, or a marker.
    fn port_event(
        &mut self,
        port: usize,
        memory: &impl GuestMemory,
        buffer: &mut [u8],
    ) -> Result<Option<PortEvent>, Misbehaviour> {
        for _ in 0..usize::from(MAX_QUEUE_SIZE) + MARKERS {
            if self.ports[port].partial.is_some() {
                if !self.ports[port].is_deliverable() {
                    self.discard(port, memory)?;
                    continue;
                }
                let length = self.deliver(port, memory, buffer)?;
                if length > 0 {
                    return Ok(Some(PortEvent::Data { port, length }));
                }
                if self.ports[port].partial.is_some() {
                    return Ok(None);
                }
                // The chain was empty: it is done and says nothing.
                continue;
            }
            if let Some(event) = self.take_marker(port) {
                return Ok(Some(event));
            }
            if !self.take_transmitted(port, memory)? {
                return Ok(None);
            }
        }
        // More would come; the host asks again.
        self.activity = true;
        Ok(None)
    }

    /// The opening or closing whose turn it is.
    fn take_marker(&mut self, port: usize) -> Option<PortEvent> {
        let next = self.transport.queue(transmit_queue(port)).map(|queue| queue.next_available());
        let state = &mut self.ports[port];
        let marker = state.markers.front()?;
        if marker.at.is_some() && marker.at != next {
            return None;
        }
        state.markers.pop();
        state.reported_open = marker.opens;
        state.host_closing = false;
        Some(if marker.opens { PortEvent::Opened { port } } else { PortEvent::Closed { port } })
    }

    /// Takes the next chain of a transmit queue; answers whether there was one.
    fn take_transmitted(&mut self, port: usize, memory: &impl GuestMemory) -> Result<bool, Misbehaviour> {
        if !self.transport.is_running() {
            return Ok(false);
        }
        let queue = queue_of(&mut self.transport, transmit_queue(port))?;
        let state = &mut self.ports[port];
        let Some(chain) = queue.take(memory, BufferDirection::FromDriver, &mut state.segments)? else {
            return Ok(false);
        };
        state.partial = Some(Partial { chain, segment: 0, offset: 0 });
        Ok(true)
    }

    /// Copies bytes of the chain at hand to the host and answers how many; gives the chain back where that were all.
    fn deliver(&mut self, port: usize, memory: &impl GuestMemory, buffer: &mut [u8]) -> Result<usize, Misbehaviour> {
        let state = &mut self.ports[port];
        let Some(mut partial) = state.partial else { return Ok(0) };
        let mut length = 0;
        while let Some(segment) = state.segments.get(partial.segment) {
            let rest = segment.length - partial.offset;
            if rest == 0 {
                partial = Partial { segment: partial.segment + 1, offset: 0, ..partial };
                continue;
            }
            let room = u32::try_from(buffer.len() - length).unwrap_or(u32::MAX);
            let step = rest.min(room);
            if step == 0 {
                break;
            }
            let end = length + usize::try_from(step).map_err(|_| Misbehaviour::BufferAddress)?;
            memory.read(segment.address + u64::from(partial.offset), &mut buffer[length..end])?;
            length = end;
            partial.offset += step;
        }
        let finished = partial.segment == state.segments.len();
        state.partial = if finished { None } else { Some(partial) };
        if finished {
            self.give_back(transmit_queue(port), partial.chain, 0, memory)?;
        }
        self.counters.from_guest += length as u64;
        Ok(length)
    }

    /// Gives the chain at hand back unread.
    fn discard(&mut self, port: usize, memory: &impl GuestMemory) -> Result<(), Misbehaviour> {
        let state = &mut self.ports[port];
        let Some(partial) = state.partial.take() else { return Ok(()) };
        self.counters.discarded += partial.chain.total_bytes;
        self.give_back(transmit_queue(port), partial.chain, 0, memory)
    }
}

/// Offsets in the configuration (5.3.4).
const CONFIGURATION_PORTS: u64 = 4;
const CONFIGURATION_EMERGENCY_WRITE: u64 = 8;

/// Columns and rows are zero, as the size feature is not offered; then the number of ports.
fn read_configuration(offset: u64, size: AccessSize) -> u64 {
    let ports = u64::from(PORT_IDS).to_le_bytes();
    let byte_at =
        |at: u64| at.checked_sub(CONFIGURATION_PORTS).and_then(|index| ports.get(usize::try_from(index).ok()?));
    (0..size.bytes())
        .rev()
        .fold(0, |value, index| (value << 8) | byte_at(offset + index).map_or(0, |byte| u64::from(*byte)))
}

/// The id that the driver knows a session's port by.
fn port_id(port: usize) -> u16 {
    FIRST_PORT_ID + u16::try_from(port).expect("there are four ports")
}

/// The session of a port's id.
fn session_of(id: u32) -> Option<usize> {
    let index = id.checked_sub(u32::from(FIRST_PORT_ID))?;
    usize::try_from(index).ok().filter(|port| *port < PORTS)
}

/// The queue in which the driver offers buffers (5.3.2: two a port, and the control queues after the first port's).
fn receive_queue(port: usize) -> u16 {
    2 + 2 * port_id(port)
}

/// The queue in which the driver's bytes come.
fn transmit_queue(port: usize) -> u16 {
    receive_queue(port) + 1
}

fn queue_of(transport: &mut Transport, number: u16) -> Result<&mut Virtqueue, Misbehaviour> {
    transport.queue(number).ok_or(Misbehaviour::NoSuchQueue)
}

/// Copies the front of a chain out; answers how many bytes there were, at most the buffer's.
fn read_chain(memory: &impl GuestMemory, segments: &[Segment], buffer: &mut [u8]) -> Result<usize, Misbehaviour> {
    let mut length = 0;
    for segment in segments {
        let step = usize::try_from(segment.length).unwrap_or(usize::MAX).min(buffer.len() - length);
        memory.read(segment.address, &mut buffer[length..length + step])?;
        length += step;
    }
    Ok(length)
}

/// Copies bytes into a chain; answers how many found room.
fn write_chain(memory: &impl GuestMemory, segments: &[Segment], bytes: &[u8]) -> Result<usize, Misbehaviour> {
    let mut length = 0;
    for segment in segments {
        let step = usize::try_from(segment.length).unwrap_or(usize::MAX).min(bytes.len() - length);
        memory.write(segment.address, &bytes[length..length + step])?;
        length += step;
    }
    Ok(length)
}

#[cfg(test)]
mod tests;
