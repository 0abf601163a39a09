//! Starts QEMU: for a test, which gets console and monitor, or for a person, who gets the console.
//!
//! QEMU runs what we must not trust and may be too busy to listen (with `sleep=off` an idle machine spins), so it is always
//! ended by SIGKILL, which it cannot overhear, and also when this process dies without saying goodbye.

mod arguments;
mod firmware;
mod machine;
mod program;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::board::Board;
use crate::guest::GuestImage;
pub use machine::Machine;
pub use program::{OLDEST_QEMU, Qemu};

/// What QEMU boots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum System {
    /// An Atoll boot image (Microkit).
    Atoll {
        /// The board that it is for.
        board: Board,
        /// The image that the Microkit tool wrote.
        image: PathBuf,
    },
    /// A Raspberry Pi 4 that starts from its SD card, as far as QEMU has it: from the boot loader on. QEMU stands in for
    /// boot ROM, firmware and what they read of the card.
    Card {
        /// The card's image; nothing is written to it.
        image: PathBuf,
        /// The boot loader that is on the card.
        boot_loader: PathBuf,
        /// The device tree that is on the card.
        device_tree: PathBuf,
    },
    /// The Linux guest on its own, without a hypervisor.
    PlainGuest {
        /// Kernel and initramfs.
        guest: GuestImage,
        /// What is added to the kernel's command line.
        kernel_arguments: String,
    },
}

/// Who is at the other end of a virtio console port of the plain guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortPeer {
    /// This process: QEMU listens on a socket, and [`Machine::connect_port`] connects to it.
    Us,
    /// Someone who listens on this unix socket already, such as an Atoll node on this host.
    Listener(PathBuf),
}

/// A virtio console port of the plain guest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name in the guest's `/dev/virtio-ports`.
    pub name: String,
    /// Its other end.
    pub peer: PortPeer,
}

/// 8 ns an instruction: 125 million a second.
const DEFAULT_SHIFT: u8 = 3;

/// What the machine's time follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clock {
    Host,
    Steady,
    Deterministic,
}

/// How to start QEMU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launch {
    system: System,
    clock: Clock,
    /// An instruction takes 2 to the power of this, in nanoseconds.
    shift: u8,
    multi_core: bool,
    ports: Vec<Port>,
    extra: Vec<OsString>,
}

impl Launch {
    /// Atoll, from its boot image for `board`. QEMU has no machine like the Raspberry Pi 4 with 1, 4 or 8 GB; their images
    /// run on the one with 2 GB as far as that has what they use.
    #[must_use]
    pub fn atoll(board: Board, image: impl Into<PathBuf>) -> Self {
        Self::new(System::Atoll { board, image: image.into() })
    }

    /// A Raspberry Pi 4 with 2 GB that starts from an SD card's image. Its size must be a power of two.
    #[must_use]
    pub fn card(image: impl Into<PathBuf>, boot_loader: impl Into<PathBuf>, device_tree: impl Into<PathBuf>) -> Self {
        let (image, boot_loader, device_tree) = (image.into(), boot_loader.into(), device_tree.into());
        Self::new(System::Card { image, boot_loader, device_tree })
    }

    /// The Linux guest on its own.
    #[must_use]
    pub fn plain_guest(guest: &GuestImage) -> Self {
        Self::new(System::PlainGuest { guest: guest.clone(), kernel_arguments: String::new() })
    }

    fn new(system: System) -> Self {
        Self {
            system,
            clock: Clock::Host,
            shift: DEFAULT_SHIFT,
            multi_core: false,
            ports: Vec::new(),
            extra: Vec::new(),
        }
    }

    /// One virtual processor that executes a fixed number of instructions a virtual second, and a virtual second that never
    /// runs ahead of a real one: for a person. By the host's clock, a host that is busy with something else makes each budget
    /// run out early and each deadline pass.
    #[must_use]
    pub fn steady(mut self) -> Self {
        self.clock = Clock::Steady;
        self
    }

    /// As [`Launch::steady`], but idle time passes at once: for a test. As long as nobody types, two runs say exactly the
    /// same. An idle machine uses a whole host processor.
    #[must_use]
    pub fn deterministic(mut self) -> Self {
        self.clock = Clock::Deterministic;
        self
    }

    /// An instruction takes 2 to the power of `shift` nanoseconds, in place of 8. It is as if the processor had another clock: 4 ns are 250
    /// million instructions a second.
    #[must_use]
    pub fn instruction_shift(mut self, shift: u8) -> Self {
        self.shift = shift;
        self
    }

    /// As many cores as an image of the configurations `smp-…` has. Where time is that of executed instructions, QEMU runs one core after the
    /// other, and each core's time is what all of them execute: such a machine shows what happens and not how long it takes.
    #[must_use]
    pub fn multi_core(mut self) -> Self {
        self.multi_core = true;
        self
    }

    /// Stands still until its debugger lets it go ([`Machine::stop`]), so that a breakpoint is there before the first instruction.
    #[must_use]
    pub fn held(self) -> Self {
        self.extra_arguments(["-S"])
    }

    /// Adds a virtio console port. Atoll's image has its own; QEMU would add a device that nobody there knows.
    #[must_use]
    pub fn port(mut self, name: &str, peer: PortPeer) -> Self {
        self.ports.push(Port { name: name.to_owned(), peer });
        self
    }

    /// Adds arguments to QEMU's own.
    #[must_use]
    pub fn extra_arguments<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.extra.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Starts it for a program: console over pipes, monitor over a socket.
    ///
    /// # Errors
    /// [`Missing`](crate::Missing) without a usable QEMU; else QEMU did not start, with what it complained about.
    pub fn start(&self) -> Result<Machine> {
        Machine::start(&self.qemu()?, self)
    }

    /// A folder for this run, with the files that QEMU is given.
    fn run_folder(&self) -> Result<TempDir> {
        let folder = arguments::run_folder()?;
        if self.system.is_raspberry_pi() {
            firmware::write(folder.path())?;
        }
        Ok(folder)
    }

    fn qemu(&self) -> Result<Qemu> {
        let qemu = Qemu::find()?;
        match &self.system {
            System::Atoll { board, .. } => qemu.require_board(*board)?,
            System::Card { .. } => qemu.require_board(Board::Rpi4b2Gb)?,
            System::PlainGuest { .. } => {}
        }
        Ok(qemu)
    }

    /// Starts it for a person, whose terminal becomes the console until QEMU ends. Ctrl-A x ends it, Ctrl-A c changes to
    /// QEMU's monitor, Ctrl-A h shows the others.
    ///
    /// # Errors
    /// As [`Launch::start`].
    pub fn attach(&self) -> Result<ExitStatus> {
        let qemu = self.qemu()?;
        let folder = self.run_folder()?;
        Command::new(&qemu.path)
            .args(self.machine_arguments(folder.path()))
            .args(["-serial", "mon:stdio"])
            .status()
            .with_context(|| format!("cannot start {}", qemu.path.display()))
    }
}
