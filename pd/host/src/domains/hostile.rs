//! A cell or a bridge that was taken over: writes whatever it can, calls whatever it likes. For tests only.
//!
//! Stands in for a container that broke out of its engine, and for a VMM that serves its guest. It has what that domain's
//! process has and uses all of it, for ever; what the tests look at is everybody else.

use std::thread;
use std::time::Duration;

use anyhow::Result;
use runner_interfaces::kernel::{Channel, Kernel, Message, Wiring};
use shared_ring::SharedMemory;

use super::Shell;
use crate::substrate::mapping::HostMemory;

/// A cell or the bridge becomes hostile when a file with this extension lies beside its log at its start.
pub(super) const MARK: &str = "hostile";

/// Rounds without a pause: floods its peers, and leaves the machine's other users some of it.
const BURST: u32 = 50;

/// See [`BURST`].
const PAUSE: Duration = Duration::from_micros(500);

/// Marsaglia's xorshift: the same sequence at every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Small as often as large: most of what is misread is near 0 or near the end.
    fn word(&mut self) -> u64 {
        match self.below(4) {
            0 => self.below(16),
            1 => u64::MAX - self.below(16),
            2 => u64::from(u32::MAX) - self.below(16),
            _ => self.next(),
        }
    }
}

/// Every region that a cell or the bridge may write, as they call them.
const WRITABLE: [&str; 5] =
    ["region_status", "region_output", "region_to_exchange", "region_link_out", "region_link_in_head"];

/// Everybody whom a cell or the bridge has a channel to, as they call them.
const PEERS: [&str; 6] =
    ["channel_gpio", "channel_i2c", "channel_timer", "channel_exchange", "channel_warden", "channel_admission"];

pub(super) fn run(mut shell: Shell) -> Result<()> {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let writable: Vec<HostMemory> = WRITABLE.iter().filter_map(|symbol| shell.wiring.region(symbol)).collect();
    let peers: Vec<Channel> = PEERS.iter().filter_map(|symbol| shell.wiring.channel(symbol)).collect();
    shell.started()?;
    loop {
        for _ in 0..BURST {
            for memory in &writable {
                scribble(memory, &mut random);
            }
            for &peer in &peers {
                shell.kernel.notify(peer);
                let words = [random.word(), random.word(), random.word(), random.word()];
                // Where there is no call to make, the kernel says so at once.
                shell.kernel.call(peer, Message { label: random.below(12), words });
            }
        }
        thread::sleep(PAUSE);
    }
}

/// Overwrites a word: one of the first (sequence numbers, epochs, indices), or any.
fn scribble(memory: &HostMemory, random: &mut Random) {
    let words = memory.size_bytes() as u64 / 4;
    let among = if random.below(2) == 0 { words } else { words.min(72) };
    let offset = usize::try_from(random.below(among) * 4).unwrap_or(0);
    let value = u32::try_from(random.word() & u64::from(u32::MAX)).unwrap_or(0);
    // In range by construction.
    let _ = memory.store_u32(offset, value);
}
