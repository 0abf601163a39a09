//! In place of the VMM: a unix socket whose connections are sessions of the link.
//!
//! Moves bytes between connections and the rings and understands none of them. It is trusted as little as the guest that it
//! stands for: `admission` takes what it sends for hostile. A connection is read only while the ring has room, so that an
//! upload waits in the socket of whoever sends it; what comes back for somebody who does not read it is kept up to
//! [`MAX_UNSENT_BYTES`], then that connection is closed. Four sessions are open at a time; a fifth connection is closed at
//! once, with nothing sent, which `emit` takes for "all sessions are taken" and tries again until its time is over.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use anyhow::{Context, Result};
use runner_interfaces::kernel::{Channel, Kernel, required_channel, required_region};
use runner_interfaces::link::{LINK_PAYLOAD_BYTES, LINK_SLOT_BYTES, LinkKind, LinkSlot, MAX_SESSIONS, link_geometry};
use rustix::event::PollFlags;
use shared_ring::{Consumer, Producer, PushError, SharedMemory};

use super::Shell;
use crate::run_directory::NODE_SOCKET;
use crate::substrate::event_loop::wait;
use crate::substrate::kernel::HostWiring;
use crate::substrate::mapping::HostMemory;

/// The most that is kept for a connection which does not read: more than `admission` lets a session have unread.
const MAX_UNSENT_BYTES: usize = 256 * 1024;

/// How soon to look again while something waits for room in the ring. `admission` notifies when there is room; this only
/// bounds the harm of a notification that came in between.
const ROOM_LOOK: Duration = Duration::from_millis(20);

/// A place for a session.
enum Place {
    Free,
    /// The connection is gone, and `admission` is still to be told.
    Closing,
    Open(Session),
}

struct Session {
    stream: UnixStream,
    /// `admission` knows of it.
    announced: bool,
    /// What the connection has not taken yet.
    unsent: VecDeque<u8>,
    /// `admission` has closed it: it ends when `unsent` is empty.
    closed: bool,
}

/// What a read of a connection came to.
#[derive(PartialEq)]
enum Reading {
    /// Some bytes went into the ring.
    Moved,
    /// There is nothing now, or no room for it.
    Waits,
    /// The connection is over.
    Over,
}

struct Bridge<M> {
    outgoing: Producer<M>,
    incoming: Consumer<M>,
    channel: Channel,
    places: [Place; MAX_SESSIONS],
    /// Where the search for a free place begins, so that one is left alone as long as possible after its session.
    next_place: usize,
    /// Resets of both rings that were acted upon.
    resets: u32,
}

pub(super) fn run(mut shell: Shell) -> Result<()> {
    let path = shell.run_directory().join(NODE_SOCKET);
    if shell.handover.incarnation > 1 {
        // Left by a life before this one.
        let _ = std::fs::remove_file(&path);
    }
    let mut bridge = Bridge::<HostMemory>::from_wiring(&shell.wiring)?;
    let listener = UnixListener::bind(&path).with_context(|| format!("cannot listen at {}", path.display()))?;
    listener.set_nonblocking(true)?;
    bridge.notify(&mut shell.kernel);
    shell.started()?;
    loop {
        let (descriptors, limit) = bridge.interests(&listener);
        wait(&shell.kernel, &descriptors, limit)?;
        drop(descriptors);
        bridge.accept(&listener);
        bridge.pass(&mut shell.kernel);
    }
}

impl Bridge<HostMemory> {
    fn from_wiring(wiring: &HostWiring) -> Result<Self> {
        let region = |symbol| required_region(wiring, symbol);
        Self::new(
            required_channel(wiring, "channel_admission")?,
            (region("region_link_out")?, region("region_link_out_head")?),
            (region("region_link_in")?, region("region_link_in_head")?),
        )
    }
}

impl<M: SharedMemory> Bridge<M> {
    fn new(channel: Channel, outgoing: (M, M), incoming: (M, M)) -> Result<Self> {
        let shape_out = link_geometry(outgoing.0.size_bytes())?;
        let shape_in = link_geometry(incoming.0.size_bytes())?;
        Ok(Self {
            outgoing: Producer::new(shape_out, outgoing.0, outgoing.1)?,
            incoming: Consumer::new(shape_in, incoming.0, incoming.1)?,
            channel,
            places: [const { Place::Free }; MAX_SESSIONS],
            next_place: 0,
            resets: 0,
        })
    }

    /// What to wait for, and for how long.
    fn interests<'a>(&'a mut self, listener: &'a UnixListener) -> (Vec<(BorrowedFd<'a>, PollFlags)>, Option<Duration>) {
        let room = self.outgoing.free_slots() > 0;
        let mut descriptors = vec![(listener.as_fd(), PollFlags::IN)];
        let mut blocked = false;
        for place in &self.places {
            match place {
                Place::Free => {}
                Place::Closing => blocked = true,
                Place::Open(session) => {
                    let mut flags = PollFlags::empty();
                    if room && session.announced && !session.closed {
                        flags |= PollFlags::IN;
                    } else {
                        blocked = true;
                    }
                    if !session.unsent.is_empty() {
                        flags |= PollFlags::OUT;
                    }
                    descriptors.push((session.stream.as_fd(), flags));
                }
            }
        }
        (descriptors, blocked.then_some(ROOM_LOOK))
    }

    /// Takes what waits at the socket; what there is no place for is closed at once.
    fn accept(&mut self, listener: &UnixListener) {
        // Bounded by the backlog; an error is "nothing more", or somebody who went away.
        while let Ok((stream, _)) = listener.accept() {
            self.admit(stream);
        }
    }

    /// Gives a connection a place; drops it where there is none.
    fn admit(&mut self, stream: UnixStream) {
        let order = (0..MAX_SESSIONS).map(|step| (self.next_place + step) % MAX_SESSIONS);
        let free = order.into_iter().find(|&place| matches!(self.places[place], Place::Free));
        let (Some(place), Ok(())) = (free, stream.set_nonblocking(true)) else { return };
        self.next_place = (place + 1) % MAX_SESSIONS;
        self.places[place] = Place::Open(Session { stream, announced: false, unsent: VecDeque::new(), closed: false });
    }

    /// One round: what came from `admission`, what connections take, what they say.
    fn pass<K: Kernel>(&mut self, kernel: &mut K) {
        self.receive();
        self.follow_resets();
        for session in 0..MAX_SESSIONS {
            self.announce(session);
            self.flush(session);
        }
        self.read_in_turn();
        self.follow_resets();
        self.notify(kernel);
    }

    fn notify<K: Kernel>(&mut self, kernel: &mut K) {
        let due = self.incoming.take_notification_due();
        if self.outgoing.take_notification_due() || due {
            kernel.notify(self.channel);
        }
    }

    /// Takes slots from `admission`: at the most a whole ring.
    fn receive(&mut self) {
        let mut buffer = [0; LINK_SLOT_BYTES];
        for _ in 0..self.incoming.geometry().slots() {
            let Ok(Some(length)) = self.incoming.pop(&mut buffer) else { return };
            // A slot that makes no sense is dropped: there is nobody here to complain to.
            let Ok(slot) = LinkSlot::decode(&buffer[..length]) else { continue };
            self.take(slot);
        }
    }

    fn take(&mut self, slot: LinkSlot<'_>) {
        let Place::Open(session) = &mut self.places[slot.session] else { return };
        match slot.kind {
            LinkKind::Data => session.unsent.extend(slot.bytes),
            LinkKind::Close => session.closed = true,
            LinkKind::Open => {}
        }
        if session.unsent.len() > MAX_UNSENT_BYTES {
            self.hang_up(slot.session);
        }
    }

    /// A ring that began anew has lost bytes: no stream can go on.
    fn follow_resets(&mut self) {
        let resets = self.incoming.reset_count().wrapping_add(self.outgoing.reset_count());
        if resets == self.resets {
            return;
        }
        self.resets = resets;
        for place in &mut self.places {
            if matches!(place, Place::Open(session) if session.announced) || matches!(place, Place::Closing) {
                // `admission` has forgotten its sessions too.
                *place = Place::Free;
            }
        }
    }

    /// Tells `admission` of a session that began or ended.
    fn announce(&mut self, session: usize) {
        match &mut self.places[session] {
            Place::Open(open) if !open.announced => {
                open.announced = push(&mut self.outgoing, session, LinkKind::Open, &[]).is_ok();
            }
            Place::Closing => {
                if push(&mut self.outgoing, session, LinkKind::Close, &[]).is_ok() {
                    self.places[session] = Place::Free;
                }
            }
            Place::Open(_) | Place::Free => {}
        }
    }

    /// Writes what the connection takes.
    fn flush(&mut self, session: usize) {
        let Place::Open(open) = &mut self.places[session] else { return };
        let over = match write_some(&mut open.stream, &mut open.unsent) {
            Ok(()) => open.closed && open.unsent.is_empty(),
            Err(_) => true,
        };
        if over {
            self.hang_up(session);
        }
    }

    /// Reads each connection in turn until none has anything or the ring is full, so that one upload does not keep another
    /// session's request waiting.
    fn read_in_turn(&mut self) {
        let mut moved = true;
        while moved && self.outgoing.free_slots() > 0 {
            moved = false;
            for session in 0..MAX_SESSIONS {
                match self.read(session) {
                    Reading::Moved => moved = true,
                    Reading::Waits => {}
                    Reading::Over => self.hang_up(session),
                }
            }
        }
    }

    fn read(&mut self, session: usize) -> Reading {
        let Place::Open(open) = &mut self.places[session] else { return Reading::Waits };
        if !open.announced || open.closed || self.outgoing.free_slots() == 0 {
            return Reading::Waits;
        }
        let mut buffer = [0; LINK_PAYLOAD_BYTES];
        match open.stream.read(&mut buffer) {
            Ok(0) => Reading::Over,
            // The room was there a moment ago and only this side fills it; else the ring was reset and the session is lost.
            Ok(count) => match push(&mut self.outgoing, session, LinkKind::Data, &buffer[..count]) {
                Ok(()) => Reading::Moved,
                Err(_) => Reading::Over,
            },
            Err(error) if is_transient(&error) => Reading::Waits,
            Err(_) => Reading::Over,
        }
    }

    /// Ends a connection; `admission` is told if it knows of it.
    fn hang_up(&mut self, session: usize) {
        let announced = matches!(&self.places[session], Place::Open(open) if open.announced);
        self.places[session] = if announced { Place::Closing } else { Place::Free };
        self.announce(session);
    }
}

fn push<M: SharedMemory>(
    ring: &mut Producer<M>,
    session: usize,
    kind: LinkKind,
    bytes: &[u8],
) -> Result<(), PushError> {
    let mut buffer = [0; LINK_SLOT_BYTES];
    let length = LinkSlot { session, kind, bytes }.encode(&mut buffer).map_err(|_| PushError::TooLarge)?;
    ring.push(&buffer[..length])
}

fn write_some(stream: &mut UnixStream, unsent: &mut VecDeque<u8>) -> io::Result<()> {
    while !unsent.is_empty() {
        match stream.write(unsent.as_slices().0) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => drop(unsent.drain(..count)),
            Err(error) if is_transient(&error) => return Ok(()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use runner_interfaces::kernel::{Instant, Message};
    use shared_ring::{HEAD_REGION_BYTES, HeapMemory};

    use super::*;

    /// A data region of the size that `system.xml` gives the link's.
    const REGION_BYTES: usize = 0x20000;

    #[derive(Default)]
    struct PaperKernel {
        notified: u32,
    }

    impl Kernel for PaperKernel {
        fn notify(&mut self, _: Channel) {
            self.notified += 1;
        }
        fn call(&mut self, _: Channel, _: Message) -> Message {
            panic!("the bridge calls nobody")
        }
        fn now(&self) -> Instant {
            Instant::default()
        }
    }

    /// The bridge with a peer in `admission`'s place.
    struct Bench {
        bridge: Bridge<HeapMemory>,
        kernel: PaperKernel,
        regions: [(HeapMemory, HeapMemory); 2],
        incoming: Consumer<HeapMemory>,
        outgoing: Producer<HeapMemory>,
    }

    impl Bench {
        fn new() -> Self {
            let region = || (HeapMemory::new(REGION_BYTES), HeapMemory::new(HEAD_REGION_BYTES));
            let regions = [region(), region()];
            let channel = Channel::new(0).expect("a channel");
            let bridge = Bridge::new(channel, regions[0].clone(), regions[1].clone()).expect("made");
            let (incoming, outgoing) = peer(&regions);
            let mut bench = Self { bridge, kernel: PaperKernel::default(), regions, incoming, outgoing };
            bench.pass();
            bench
        }

        fn pass(&mut self) {
            self.bridge.pass(&mut self.kernel);
        }

        /// A connection that the bridge has taken; the other end is what a client has.
        fn connect(&mut self) -> UnixStream {
            let (ours, theirs) = UnixStream::pair().expect("a pair");
            theirs.set_nonblocking(true).expect("set");
            self.bridge.admit(ours);
            self.pass();
            theirs
        }

        /// What came to `admission`: session, kind, bytes.
        fn received(&mut self) -> Vec<(usize, LinkKind, Vec<u8>)> {
            let mut buffer = [0; LINK_SLOT_BYTES];
            std::iter::from_fn(|| {
                let length = self.incoming.pop(&mut buffer).expect("the bridge behaves")?;
                let slot = LinkSlot::decode(&buffer[..length]).expect("and says what it should");
                Some((slot.session, slot.kind, slot.bytes.to_vec()))
            })
            .collect()
        }

        fn send(&mut self, session: usize, kind: LinkKind, bytes: &[u8]) {
            push(&mut self.outgoing, session, kind, bytes).expect("there is room");
        }
    }

    fn peer(regions: &[(HeapMemory, HeapMemory); 2]) -> (Consumer<HeapMemory>, Producer<HeapMemory>) {
        let shape = link_geometry(REGION_BYTES).expect("the size of system.xml");
        let [(to_data, to_head), (from_data, from_head)] = regions.clone();
        let incoming = Consumer::new(shape, to_data, to_head).expect("made");
        (incoming, Producer::new(shape, from_data, from_head).expect("made"))
    }

    fn text(stream: &mut UnixStream) -> String {
        let mut buffer = [0; 64];
        let count = stream.read(&mut buffer).unwrap_or(0);
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    }

    fn is_closed(stream: &mut UnixStream) -> bool {
        matches!(stream.read(&mut [0; 64]), Ok(0))
    }

    #[test]
    fn bytes_go_both_ways_and_sessions_are_told_apart() {
        let mut bench = Bench::new();
        let (mut first, mut second) = (bench.connect(), bench.connect());
        first.write_all(b"one").expect("sent");
        second.write_all(b"two").expect("sent");
        bench.pass();
        let expected = [
            (0, LinkKind::Open, Vec::new()),
            (1, LinkKind::Open, Vec::new()),
            (0, LinkKind::Data, b"one".to_vec()),
            (1, LinkKind::Data, b"two".to_vec()),
        ];
        assert_eq!(bench.received(), expected);
        bench.send(1, LinkKind::Data, b"for two");
        bench.pass();
        assert_eq!((text(&mut first).as_str(), text(&mut second).as_str()), ("", "for two"));
        assert!(bench.kernel.notified > 0);
    }

    #[test]
    fn ends_are_told_in_both_directions() {
        let mut bench = Bench::new();
        let (first, mut second) = (bench.connect(), bench.connect());
        bench.received();
        drop(first);
        bench.pass();
        assert_eq!(bench.received(), [(0, LinkKind::Close, Vec::new())]);
        bench.send(1, LinkKind::Data, b"last words");
        bench.send(1, LinkKind::Close, &[]);
        bench.pass();
        assert_eq!(text(&mut second), "last words");
        assert!(is_closed(&mut second));
    }

    #[test]
    fn a_fifth_connection_is_closed_and_the_four_stay() {
        let mut bench = Bench::new();
        let mut open: Vec<_> = (0..MAX_SESSIONS).map(|_| bench.connect()).collect();
        assert!(is_closed(&mut bench.connect()));
        assert!(!open.iter_mut().any(is_closed));
    }

    #[test]
    fn a_connection_is_read_only_while_there_is_room() {
        let mut bench = Bench::new();
        let mut client = bench.connect();
        bench.received();
        let piece = [7; LINK_PAYLOAD_BYTES];
        let mut sent = 0;
        // Until socket and ring are full: nobody takes anything.
        while let Ok(count) = client.write(&piece) {
            sent += count;
            bench.pass();
        }
        let slots = usize::try_from(bench.bridge.outgoing.geometry().slots()).expect("small");
        assert!(sent > slots * LINK_PAYLOAD_BYTES, "the rest waits in the client's socket");
        // With somebody who takes it, all of it arrives.
        let mut arrived = 0;
        for _ in 0..1000 {
            arrived += bench.received().iter().map(|(_, _, bytes)| bytes.len()).sum::<usize>();
            bench.pass();
        }
        assert_eq!(arrived, sent);
    }

    #[test]
    fn who_does_not_read_is_closed() {
        let mut bench = Bench::new();
        let (_deaf, mut other) = (bench.connect(), bench.connect());
        bench.received();
        // What the socket takes, and what is kept.
        for _ in 0..2000 {
            bench.send(0, LinkKind::Data, &[7; LINK_PAYLOAD_BYTES]);
            bench.pass();
            if bench.received().contains(&(0, LinkKind::Close, Vec::new())) {
                bench.send(1, LinkKind::Data, b"and you?");
                bench.pass();
                assert_eq!(text(&mut other), "and you?");
                return;
            }
        }
        panic!("somebody who does not read was never closed");
    }

    #[test]
    fn slots_that_make_no_sense_are_dropped() {
        let mut bench = Bench::new();
        let mut client = bench.connect();
        for nonsense in [&[][..], &[0], &[9, 3, 0, 0], &[0, 77, 0, 0], &[0, 3, 255, 255]] {
            bench.outgoing.push(nonsense).expect("there is room");
        }
        bench.send(3, LinkKind::Data, b"for nobody");
        bench.send(0, LinkKind::Data, b"still here");
        bench.pass();
        assert_eq!(text(&mut client), "still here");
    }

    #[test]
    fn a_ring_that_began_anew_ends_every_session() {
        let mut bench = Bench::new();
        let mut client = bench.connect();
        client.write_all(b"lost").expect("sent");
        bench.pass();
        // `admission` begins anew, with nothing of its last life.
        (bench.incoming, bench.outgoing) = peer(&bench.regions);
        for _ in 0..4 {
            bench.pass();
            bench.received();
        }
        assert!(is_closed(&mut client));
        let mut next = bench.connect();
        next.write_all(b"hello").expect("sent");
        bench.pass();
        assert!(bench.received().iter().any(|(_, kind, bytes)| *kind == LinkKind::Data && bytes == b"hello"));
    }
}
