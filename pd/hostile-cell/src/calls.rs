//! Every call that a cell can try, by the kernel's own interface: no wrapper asks whether it may.

use pd_shell::sel4::cap::{Endpoint, Notification};
use pd_shell::sel4::{Cap, MessageInfo, with_ipc_buffer_mut};

/// Where Microkit puts a domain's capabilities (libmicrokit's microkit.h): what it notifies, and what it calls.
const FIRST_NOTIFICATION: u64 = 10;
const FIRST_ENDPOINT: u64 = 74;

/// Numbers that a channel can have.
const CHANNELS: u64 = 64;

/// A domain's capability space has so many slots, and what lies behind finds none.
const SLOTS: u64 = 512;
const SLOTS_TRIED: u64 = SLOTS + 64;

/// Slots that the sweep leaves out: where a domain receives (1) and answers (4), since to send there means to wait for oneself; and
/// where its faults go (2, 5), since a message there is one, which ends the attack before it is done.
const OWN_SLOTS: [u64; 4] = [1, 2, 4, 5];

/// Far from every slot.
const NOWHERE: [u64; 4] = [1 << 12, 1 << 32, u64::MAX / 3, u64::MAX];

/// Whom a cell may call, by its numbers in `system.xml`: `gpio`, `timer`, `exchange`, `i2c`.
const CALLED: [u64; 4] = [0, 1, 4, 5];

/// As on the host: where something ends for somebody.
const BOUNDARIES: [u64; 18] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 63, 64, 0x48, 0x50, 127, 128, 1 << 32, u64::MAX];

/// Second words: as an argument, a level, a length, a time.
const SECOND: [u64; 5] = [0, 1, 2, 1_000_000, u64::MAX];

/// Every procedure of every driver (12 at the most), what lies beside them, and the largest that a message can say: 52 bits.
const LABELS: [u64; 17] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 1 << 32 | 1, (1 << 52) - 1];

/// Lengths of a message: what fits registers, more than that, and the most.
const LENGTHS: [usize; 11] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 20, 120];

/// Capabilities that go along: itself its threads' and its memory's, and one that it does not have.
const GIFTS: [u64; 3] = [3, FIRST_ENDPOINT, 400];

/// Makes every call; tells of each.
pub(crate) fn make_all(made: &mut dyn FnMut()) {
    drivers(made);
    lengths_and_gifts(made);
    every_channel(made);
    every_slot(made);
}

fn endpoint(slot: u64) -> Endpoint {
    Cap::from_bits(slot)
}

/// Calls with so many of `words` repeated and so many capabilities.
fn call(slot: u64, label: u64, words: [u64; 4], length: usize, gifts: usize) {
    lay_down(words, length, gifts);
    endpoint(slot).call(MessageInfo::new(label, 0, gifts, length));
}

fn lay_down(words: [u64; 4], length: usize, gifts: usize) {
    with_ipc_buffer_mut(|buffer| {
        for (register, word) in buffer.msg_regs_mut().iter_mut().take(length).zip(words.into_iter().cycle()) {
            *register = word;
        }
        for (place, gift) in buffer.caps_or_badges_mut().iter_mut().take(gifts).zip(GIFTS) {
            *place = gift;
        }
    });
}

/// Each procedure with each boundary in its first word.
fn drivers(made: &mut dyn FnMut()) {
    for label in LABELS {
        for first in BOUNDARIES {
            for second in SECOND {
                for channel in CALLED {
                    call(FIRST_ENDPOINT + channel, label, [first, second, second, 0], 4, 0);
                    made();
                }
            }
        }
    }
}

/// Each procedure with each length and number of capabilities.
fn lengths_and_gifts(made: &mut dyn FnMut()) {
    for label in LABELS {
        for length in LENGTHS {
            for gifts in 0..=GIFTS.len() {
                for channel in CALLED {
                    call(FIRST_ENDPOINT + channel, label, [1, 1, 1, 1], length, gifts);
                    made();
                }
            }
        }
    }
}

/// Each channel that a domain could have: most of them it does not. Who has none to call is told so by the kernel.
fn every_channel(made: &mut dyn FnMut()) {
    for channel in 0..CHANNELS {
        let notification: Notification = Cap::from_bits(FIRST_NOTIFICATION + channel);
        notification.signal();
        call(FIRST_ENDPOINT + channel, 1, [0, 1, 0, 0], 4, 0);
        made();
    }
}

/// Each slot of its capability space with each of the kernel's own methods: on what it has of itself, and on what it would like to
/// have, as other domains' threads and interrupts.
fn every_slot(made: &mut dyn FnMut()) {
    for slot in (0..SLOTS_TRIED).filter(|slot| !OWN_SLOTS.contains(slot)).chain(NOWHERE) {
        for method in 0..64 {
            lay_down([u64::from(u32::MAX), 0x0903_0000, 0, 254], 8, GIFTS.len());
            endpoint(slot).nb_send(MessageInfo::new(method, 0, GIFTS.len(), 8));
        }
        made();
    }
}
