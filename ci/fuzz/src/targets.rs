//! The targets, by name.

mod container;
mod exchange;
mod gpio;
mod i2c;
mod messages;
mod paper;
#[path = "../../../shared-ring/tests/ring/hostile_peer.rs"]
mod ring;
mod timer;
#[path = "../../../runner/tokens/tests/tokens/hostile_bytes.rs"]
mod tokens;
mod tokens_seeds;
mod warden;

/// Something that reads what a stranger wrote.
pub struct Target {
    /// What it is called.
    pub name: &'static str,
    /// The longest input that is of use, in bytes.
    pub longest: usize,
    /// Reads an input. Panics where something that must hold does not.
    pub drive: fn(&[u8]),
    /// Inputs to start from: one of each kind that is valid.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them: decoders, then the protected procedures of each domain that has some (`pp="true"` in `system.xml`).
pub const TARGETS: &[Target] = &[
    Target { name: "container", longest: 512, drive: container::drive, seeds: container::seeds },
    Target { name: "messages", longest: 256, drive: messages::drive, seeds: messages::seeds },
    Target { name: "tokens", longest: 1500, drive: tokens::drive, seeds: tokens_seeds::seeds },
    Target { name: "ring", longest: 256, drive: ring::drive, seeds: no_seeds },
    Target { name: "exchange", longest: 128, drive: exchange::drive, seeds: no_seeds },
    Target { name: "gpio", longest: 128, drive: gpio::drive, seeds: no_seeds },
    Target { name: "i2c", longest: 128, drive: i2c::drive, seeds: no_seeds },
    Target { name: "timer", longest: 128, drive: timer::drive, seeds: no_seeds },
    Target { name: "warden", longest: 128, drive: warden::drive, seeds: no_seeds },
];

/// The target of that name.
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Any script is a valid one.
fn no_seeds() -> Vec<Vec<u8>> {
    vec![Vec::new()]
}
