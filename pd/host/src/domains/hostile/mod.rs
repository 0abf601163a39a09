//! A cell, an `admission` or a bridge that was taken over: writes whatever it can, calls whatever it likes. For tests only.
//!
//! Stands in for a container that broke out of its engine, for an `admission` that a client broke, and for a VMM that serves its
//! guest. It has what that domain's process has and uses all of it: first each call that can be told by its values, one after
//! the other, then at random for ever. What the tests look at is everybody else: the [`bus`] and the bank of lines, which
//! count what reaches them, and the rights in force, which a [`witness`] reads.

pub(super) mod bus;
pub(super) mod witness;

use std::thread;
use std::time::Duration;

use anyhow::Result;
use runner_interfaces::MAX_CELLS;
use runner_interfaces::cell::{CellControl, CellStatus};
use runner_interfaces::grants::{CellGrants, LineRates, grant_offset_bytes};
use runner_interfaces::kernel::{Channel, Kernel, Message, Wiring};
use runner_interfaces::plan::LoadRequest;
use runner_interfaces::warden::Procedure;
use shared_ring::{SequencedCell, SharedMemory, SharedValues};

use super::Shell;
use crate::substrate::kernel::HostWiring;
use crate::substrate::mapping::HostMemory;

/// A cell, `admission` or the bridge becomes hostile when a file with this extension lies beside its log at its start.
pub(super) const MARK: &str = "hostile";

/// Rounds without a pause: floods its peers, and leaves the machine's other users some of it.
const BURST: u32 = 50;

/// See [`BURST`].
const PAUSE: Duration = Duration::from_micros(500);

/// Bursts of a hostile `admission` until it leaves those alone for a while to whom it gave all that it could: what is loaded is
/// mostly killed again by the next burst, and could do little with its rights.
const RAGE: u32 = 40;

/// How long it leaves them alone at first. Each time it is longer by as much: on a slow machine the first is too short for nine
/// processes to make all their calls.
const PATIENCE: Duration = Duration::from_secs(2);

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
        match self.below(5) {
            0 => self.below(16),
            1 => u64::MAX - self.below(16),
            2 => u64::from(u32::MAX) - self.below(16),
            3 => BOUNDARIES[usize::try_from(self.below(BOUNDARIES.len() as u64)).unwrap_or(0)],
            _ => self.next(),
        }
    }
}

/// Where something ends for somebody: numbers of cells, timers, lines, addresses, ends, slots; lengths; and the widths of words.
const BOUNDARIES: [u64; 24] =
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 15, 16, 17, 31, 32, 63, 64, 0x48, 0x50, 127, 128, 256, 1 << 32, 1 << 63, u64::MAX];

/// Every procedure of every peer (13 at the most, numbered from 1), what lies beside them, and labels that would become one if
/// their upper half were lost.
const LABELS: [u64; 19] =
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 1 << 32 | 1, 1 << 32 | 3, u32::MAX as u64, u64::MAX];

/// How many kinds of calls a cell makes until it says again how its load is getting on.
const CALLS_A_LIE: usize = 64;

/// What the other words are while one takes each value.
const REST: [u64; 3] = [0, 1, u64::MAX];

/// Each call of `label` that is tried: one word with each boundary beside others that are alike, and the first two with each pair.
fn calls_of(label: u64) -> impl Iterator<Item = Message> {
    let single = REST.into_iter().flat_map(|rest| {
        (0..4).flat_map(move |place| {
            BOUNDARIES.into_iter().map(move |value| {
                let mut words = [rest; 4];
                words[place] = value;
                words
            })
        })
    });
    let pairs =
        BOUNDARIES.into_iter().flat_map(|first| BOUNDARIES.into_iter().map(move |second| [first, second, 0, 0]));
    single.chain(pairs).map(move |words| Message { label, words })
}

/// Every region that one of the three may write, as it calls them. Those of `admission` for each cell come beside these.
const WRITABLE: [&str; 6] = [
    "region_status",
    "region_output",
    "region_to_exchange",
    "region_link_out",
    "region_link_in_head",
    "region_requests",
];

/// Everybody whom one of the three has a channel to, as it calls them, beside the cells.
const PEERS: [&str; 7] = [
    "channel_gpio",
    "channel_i2c",
    "channel_timer",
    "channel_exchange",
    "channel_warden",
    "channel_admission",
    "channel_vmm",
];

/// What it has.
struct Hostile {
    shell: Shell,
    random: Random,
    writable: Vec<HostMemory>,
    peers: Vec<Channel>,
    /// `admission`'s: what it asks for, and of whom.
    requests: Option<(HostMemory, Channel)>,
    load: Option<Load>,
}

/// A cell's: what it is told to load, and where it says what came of it.
struct Load {
    control: SequencedCell<HostMemory, CellControl>,
    status: SequencedCell<HostMemory, CellStatus>,
    /// What it says of everything else: whatever lay there.
    rest: CellStatus,
}

pub(super) fn run(shell: Shell) -> Result<()> {
    let wiring = &shell.wiring;
    let of_cells = |parts: &[&str]| -> Vec<String> {
        (0..MAX_CELLS).flat_map(|cell| parts.iter().map(move |part| part.replace('N', &cell.to_string()))).collect()
    };
    let regions = WRITABLE.map(str::to_owned).into_iter();
    let regions = regions.chain(of_cells(&["region_cellN_module", "region_cellN_output_head"]));
    let channels = PEERS.map(str::to_owned).into_iter().chain(of_cells(&["channel_cellN"]));
    let mut hostile = Hostile {
        random: Random(0x9e37_79b9_7f4a_7c15),
        writable: regions.filter_map(|symbol| wiring.region(&symbol)).collect(),
        peers: channels.filter_map(|symbol| wiring.channel(&symbol)).collect(),
        requests: requests(wiring),
        load: load(wiring),
        shell,
    };
    hostile.shell.started()?;
    hostile.do_everything();
    for burst in 1_u32.. {
        for _ in 0..BURST {
            hostile.do_anything();
        }
        let is_patient = hostile.requests.is_some() && burst.is_multiple_of(RAGE);
        thread::sleep(if is_patient { PATIENCE * (burst / RAGE) } else { PAUSE });
    }
    Ok(())
}

fn requests(wiring: &HostWiring) -> Option<(HostMemory, Channel)> {
    Some((wiring.region("region_requests")?, wiring.channel("channel_warden")?))
}

fn load(wiring: &HostWiring) -> Option<Load> {
    let status = wiring.region("region_status")?;
    Some(Load {
        control: SequencedCell::new(wiring.region("region_control")?, 0).ok()?,
        rest: status.read_value(0).ok()?,
        status: SequencedCell::new(status, 0).ok()?,
    })
}

impl Hostile {
    /// Each call to each peer, and each boundary in each of the first words of each region.
    fn do_everything(&mut self) {
        let mut calls = 0_u64;
        // One peer after the other with each call, so that none waits long for its turn where this is a short life.
        for (index, message) in LABELS.into_iter().flat_map(calls_of).enumerate() {
            if index.is_multiple_of(CALLS_A_LIE) {
                self.lie();
            }
            for &peer in &self.peers {
                // Where there is no call to make, the kernel says so at once.
                self.shell.kernel.call(peer, message);
                calls += 1;
            }
        }
        for memory in &self.writable {
            for (place, value) in (0..72).flat_map(|place| BOUNDARIES.into_iter().map(move |value| (place * 4, value)))
            {
                // Where the region is shorter, there is nothing to write.
                let _ = memory.store_u32(place, low(value));
                for &peer in &self.peers {
                    self.shell.kernel.notify(peer);
                }
            }
        }
        // To its log. The tests wait for it.
        eprintln!("hostile: made all of {calls} calls, and goes on at random");
    }

    /// As a cell, of its own load and whole, so that it is read however short its life is: a state that there is not.
    fn lie(&mut self) {
        let Some(Load { control, status, rest }) = &mut self.load else { return };
        let Some(CellControl { generation, .. }) = control.try_read() else { return };
        let nothing = u32::MAX - low(self.random.below(16));
        status.write(&CellStatus { generation, state: nothing, reason: nothing, world: nothing, ..*rest });
        for &peer in &self.peers {
            self.shell.kernel.notify(peer);
        }
    }

    fn do_anything(&mut self) {
        for memory in &self.writable {
            scribble(memory, &mut self.random);
        }
        for &peer in &self.peers {
            self.shell.kernel.notify(peer);
            let random = &mut self.random;
            // Half of them could be anybody's: it uses what it was given, too.
            let words = match random.below(2) {
                0 => [random.below(8), random.below(2), 0, 0],
                _ => [random.word(), random.word(), random.word(), random.word()],
            };
            self.shell.kernel.call(peer, Message { label: self.random.below(14), words });
        }
        self.ask_for_all();
    }

    /// As `admission` would ask for a container's rights, for all that there are, and for a load with them. Now and then: a load
    /// starts a process, and what is loaded needs some time to use what it has.
    fn ask_for_all(&mut self) {
        let Some((requests, warden)) = &self.requests else { return };
        let cell = self.random.below(MAX_CELLS as u64);
        let Some(offset) = usize::try_from(cell).ok().and_then(grant_offset_bytes) else { return };
        let all = CellGrants {
            output_lines: u64::MAX,
            input_lines: u64::MAX,
            edge_lines: u64::MAX,
            active_low_lines: self.random.next(),
            minimum_period_ns: 0,
            i2c_addresses: [u64::MAX; 2],
            timers: u32::MAX,
            generation: u32::MAX,
        };
        if self.random.below(4) != 0 {
            // In range by construction. Else it is what was scribbled there.
            let rates = LineRates::all(u32::MAX);
            let _ = requests.write_value(offset, &LoadRequest { grants: all, rates, ..LoadRequest::default() });
        }
        let load = Message { label: u64::from(Procedure::Load.to_wire()), words: [cell, 64, 64, 1] };
        self.shell.kernel.call(*warden, load);
    }
}

/// The lower half of a word.
fn low(value: u64) -> u32 {
    u32::try_from(value & u64::from(u32::MAX)).unwrap_or(0)
}

/// Overwrites a word: one of the first (sequence numbers, epochs, indices), or any.
fn scribble(memory: &HostMemory, random: &mut Random) {
    let words = memory.size_bytes() as u64 / 4;
    let among = if random.below(2) == 0 { words } else { words.min(72) };
    let offset = usize::try_from(random.below(among) * 4).unwrap_or(0);
    // In range by construction.
    let _ = memory.store_u32(offset, low(random.word()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use runner_interfaces::{exchange, gpio, i2c, timer, warden};

    #[test]
    fn every_procedure_of_every_peer_is_called() {
        let known = |number: u32| {
            gpio::Procedure::from_wire(number).is_some()
                || timer::Procedure::from_wire(number).is_some()
                || i2c::Procedure::from_wire(number).is_some()
                || exchange::Procedure::from_wire(number).is_some()
                || warden::Procedure::from_wire(number).is_some()
        };
        for number in (0..100_000).filter(|&number| known(number)) {
            assert!(LABELS.contains(&u64::from(number)), "{number}");
        }
    }

    #[test]
    fn each_word_takes_each_value() {
        let calls: Vec<Message> = calls_of(5).collect();
        assert!(calls.iter().all(|call| call.label == 5));
        for place in 0..4 {
            for value in BOUNDARIES {
                assert!(calls.iter().any(|call| call.words[place] == value), "{value} as word {place}");
            }
        }
    }
}
