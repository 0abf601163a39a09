//! Edges from outside, at moments that are the same in each run.
//!
//! QEMU's `virt` machine has a power button on line 3 of its GPIO. The monitor can press it, but at a moment of the host's. So the
//! guest asks for it: its script sets Linux' host name, a breakpoint stops the machine at the first instruction of that system
//! call, the button is pressed while nothing moves, and the machine goes on. The moment is read from the counter, by one instruction
//! of Linux' own that the processor is sent to and back from. QEMU lets the button go a tenth of a second later, at a whole
//! millisecond of virtual time (`hw/gpio/gpio_key.c`), which is that of a tick.
//!
//! Where no processor runs, QEMU lets its virtual time jump to when the next of its timers expires, and it does so at most of the stops:
//! its main loop looks for idle processors (`icount_start_warp_timer`) before it sees that there was a stop, but not if it was just
//! between the two. So the machine is let go until the jump was made; at a breakpoint that is set still it executes nothing
//! meanwhile. All presses are therefore at such a moment: when the kernel's timer wakes the domain `tick`.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use qemu::{
    debugger::Debugger,
    guest::GuestImage,
    launcher::{Launch, Machine},
};

use super::super::MS;

/// The system call that nothing else in the guest makes.
const ASKING: &str = "__arm64_sys_sethostname";

/// Linux' function that reads the physical counter, and how much of it is searched for the instruction that does.
const READING: &str = "arch_timer_read_cntpct_el0";
const READING_BYTES: usize = 64;

/// `mrs x0, cntpct_el0` (ARM DDI 0487, C6.2 and D24.10).
const READ_COUNTER: u32 = 0xd53b_e020;

/// QEMU's counter runs at 62.5 MHz.
const COUNTER_UNIT_NS: u64 = 16;

/// Longer names are asked with than Linux has at its start: the system call's second argument, in what the kernel keeps of a caller's
/// registers (`struct pt_regs`).
const NAME_BYTES_AT: u64 = 8;
const NAME_AT_START: &str = "atoll";

/// The domain `tick` has a period of 975 us (system.xml) and comes up to some microseconds behind that. Linux does not run between then and
/// the millisecond's end, so a stop at such a time is one after the jump.
const TICK_COMES_NS: u64 = 975_000;

/// Stops at one place until there was a jump. Nearly always the first one is.
const MOST_STOPS: usize = 1000;

/// `GPIO_KEY_LATENCY`, counted from the whole millisecond before the press.
const HELD_MS: u64 = 100;

/// The guest alone, without a hypervisor: some seconds.
const BOOT_LIMIT: Duration = Duration::from_secs(240);
const COMMAND_LIMIT: Duration = Duration::from_secs(60);

/// How long QEMU may take to stop a machine, or to press the button of one that stands still.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// Places in the guest's kernel, which lies where it was linked to: it is given no seed to lie elsewhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    asking: u64,
    reading: u64,
}

/// The button of a machine that runs.
#[derive(Debug)]
pub(super) struct Button {
    debugger: Debugger,
    places: Places,
    /// When it was pressed, in nanoseconds of virtual time.
    presses: Vec<u64>,
}

impl Places {
    /// Asks the guest's kernel, in a machine of its own.
    pub(super) fn find(guest: &GuestImage) -> Result<Self> {
        let mut machine = Launch::plain_guest(guest).deterministic().start()?;
        machine.console.expect_guest_shell(BOOT_LIMIT)?;
        let command = format!("grep -E ' ({READING}|{ASKING})$' /proc/kallsyms");
        let symbols = machine.console.run_command(&command, COMMAND_LIMIT)?.text;
        let address = |name: &str| {
            let line = symbols.lines().find(|line| line.ends_with(&format!(" {name}")));
            let digits = line.and_then(|line| line.split_whitespace().next());
            let address =
                digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).filter(|address| *address != 0);
            address.with_context(|| format!("the guest's kernel does not tell where `{name}` is: {symbols}"))
        };
        Ok(Self { asking: address(ASKING)?, reading: address(READING)? })
    }
}

impl Button {
    /// That of a machine which is held; it is let go.
    pub(super) fn of(machine: &Machine, places: Places) -> Result<Self> {
        let mut debugger = machine.stop()?;
        debugger.set_breakpoint(places.asking)?;
        debugger.go()?;
        Ok(Self { debugger, places, presses: Vec::new() })
    }

    /// Presses it if the guest asks for it within that time of the host's.
    pub(super) fn press_if_asked(&mut self, machine: &mut Machine, wait: Duration) -> Result<()> {
        if !self.debugger.has_stopped(wait)? {
            return Ok(());
        }
        let now_ns = self.moment()?;
        if self.is_asked()? {
            machine.monitor.press_power_button()?;
            machine.monitor.wait_for_event("POWERDOWN", STOP_LIMIT)?;
            self.presses.push(now_ns);
        }
        // A machine that goes on at a breakpoint would stop there.
        self.debugger.remove_breakpoint(self.places.asking)?;
        self.debugger.step()?;
        self.debugger.set_breakpoint(self.places.asking)?;
        self.debugger.go()
    }

    /// Whether it was the script that stopped the machine.
    fn is_asked(&mut self) -> Result<bool> {
        let caller = self.debugger.registers()?.general(0).context("there is a register x0")?;
        let length = self.debugger.read_memory(caller + NAME_BYTES_AT, 8)?;
        Ok(length != (NAME_AT_START.len() as u64).to_le_bytes())
    }

    /// The time, after virtual time has jumped.
    fn moment(&mut self) -> Result<u64> {
        for _ in 0..MOST_STOPS {
            let now_ns = self.read_counter()? * COUNTER_UNIT_NS;
            if now_ns % MS >= TICK_COMES_NS {
                return Ok(now_ns);
            }
            self.debugger.go()?;
            ensure!(self.debugger.has_stopped(STOP_LIMIT)?, "a machine at a breakpoint does not stop");
        }
        bail!("virtual time did not jump at {MOST_STOPS} stops")
    }

    fn read_counter(&mut self) -> Result<u64> {
        let registers = self.debugger.registers()?;
        let stopped = registers.program_counter();
        ensure!(stopped == self.places.asking, "the machine stopped at {stopped:#x}");
        let function = self.debugger.read_memory(self.places.reading, READING_BYTES)?;
        let place = function.as_chunks::<4>().0.iter().position(|word| u32::from_le_bytes(*word) == READ_COUNTER);
        let place = place.with_context(|| format!("`{READING}` reads no counter: {function:x?}"))? as u64 * 4;
        self.debugger.jump(registers.clone(), self.places.reading + place)?;
        self.debugger.step()?;
        let after = self.debugger.registers()?;
        ensure!(after.program_counter() == self.places.reading + place + 4, "reading the counter was no single step");
        self.debugger.jump(registers, stopped)?;
        after.general(0).context("there is a register x0")
    }

    /// When there were edges, in nanoseconds of virtual time: one of each press, and one of each release of the button.
    pub(super) fn edges(&self) -> Vec<u64> {
        self.presses.iter().flat_map(|&press| [press, (press / MS + HELD_MS) * MS]).collect()
    }
}
