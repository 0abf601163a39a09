//! `cargo xtask demo`: the main job once, from a shell, with every answer checked.
//!
//! The same lines are typed on both substrates; each says what it must print and how it must end, so the demo is a test
//! that a person can read.

use anyhow::{Result, bail};

use crate::{
    host,
    process::step,
    shell::{HostShell, Shell},
};

/// One line of the demo.
struct Line {
    /// Why it is typed.
    why: &'static str,
    /// What is typed.
    command: &'static str,
    /// What its output must contain.
    shows: &'static [&'static str],
    /// How it must end.
    code: i32,
}

/// What a newcomer sees first. Exit code 7 is `emit`'s "the node refused the container" (guest-linux-agent/src/exit.rs).
const SCRIPT: &[Line] = &[
    Line { why: "What is there?", command: "emit info", shows: &["cells", "LED"], code: 0 },
    Line {
        why: "A WASI command with arguments, attached: its output and exit code are ours.",
        command: "emit hello.wasm from Atoll",
        shows: &["from", "Atoll"],
        code: 0,
    },
    Line {
        why: "A periodic blinker, granted one line and a timer.",
        command: "emit deploy blinker.wasm --grant gpio:LED:out --grant timer:10ms",
        shows: &["blinker"],
        code: 0,
    },
    Line {
        why: "One that wants a line it was not granted: the domain that owns the line says no.",
        command: "emit deploy greedy.wasm",
        shows: &["not granted"],
        code: 7,
    },
    Line {
        why: "It cannot be granted that line either: the board's policy gives it to nobody.",
        command: "emit deploy greedy.wasm --grant gpio:VALVE:out",
        shows: &["VALVE"],
        code: 7,
    },
    Line {
        why: "Let it blink a while; then what runs?",
        command: "sleep 2; emit ps",
        shows: &["blinker", "reactor"],
        code: 0,
    },
    Line { why: "What did it say?", command: "emit logs blinker", shows: &["info"], code: 0 },
    Line { why: "What did the lines see?", command: "emit info", shows: &["LED"], code: 0 },
    Line {
        why: "Stop it and take it away.",
        command: "emit stop blinker && emit rm blinker",
        shows: &["finalised"],
        code: 0,
    },
    Line { why: "Nothing is left.", command: "emit ps", shows: &["NAME"], code: 0 },
];

/// On processes of this machine.
pub(crate) fn on_host() -> Result<()> {
    step("building the node and emit");
    let programs = host::build()?;
    step("starting the system that system.xml describes, as processes (this is not seL4)");
    let node = host::Node::start(&programs)?;
    let mut shell = HostShell {
        programs,
        samples: crate::process::root().join("examples/prebuilt"),
        run_directory: node.run_directory().to_path_buf(),
    };
    play(&mut shell)?;
    step("stopping everything");
    node.stop()?;
    println!("\nThe demo is over, and everything was as it should be. `cargo xtask up` leaves a node running for you.");
    Ok(())
}

/// On seL4 in QEMU, in the guest's shell.
pub(crate) fn on_sel4() -> Result<()> {
    let mut guest = crate::boards::GuestShell::boot()?;
    play(&mut guest)?;
    println!("\nThe demo is over, and everything was as it should be. `cargo xtask qemu` gives you the guest's shell.");
    Ok(())
}

fn play(shell: &mut dyn Shell) -> Result<()> {
    for line in SCRIPT {
        println!("\n# {}\n$ {}", line.why, line.command);
        let outcome = shell.run(line.command)?;
        println!("{}", outcome.output.trim_end());
        if outcome.code != line.code {
            bail!("`{}` ended with {}, expected {}", line.command, outcome.code, line.code);
        }
        if let Some(missing) = line.shows.iter().find(|text| !outcome.output.contains(**text)) {
            bail!("`{}` did not show `{missing}`", line.command);
        }
    }
    Ok(())
}
