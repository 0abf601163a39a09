//! Linux' `virtio_console` in small: the same messages in the same order (drivers/char/virtio_console.c).

use std::collections::VecDeque;

use bitflags::bitflags;
use virtio_drivers::queue::{OwningQueue, VirtQueue};
use virtio_drivers::transport::Transport;

use crate::guest_memory::GuestHal;
use crate::platform::{MmioTransport, Shared};

bitflags! {
    /// Feature bits that this driver knows.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct Features: u64 {
        const SIZE = 1 << 0;
        const MULTIPORT = 1 << 1;
        const EMERGENCY_WRITE = 1 << 2;
        const VERSION_1 = 1 << 32;
    }
}

/// Events of control messages.
pub(crate) mod event {
    pub(crate) const DEVICE_READY: u16 = 0;
    pub(crate) const PORT_ADD: u16 = 1;
    pub(crate) const PORT_READY: u16 = 3;
    pub(crate) const PORT_OPEN: u16 = 6;
    pub(crate) const PORT_NAME: u16 = 7;
}

/// Bytes of a receive buffer: small, so that a few lines fill several.
pub(crate) const BUFFER: usize = 32;
const QUEUE: usize = 8;
const IDS: u16 = 5;

type ControlQueue = OwningQueue<GuestHal, QUEUE, 64>;
type ReceiveQueue = OwningQueue<GuestHal, QUEUE, BUFFER>;
type TransmitQueue = VirtQueue<GuestHal, QUEUE>;

/// A control message that the device sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) id: u32,
    pub(crate) event: u16,
    pub(crate) value: u16,
    pub(crate) name: Vec<u8>,
}

struct Queues {
    receive: ReceiveQueue,
    transmit: TransmitQueue,
    /// Buffers that the device has: token and parts.
    in_flight: VecDeque<(u16, Vec<Vec<u8>>)>,
}

/// A driver that is up.
pub(crate) struct Driver {
    transport: MmioTransport,
    control_receive: ControlQueue,
    control_transmit: TransmitQueue,
    ports: Vec<Queues>,
}

impl Driver {
    /// Brings the device up, as far as the driver's `probe` goes.
    pub(crate) fn start(platform: &Shared) -> Self {
        let mut transport = MmioTransport::new(platform);
        let wanted = Features::MULTIPORT | Features::VERSION_1;
        assert_eq!(transport.begin_init(wanted), wanted);
        let mut queue = |number| VirtQueue::new(&mut transport, number, false, false).unwrap();
        let mut ports: Vec<(TransmitQueue, TransmitQueue)> = vec![(queue(0), queue(1))];
        let (control_receive, control_transmit) = (queue(2), queue(3));
        ports.extend((1..IDS).map(|id| (queue(2 * id + 2), queue(2 * id + 3))));
        transport.finish_init();
        let ports = ports
            .into_iter()
            .map(|(receive, transmit)| Queues {
                receive: OwningQueue::new(receive).unwrap(),
                transmit,
                in_flight: VecDeque::new(),
            })
            .collect();
        let control_receive = OwningQueue::new(control_receive).unwrap();
        let mut driver = Self { transport, control_receive, control_transmit, ports };
        driver.transport.notify(2);
        for id in 0..IDS {
            driver.transport.notify(receive_queue(id));
        }
        driver
    }

    /// [`Self::start`], and then the messages until all ports have their names and the host's end.
    pub(crate) fn start_with_ports(platform: &Shared) -> Self {
        let mut driver = Self::start(platform);
        driver.tell(0xffff_ffff, event::DEVICE_READY, 1);
        for message in driver.messages() {
            assert_eq!(message.event, event::PORT_ADD);
            driver.tell(message.id, event::PORT_READY, 1);
        }
        assert_eq!(driver.messages().len(), 8, "a name and an opening for each of four ports");
        driver
    }

    pub(crate) fn transport(&mut self) -> &mut MmioTransport {
        &mut self.transport
    }

    /// A control message to the device; like Linux, waits until the device has taken it.
    pub(crate) fn tell(&mut self, id: u32, event: u16, value: u16) {
        let mut bytes = Vec::new();
        bytes.extend(id.to_le_bytes());
        bytes.extend(event.to_le_bytes());
        bytes.extend(value.to_le_bytes());
        self.control_transmit.add_notify_wait_pop(&[&bytes], &mut [], &mut self.transport).unwrap();
    }

    /// What the device said since the last call.
    pub(crate) fn messages(&mut self) -> Vec<Message> {
        let mut messages = Vec::new();
        while let Some(message) =
            self.control_receive.poll(&mut self.transport, |bytes| Ok(Some(parse(bytes)))).unwrap()
        {
            messages.push(message);
        }
        messages
    }

    pub(crate) fn open(&mut self, session: u16) {
        self.tell(u32::from(session) + 1, event::PORT_OPEN, 1);
    }

    pub(crate) fn close(&mut self, session: u16) {
        self.tell(u32::from(session) + 1, event::PORT_OPEN, 0);
    }

    /// Offers bytes in as many buffers as there are parts; `false` where the queue is full.
    pub(crate) fn write(&mut self, session: u16, parts: &[&[u8]]) -> bool {
        self.reclaim(session);
        let queues = &mut self.ports[usize::from(session) + 1];
        let parts: Vec<Vec<u8>> = parts.iter().map(|part| part.to_vec()).collect();
        let inputs: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
        // SAFETY: the parts stay in `in_flight`, untouched, until `reclaim` pops them.
        let Ok(token) = (unsafe { queues.transmit.add(&inputs, &mut []) }) else { return false };
        queues.in_flight.push_back((token, parts));
        self.transport.notify(receive_queue(session + 1) + 1);
        true
    }

    /// Takes back what the device has used; answers how many chains it still has.
    pub(crate) fn reclaim(&mut self, session: u16) -> usize {
        let queues = &mut self.ports[usize::from(session) + 1];
        while let Some(token) = queues.transmit.peek_used() {
            let position = queues.in_flight.iter().position(|(other, _)| *other == token).expect("a token of ours");
            let (_, parts) = queues.in_flight.remove(position).expect("it is there");
            let inputs: Vec<&[u8]> = parts.iter().map(Vec::as_slice).collect();
            // SAFETY: these are the buffers that `add` got for this token.
            unsafe { queues.transmit.pop_used(token, &inputs, &mut []) }.unwrap();
        }
        queues.in_flight.len()
    }

    /// Takes one filled buffer and offers it again.
    pub(crate) fn read(&mut self, session: u16) -> Option<Vec<u8>> {
        let queues = &mut self.ports[usize::from(session) + 1];
        queues.receive.poll(&mut self.transport, |bytes| Ok(Some(bytes.to_vec()))).unwrap()
    }
}

fn receive_queue(id: u16) -> u16 {
    if id == 0 { 0 } else { 2 * id + 2 }
}

fn parse(bytes: &[u8]) -> Message {
    Message {
        id: u32::from_le_bytes(bytes[..4].try_into().unwrap()),
        event: u16::from_le_bytes(bytes[4..6].try_into().unwrap()),
        value: u16::from_le_bytes(bytes[6..8].try_into().unwrap()),
        name: bytes[8..].to_vec(),
    }
}
