//! What a hostile guest and hostile neighbours do while others keep their deadlines.
//!
//! Each attack is a script for the guest's shell, from busybox, `emit` and the modules beside it, and nothing else: Linux has all
//! the rights that it has on a node anyway. So the same attack runs where a program types at the shell and where nobody may type
//! because two runs have to be the same (`cargo xtask bench --time`). They are for tests and measurements, and in no guest that
//! people boot.
//!
//! Who attacks is not trusted with anything, also not with stopping: [`Attack::stop`] kills the attack's processes from outside
//! and removes its containers.

use std::fmt;

use anyhow::{Context, Result};
use runner_container::{Manifest, Restart, RestartPolicy, embed};

/// The folder in the guest that an attack's files are put in.
pub const FOLDER: &str = "/attack";

/// Seconds of virtual time that the guest takes from `reboot` to its shell, about.
const REBOOT_SECONDS: u64 = 5;

/// Something that is done to a node on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Attack {
    /// Linux computes, in several processes, without an end.
    CpuHog,
    /// Linux takes all of its memory and gives it back, again and again.
    MemoryThrash,
    /// Linux' timers expire all the time, and something is written to its console in between.
    InterruptStorm,
    /// Linux fills the queues of its virtio ports and opens and closes them, as fast as it can.
    VirtioFlood,
    /// Linux writes what is no message to the ports that `emit` speaks over.
    Garbage,
    /// Linux uploads modules without an end: some that are none, some that are cut off, some that are run and killed.
    UploadStorm,
    /// Linux starts again, as soon as it has come up.
    RebootLoop,
    /// Two neighbours that never come back from their loop.
    NeighbourLoops,
    /// A neighbour that traps in its loop, and is started again each time.
    NeighbourTraps,
    /// A neighbour that calls other domains without a pause: `gpio`, `timer`, and its log.
    NeighbourFloods,
}

/// A file that an attack needs in [`FOLDER`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttackFile {
    /// Its name in the folder.
    pub name: &'static str,
    /// What is in it.
    pub content: Vec<u8>,
}

/// A guest's shell that is typed at: what [`Attack::start`] and the others need of it.
pub trait GuestShell {
    /// Puts a file into the guest, whose folder is there.
    ///
    /// # Errors
    /// It cannot be put there.
    fn put_file(&mut self, path: &str, content: &[u8]) -> Result<()>;

    /// Runs a line, which must succeed and end within a minute.
    ///
    /// # Errors
    /// It does not.
    fn run_line(&mut self, line: &str) -> Result<()>;

    /// Starts Linux again and waits for its shell.
    ///
    /// # Errors
    /// It does not come.
    fn reboot(&mut self) -> Result<()>;
}

impl Attack {
    /// Every one, Linux' first.
    pub const ALL: [Self; 10] = [
        Self::CpuHog,
        Self::MemoryThrash,
        Self::InterruptStorm,
        Self::VirtioFlood,
        Self::Garbage,
        Self::UploadStorm,
        Self::RebootLoop,
        Self::NeighbourLoops,
        Self::NeighbourTraps,
        Self::NeighbourFloods,
    ];

    /// As it is named on a command line and in tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CpuHog => "cpu-hog",
            Self::MemoryThrash => "memory-thrash",
            Self::InterruptStorm => "interrupt-storm",
            Self::VirtioFlood => "virtio-flood",
            Self::Garbage => "garbage",
            Self::UploadStorm => "upload-storm",
            Self::RebootLoop => "reboot-loop",
            Self::NeighbourLoops => "neighbour-loops",
            Self::NeighbourTraps => "neighbour-traps",
            Self::NeighbourFloods => "neighbour-floods",
        }
    }

    /// Cells that it takes at the most.
    #[must_use]
    pub const fn cells(self) -> usize {
        match self {
            Self::NeighbourLoops | Self::UploadStorm => 2,
            Self::NeighbourTraps | Self::NeighbourFloods => 1,
            _ => 0,
        }
    }

    /// Whether it is Linux that starts again, which forgets every process and every file.
    #[must_use]
    pub fn reboots(self) -> bool {
        self == Self::RebootLoop
    }

    /// What must be in [`FOLDER`] before it starts.
    ///
    /// # Errors
    /// One of its modules does not assemble, which is a fault in this file.
    pub fn files(self) -> Result<Vec<AttackFile>> {
        let script = AttackFile { name: self.name(), content: self.script().into() };
        let module = |name, module: Result<Vec<u8>>| Ok::<_, anyhow::Error>(AttackFile { name, content: module? });
        Ok(match self {
            Self::NeighbourLoops => vec![script, module("loops.wasm", loops())?],
            Self::NeighbourTraps => vec![script, module("traps.wasm", traps())?],
            Self::NeighbourFloods => vec![script, module("floods.wasm", floods())?],
            Self::UploadStorm => vec![script, module("loops.wasm", loops())?],
            _ => vec![script],
        })
    }

    /// The line of the guest's shell that starts it. It goes on behind the line's end.
    #[must_use]
    pub fn start_line(self) -> String {
        // A session of its own, so that all of its processes can be killed at once.
        format!("setsid sh {FOLDER}/{} > /dev/null 2>&1 &", self.name())
    }

    /// The line that ends it. It succeeds, also where there is nothing left to end.
    #[must_use]
    pub fn stop_line(self) -> String {
        let containers: &[&str] = match self {
            Self::UploadStorm => &["storm-1", "storm-2"],
            Self::NeighbourLoops => &["loops-1", "loops-2"],
            Self::NeighbourTraps => &["traps"],
            Self::NeighbourFloods => &["floods"],
            _ => &[],
        };
        let mut line = format!("for id in $(cat {FOLDER}/sessions); do kill -KILL -- -$id; done 2> /dev/null");
        line.push_str(&format!("; rm -f {FOLDER}/sessions /tmp/thrash"));
        for name in containers {
            line.push_str(&format!("; emit kill {name} > /dev/null 2>&1; emit rm {name} > /dev/null 2>&1"));
        }
        line + "; true"
    }

    /// Puts its files into the guest and starts it.
    ///
    /// # Errors
    /// The guest's shell does not do as it is told.
    pub fn start(self, shell: &mut dyn GuestShell) -> Result<()> {
        shell.run_line(&format!("mkdir -p {FOLDER}"))?;
        for file in self.files()? {
            shell.put_file(&format!("{FOLDER}/{}", file.name), &file.content)?;
        }
        shell.run_line(&self.start_line()).with_context(|| format!("starting {self}"))
    }

    /// Lets it go on for about so many seconds of virtual time.
    ///
    /// # Errors
    /// The guest's shell does not answer, or Linux does not come up again.
    pub fn go_on(self, shell: &mut dyn GuestShell, seconds: u64) -> Result<()> {
        if !self.reboots() {
            return shell.run_line(&format!("sleep {seconds}"));
        }
        (0..seconds.div_ceil(REBOOT_SECONDS)).try_for_each(|_| shell.reboot())
    }

    /// Ends it.
    ///
    /// # Errors
    /// The guest's shell does not answer.
    pub fn stop(self, shell: &mut dyn GuestShell) -> Result<()> {
        shell.run_line(&self.stop_line()).with_context(|| format!("stopping {self}"))
    }

    fn script(self) -> String {
        // A process whose id is its session's.
        format!("echo $$ >> {FOLDER}/sessions\ncd {FOLDER}\n{}\nwait\n", self.commands())
    }

    fn commands(self) -> &'static str {
        match self {
            Self::CpuHog => "for n in 1 2 3 4; do while :; do :; done & done",
            // Linux has 256 MiB. `tail` keeps what it reads in memory of its own, `dd` writes to a file that lies in memory.
            Self::MemoryThrash => {
                "while :; do dd if=/dev/zero of=/tmp/thrash bs=1M count=64; cat /tmp/thrash; rm /tmp/thrash; done &\n\
                 while :; do head -c 48000000 /dev/zero | tail -c 48000000 | wc -c; done &"
            }
            // `read` waits in `poll` and makes no process, so that there is an interrupt of the timer for nearly each of them.
            // The console, whose every character is `vmm`'s work, makes none by sending. What it sends is text in whole
            // pieces, so that whoever types there still finds an answer between them.
            Self::InterruptStorm => {
                "mkfifo pipe\n\
                 for n in 1 2 3 4 5 6 7 8; do while :; do read -t 0.001 nothing; done <> pipe & done\n\
                 while :; do printf ................ > /dev/ttyAMA0; read -t 0.001 nothing; done <> pipe &"
            }
            Self::VirtioFlood => {
                "cat /dev/zero > /dev/virtio-ports/emit.2 &\n\
                 while :; do : > /dev/virtio-ports/emit.3; done &\n\
                 while :; do head -c 65536 /dev/zero > /dev/virtio-ports/emit.3; done &"
            }
            Self::Garbage => {
                "cat /dev/urandom > /dev/virtio-ports/emit.3 &\n\
                 while :; do head -c 20000 /dev/urandom > /dev/virtio-ports/emit.2; done &"
            }
            // The first is no module although it begins as one, the second is cut off, the third runs until it is killed.
            Self::UploadStorm => {
                "{ printf '\\0asm\\1\\0\\0\\0'; head -c 500000 /dev/urandom; } > /tmp/none.wasm\n\
                 while :; do\n\
                   emit deploy /tmp/none.wasm --name storm-1\n\
                   emit deploy /tmp/none.wasm --name storm-1 & upload=$!\n\
                   usleep 150000\n\
                   kill -KILL $upload\n\
                 done &\n\
                 while :; do emit deploy loops.wasm --name storm-2; emit kill storm-2; emit rm storm-2; done &"
            }
            // Whoever drives the guest has it reboot: a script does not outlive what it does.
            Self::RebootLoop => ":",
            Self::NeighbourLoops => "for n in 1 2; do emit deploy loops.wasm --name loops-$n; done",
            Self::NeighbourTraps => "emit deploy traps.wasm",
            Self::NeighbourFloods => "emit deploy floods.wasm",
        }
    }
}

impl fmt::Display for Attack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

fn loops() -> Result<Vec<u8>> {
    reactor(Manifest::named("loops"), "", "", "(loop $for_ever (br $for_ever)) (unreachable)")
}

fn traps() -> Result<Vec<u8>> {
    // As often as the board allows: after a tenth of a second, and again until long after everybody has gone home.
    let restart = Restart {
        policy: RestartPolicy::Always,
        first_back_off_ns: 100_000_000,
        longest_back_off_ns: 100_000_000,
        attempts: 1_000_000,
    };
    reactor(Manifest { restart, ..Manifest::named("traps") }, "", "", "(unreachable)")
}

fn floods() -> Result<Vec<u8>> {
    let imports = r#"
        (import "atoll:node/gpio@0.1.0" "open-output" (func $open (param i32 i32 i32)))
        (import "atoll:node/gpio@0.1.0" "[method]output.toggle" (func $toggle (param i32) (result i32)))
        (import "atoll:node/timer@0.1.0" "arm" (func $arm (param i32 i64 i64) (result i32)))
        (import "atoll:node/log@0.1.0" "log" (func $log (param i32 i32 i32)))
        (memory (export "memory") 1)
        (data (i32.const 16) "RELAY")
        (global $line (mut i32) (i32.const 0))"#;
    let start = "(call $open (i32.const 16) (i32.const 5) (i32.const 0)) (global.set $line (i32.load (i32.const 4)))";
    let body = "(drop (call $toggle (global.get $line)))
        (drop (call $arm (i32.const 1) (i64.const 1000000000) (i64.const 1000000000)))
        (call $log (i32.const 2) (i32.const 16) (i32.const 5))
        (i32.const 0)";
    let grants = vec!["gpio:RELAY:out".to_owned(), "timer:10ms".to_owned()];
    reactor(Manifest { grants, ..Manifest::named("floods") }, imports, start, body)
}

fn reactor(manifest: Manifest, imports: &str, start: &str, body: &str) -> Result<Vec<u8>> {
    let text = format!(
        r#"(module
            {imports}
            (func (export "on-start") (result i32) {start} (i32.const 0))
            (func (export "on-loop") (result i32) {body})
            (func (export "on-stop")))"#
    );
    let wasm = wat::parse_str(text).context("an attack's module is valid text")?;
    embed(&wasm, &manifest, &[]).context("an attack's manifest is valid")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// The most that the guest's shell takes in a line, less what a line is wrapped in.
    const TYPED_CHARACTERS: usize = 900;

    #[test]
    fn each_attack_can_be_typed() {
        let names: BTreeSet<_> = Attack::ALL.map(Attack::name).into();
        assert_eq!(names.len(), Attack::ALL.len());
        for attack in Attack::ALL {
            let files = attack.files().expect("its files can be made");
            assert!(files.iter().any(|file| file.name == attack.name()), "{attack}");
            for line in [attack.start_line(), attack.stop_line()] {
                assert!(line.len() < TYPED_CHARACTERS && !line.contains('\n'), "{line}");
            }
        }
    }

    #[test]
    fn each_script_is_one_for_a_shell() {
        for attack in Attack::ALL {
            let status = std::process::Command::new("sh").args(["-n", "-c", &attack.script()]).status();
            assert!(status.expect("a POSIX shell").success(), "{attack}");
        }
    }

    #[test]
    fn a_neighbour_is_what_its_name_says() {
        for (attack, file) in [(Attack::NeighbourLoops, 1), (Attack::NeighbourTraps, 1), (Attack::NeighbourFloods, 1)] {
            let files = attack.files().expect("its files can be made");
            assert!(files[file].content.starts_with(b"\0asm") && attack.cells() > 0, "{attack}");
        }
    }

    #[derive(Default)]
    struct Typed(Vec<String>);

    impl GuestShell for Typed {
        fn put_file(&mut self, path: &str, _: &[u8]) -> Result<()> {
            self.0.push(path.to_owned());
            Ok(())
        }

        fn run_line(&mut self, line: &str) -> Result<()> {
            self.0.push(line.to_owned());
            Ok(())
        }

        fn reboot(&mut self) -> Result<()> {
            self.0.push("reboot".to_owned());
            Ok(())
        }
    }

    #[test]
    fn an_attack_is_started_kept_up_and_stopped() {
        let mut typed = Typed::default();
        Attack::CpuHog.start(&mut typed).expect("started");
        Attack::CpuHog.go_on(&mut typed, 7).expect("going on");
        Attack::RebootLoop.go_on(&mut typed, 7).expect("going on");
        let expected =
            ["mkdir -p /attack", "/attack/cpu-hog", &Attack::CpuHog.start_line(), "sleep 7", "reboot", "reboot"];
        assert_eq!(typed.0, expected);
    }
}
