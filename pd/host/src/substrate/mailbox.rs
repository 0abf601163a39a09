//! Protected calls between processes: a page with a request and an answer, a doorbell, and a futex.
//!
//! The caller writes its words, then a new request number, rings the doorbell (an `eventfd` in the server's event loop)
//! and waits on the answered number by futex, for a bounded time. The server copies the words out once, so a caller that
//! rewrites them gains nothing; the caller trusts the server, which has the higher priority. Only the two ends have the page.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use runner_interfaces::kernel::{CALL_FAILED, Message};
use rustix::event::Timespec;
use rustix::thread::futex;
use shared_ring::SharedValues;

use super::event_loop::{clear, ring};
use super::mapping::SharedPage;

/// How long a caller waits at the most. Servers answer in microseconds; seconds mean that the process is gone, or that the
/// machine is so loaded that nothing here can be relied on anyway.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// The number of the last request: the caller writes it. Each word has a cache line of its own.
const REQUEST_NUMBER: usize = 0;
/// The number of the last request that was answered: the server writes it, the caller waits on it.
const ANSWERED_NUMBER: usize = 128;
/// The request's label and words.
const REQUEST: usize = 256;
/// The answer's label and words.
const ANSWER: usize = 384;

/// A message as it lies in the page.
type Words = [u64; 5];

fn to_words(message: Message) -> Words {
    let [a, b, c, d] = message.words;
    [message.label, a, b, c, d]
}

fn from_words([label, words @ ..]: Words) -> Message {
    Message { label, words }
}

/// The calling end.
pub(crate) struct Caller {
    page: SharedPage,
    doorbell: OwnedFd,
    /// The number of the last request.
    number: Cell<u32>,
}

impl Caller {
    /// On the page in `memory`. Goes on behind the last number there: this end may have been restarted.
    pub(crate) fn new(memory: impl AsFd, doorbell: OwnedFd) -> io::Result<Self> {
        let page = SharedPage::map(memory)?;
        let number = page.word::<REQUEST_NUMBER>().load(Ordering::Acquire);
        Ok(Self { page, doorbell, number: Cell::new(number) })
    }

    /// Calls and waits for the answer; [`CALL_FAILED`] where none comes in time.
    pub(crate) fn call(&self, message: Message) -> Message {
        let number = self.number.get().wrapping_add(1);
        self.number.set(number);
        self.page.memory.write_value(REQUEST, &to_words(message)).expect("the page has room for it");
        // Release: whoever sees the number sees the words.
        self.page.word::<REQUEST_NUMBER>().store(number, Ordering::Release);
        ring(&self.doorbell);
        if self.wait_for(number) {
            from_words(self.page.memory.read_value(ANSWER).expect("the page has room for it"))
        } else {
            Message::new(CALL_FAILED)
        }
    }

    /// Whether `number` was answered in time.
    fn wait_for(&self, number: u32) -> bool {
        let deadline = Instant::now() + ANSWER_LIMIT;
        let answered = self.page.word::<ANSWERED_NUMBER>();
        loop {
            let seen = answered.load(Ordering::Acquire);
            if seen == number {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let Some(left) = Timespec::try_from(left).ok().filter(|_| !left.is_zero()) else { return false };
            // However it ends (woken, changed already, interrupted, timed out), the word and the clock decide.
            let _ = futex::wait(answered, futex::Flags::empty(), seen, Some(&left));
        }
    }
}

/// The serving end.
pub(crate) struct Server {
    page: SharedPage,
    doorbell: OwnedFd,
    /// The number of the last request that was answered.
    answered: Cell<u32>,
}

impl Server {
    /// On the page in `memory`. A request that is there already is answered at the first ring.
    pub(crate) fn new(memory: impl AsFd, doorbell: OwnedFd) -> io::Result<Self> {
        let page = SharedPage::map(memory)?;
        let answered = page.word::<ANSWERED_NUMBER>().load(Ordering::Acquire);
        Ok(Self { page, doorbell, answered: Cell::new(answered) })
    }

    /// What becomes readable when somebody calls.
    pub(crate) fn doorbell(&self) -> BorrowedFd<'_> {
        self.doorbell.as_fd()
    }

    /// The request that is waiting, if there is one. Answer it before taking the next.
    pub(crate) fn take(&self) -> Option<Message> {
        clear(&self.doorbell);
        let number = self.page.word::<REQUEST_NUMBER>().load(Ordering::Acquire);
        if number == self.answered.get() {
            return None;
        }
        self.answered.set(number);
        Some(from_words(self.page.memory.read_value(REQUEST).expect("the page has room for it")))
    }

    /// Answers what was taken.
    pub(crate) fn answer(&self, message: Message) {
        self.page.memory.write_value(ANSWER, &to_words(message)).expect("the page has room for it");
        let word = self.page.word::<ANSWERED_NUMBER>();
        word.store(self.answered.get(), Ordering::Release);
        // Nobody may be waiting any more; that is the caller's affair.
        let _ = futex::wake(word, futex::Flags::empty(), 1);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

    use super::*;
    use crate::substrate::event_loop::bell;
    use crate::substrate::mapping::PAGE_BYTES;

    /// What both ends are made of.
    struct Channel {
        memory: OwnedFd,
        doorbell: OwnedFd,
    }

    impl Channel {
        fn new() -> Self {
            let memory = memfd_create("mailbox", MemfdFlags::CLOEXEC).expect("memfd");
            ftruncate(&memory, PAGE_BYTES as u64).expect("sized");
            Self { memory, doorbell: bell().expect("eventfd") }
        }

        fn caller(&self) -> Caller {
            Caller::new(&self.memory, self.doorbell.try_clone().expect("cloned")).expect("mapped")
        }

        fn server(&self) -> Server {
            Server::new(&self.memory, self.doorbell.try_clone().expect("cloned")).expect("mapped")
        }

        /// Serves `calls` calls with `answer`.
        fn serve(&self, calls: usize, answer: impl Fn(Message) -> Message) {
            let server = self.server();
            for _ in 0..calls {
                let message = loop {
                    match server.take() {
                        Some(message) => break message,
                        None => thread::yield_now(),
                    }
                };
                server.answer(answer(message));
            }
        }
    }

    #[test]
    fn calls_are_answered_in_turn() {
        let channel = Channel::new();
        thread::scope(|scope| {
            scope.spawn(|| channel.serve(1000, |message| Message::with_word(message.label + 1, message.words[3])));
            let caller = channel.caller();
            for round in 0..1000 {
                let answer = caller.call(Message { label: round, words: [0, 0, 0, round * 7] });
                assert_eq!(answer, Message::with_word(round + 1, round * 7));
            }
        });
    }

    #[test]
    fn a_caller_that_was_restarted_goes_on() {
        let channel = Channel::new();
        let server = channel.server();
        // The first life died in its call; its request is served when the server comes round.
        channel.caller().page.word::<REQUEST_NUMBER>().store(1, Ordering::Release);
        assert!(server.take().is_some());
        server.answer(Message::new(0));
        thread::scope(|scope| {
            scope.spawn(|| channel.serve(1, |message| Message::new(message.label + 1)));
            assert_eq!(channel.caller().call(Message::new(5)), Message::new(6));
        });
    }

    #[test]
    fn a_ring_without_a_request_is_no_call() {
        let channel = Channel::new();
        let server = channel.server();
        ring(&channel.doorbell);
        assert_eq!(server.take(), None);
    }
}
