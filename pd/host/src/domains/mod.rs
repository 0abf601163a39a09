//! The shells: each domain's logic on the host substrate.
//!
//! A process starts here with a socket to the launcher as its standard input, takes over what it is handed, and then does
//! what the same domain does on seL4. Every shell ends only by a fault or by the launcher's ending it.

mod admission;
mod bridge;
mod cell;
mod exchange;
mod gpio;
mod grid;
#[cfg(feature = "hostile-domains")]
mod hostile;
mod i2c;
mod simulated_bank;
mod tick;
mod timer;
mod warden;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use pd_system_description::Role;
use runner_interfaces::boot_report::{Finding, Reporter};
use runner_interfaces::kernel::{Domain, required_region};
use rustix::process::{
    DumpableBehavior, Pid, Signal, getppid, set_dumpable_behavior, set_parent_process_death_signal, setsid,
};

use crate::substrate::confinement;
use crate::substrate::control::{ControlSocket, ToDomain, ToLauncher};
use crate::substrate::event_loop::{deliver, wait};
use crate::substrate::handover::Handover;
use crate::substrate::kernel::{HostKernel, HostWiring, take_over};
use crate::substrate::priority;

/// What a shell works with.
struct Shell {
    handover: Handover,
    kernel: HostKernel,
    wiring: HostWiring,
    control: ControlSocket,
}

/// Runs the domain `name` in this process, which the launcher with process number `launcher` has started for it. Returns
/// only with an error.
///
/// # Errors
/// Why the domain cannot run; the launcher has been told.
pub fn run(name: &str, launcher: u32) -> Result<()> {
    confine(launcher)?;
    let control = ControlSocket::from_descriptor(take_standard_input()?);
    let result = Shell::take_over(name, &control).and_then(|(handover, kernel, wiring)| {
        Shell {
            handover,
            kernel,
            wiring,
            control: ControlSocket::from_descriptor(control.as_fd().try_clone_to_owned()?),
        }
        .run()
    });
    if let Err(error) = &result {
        // The launcher may be gone; the log has it in any case.
        let _ = control.send(&ToLauncher::Failed(format!("{error:#}")));
    }
    result
}

/// Ends with the launcher, shows its memory to nobody, gains no rights, and dies of a panic as of any other fault.
fn confine(launcher: u32) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let parent = getppid().map(Pid::as_raw_nonzero).map(|number| number.get().cast_unsigned());
    if parent != Some(launcher) {
        bail!("this process belongs to a launcher that is gone; start a node with `atoll-host up`");
    }
    // A session of its own: a Ctrl-C at the terminal is for the launcher, which ends the domains itself, and Linux divides
    // the processor between sessions (sched(7), autogroup). Together in one, a container that loops, or a compiler beside
    // the node, would keep its neighbour waiting for many periods.
    setsid()?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    rustix::thread::set_no_new_privs(true)?;
    die_of_panics();
    Ok(())
}

/// A panic in any thread is told in the log and ends the process by a signal, as a fault does.
fn die_of_panics() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
}

/// The launcher's socket; what reads standard input from now on finds nothing there.
fn take_standard_input() -> io::Result<OwnedFd> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    let nothing = std::fs::File::open("/dev/null")?;
    rustix::stdio::dup2_stdin(&nothing)?;
    Ok(socket)
}

impl Shell {
    fn take_over(name: &str, control: &ControlSocket) -> Result<(Handover, HostKernel, HostWiring)> {
        let (message, descriptors) = control.receive().context("the launcher handed nothing over")?;
        let ToDomain::Handover(handover) = message else { bail!("the launcher began with {message:?}") };
        if handover.domain != name {
            bail!("this is `{name}`, and the launcher handed over `{}`", handover.domain);
        }
        let (kernel, wiring) = take_over(&handover, descriptors).context("cannot map what was handed over")?;
        control.send(&ToLauncher::Mapped)?;
        match control.receive()? {
            (ToDomain::Go, _) => Ok((*handover, kernel, wiring)),
            (other, _) => bail!("the launcher said {other:?} where it should say go"),
        }
    }

    fn run(self) -> Result<()> {
        match Role::of(&self.handover.domain).context("this is the name of no role")? {
            Role::Tick => tick::run(&self),
            Role::Grid => grid::run(self),
            Role::Timer => timer::run(self),
            Role::Gpio => gpio::run(self),
            Role::I2c => i2c::run(self),
            Role::Exchange => exchange::run(self),
            Role::Warden => warden::run(self),
            #[cfg(feature = "hostile-domains")]
            Role::Cell(_) | Role::Admission | Role::Vmm if self.is_marked(hostile::MARK) => hostile::run(self),
            #[cfg(feature = "hostile-domains")]
            Role::Vmm if self.is_marked(hostile::witness::MARK) => hostile::witness::run(self),
            Role::Cell(_) => cell::run(self),
            Role::Admission => admission::run(self),
            Role::Vmm => bridge::run(self),
            Role::Class(_) => bail!("a class is a scheduling context, which Linux has none of"),
            Role::Linux => bail!("Linux is this machine; it has no process of its own"),
        }
    }

    /// Whether a test wants this domain to be another than it is: one that was taken over.
    #[cfg(feature = "hostile-domains")]
    fn is_marked(&self, mark: &str) -> bool {
        self.run_directory().join(&self.handover.domain).with_extension(mark).exists()
    }

    fn run_directory(&self) -> PathBuf {
        Path::new(&self.handover.run_directory).to_owned()
    }

    /// The last step of the start: what follows is at the domain's own priority and confined, and the launcher knows.
    fn started(&self) -> Result<()> {
        if self.handover.real_time
            && let Err(problem) = priority::apply(self.handover.priority)
        {
            eprintln!("`{}` runs at ordinary priority: {problem}", self.handover.domain);
        }
        if self.is_confined() {
            confinement::apply().context("cannot confine the process to what it needs of Linux")?;
        }
        Ok(self.control.send(&ToLauncher::Started)?)
    }

    /// Whether the domain needs nothing of Linux any more but what [`confinement`] lists.
    fn is_confined(&self) -> bool {
        let role = Role::of(&self.handover.domain);
        self.handover.confined
            && matches!(
                role,
                Some(
                    Role::Tick
                        | Role::Grid
                        | Role::Timer
                        | Role::I2c
                        | Role::Exchange
                        | Role::Warden
                        | Role::Cell(_)
                        | Role::Admission
                )
            )
    }

    /// Says of the domain what it found of itself, where the launcher reads it.
    fn report(&self, finding: &Finding) -> Result<()> {
        Reporter::new(required_region(&self.wiring, "region_status")?)?.found(finding);
        Ok(())
    }

    /// Starts `domain` and serves it until the process ends.
    fn serve<D: Domain<HostKernel>>(mut self, mut domain: D) -> Result<()> {
        domain.start(&mut self.kernel);
        let finding = domain.self_test(&mut self.kernel);
        self.report(&finding)?;
        self.started()?;
        loop {
            let events = wait(&self.kernel, &[], None)?;
            deliver(&mut domain, &mut self.kernel, &events);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;

    /// Tells the test below that it is the process which is to panic.
    const PANICS: &str = "ATOLL_TEST_PANICS";

    #[test]
    fn a_panic_of_a_confined_process_is_told_and_ends_it() {
        if std::env::var_os(PANICS).is_some() {
            die_of_panics();
            confinement::apply().expect("Linux has seccomp");
            panic!("this is what went wrong");
        }
        let test = "domains::tests::a_panic_of_a_confined_process_is_told_and_ends_it";
        let program = std::env::current_exe().expect("this test");
        let output = Command::new(program)
            .args(["--exact", test, "--nocapture"])
            .env(PANICS, "1")
            .env("RUST_BACKTRACE", "1")
            .output()
            .expect("runs");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(told.contains("this is what went wrong"), "{told}");
        assert_eq!(output.status.signal(), Some(Signal::ABORT.as_raw()), "{told}");
    }
}
