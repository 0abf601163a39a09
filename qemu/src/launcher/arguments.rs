//! QEMU's command line. Each value is one that was seen to boot.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use pd_system_description::CORES;
use tempfile::TempDir;

use super::{Clock, Launch, PortPeer, System, firmware};

/// Where Microkit's loader for `qemu_virt_aarch64` is linked to run.
const VIRT_LOAD_ADDRESS: &str = "0x70000000";

/// What the board `qemu_virt_aarch64` of the Microkit SDK has, and the only size of QEMU's `raspi4b`.
const ATOLL_MEMORY: &str = "2G";

/// As the board's GIC-400 has them; QEMU's has not, unless asked. seL4 uses the board's interrupts as non-secure ones, which
/// are enabled by another bit where there are no others.
const RASPBERRY_PI_GIC: &str = "arm_gic.has-security-extensions=on";

/// What the guest gets on Atoll too.
const GUEST_MEMORY: &str = "256M";

/// The PL011 that both machines have; a panic reboots at once.
const GUEST_KERNEL_ARGUMENTS: &str = "console=ttyAMA0 panic=1";

/// A folder for one run's sockets. Short, because a unix socket's path has at most 107 bytes.
pub(super) fn run_folder() -> Result<TempDir> {
    tempfile::Builder::new()
        .prefix("atoll-qemu-")
        .tempdir()
        .context("cannot make a temporary folder for QEMU's sockets")
}

/// The socket of a port that we are the peer of.
pub(super) fn port_socket(run_folder: &Path, index: usize) -> PathBuf {
    run_folder.join(format!("port{index}"))
}

impl Launch {
    /// Everything but the console.
    pub(super) fn machine_arguments(&self, run_folder: &Path) -> Vec<OsString> {
        let mut arguments = self.system.arguments(run_folder);
        // No display, no network: neither is used, and some hosts have no boot ROM for the default network card.
        push(&mut arguments, &["-display", "none", "-nic", "none"]);
        arguments.extend(self.clock_arguments());
        self.push_ports(&mut arguments, run_folder);
        arguments.extend(self.extra.iter().cloned());
        arguments
    }

    fn push_ports(&self, arguments: &mut Vec<OsString>, run_folder: &Path) {
        if self.ports.is_empty() {
            return;
        }
        push(arguments, &["-device", "virtio-serial-device,id=ports"]);
        for (index, port) in self.ports.iter().enumerate() {
            let (path, end) = match &port.peer {
                PortPeer::Us => (port_socket(run_folder, index), "server=on,wait=off"),
                PortPeer::Listener(path) => (path.clone(), "server=off,reconnect-ms=1000"),
            };
            let backend =
                join(&[OsStr::new(&format!("socket,id=port{index},{end},path=")), &escaped(path.as_os_str())]);
            // Number 0 is the console's by the specification; the first port of another kind is 1.
            let device = format!("virtserialport,bus=ports.0,nr={},chardev=port{index},name=", index + 1);
            let device = join(&[OsStr::new(&device), &escaped(OsStr::new(&port.name))]);
            arguments.extend(["-chardev".into(), backend, "-device".into(), device]);
        }
    }
}

impl Launch {
    /// A fixed time for an instruction: a shift that follows the host's speed would repeat neither itself nor the budgets.
    fn clock_arguments(&self) -> Vec<OsString> {
        let mut arguments = Vec::new();
        let is_virt = !self.system.is_raspberry_pi();
        if is_virt && self.multi_core {
            push(&mut arguments, &["-smp", &CORES.to_string()]);
        } else if is_virt && self.clock != Clock::Host {
            push(&mut arguments, &["-smp", "1"]);
        }
        match self.clock {
            Clock::Host => {}
            Clock::Steady => push(&mut arguments, &["-icount", &format!("shift={},align=off,sleep=on", self.shift)]),
            Clock::Deterministic => {
                // The time of day would differ.
                let count = format!("shift={},align=off,sleep=off", self.shift);
                push(&mut arguments, &["-icount", &count, "-rtc", "clock=vm,base=2026-01-01"]);
                // So would the random seeds in the device tree that QEMU hands a kernel.
                if is_virt {
                    push(&mut arguments, &["-machine", "dtb-randomness=off"]);
                }
                push(&mut arguments, &["-seed", "1"]);
            }
        }
        arguments
    }
}

impl System {
    pub(super) fn is_raspberry_pi(&self) -> bool {
        match self {
            Self::Atoll { board, .. } => board.is_raspberry_pi(),
            Self::Card { .. } => true,
            Self::PlainGuest { .. } => false,
        }
    }

    fn arguments(&self, run_folder: &Path) -> Vec<OsString> {
        let mut arguments = Vec::new();
        match self {
            Self::Atoll { board, image } if board.is_raspberry_pi() => {
                push(&mut arguments, &["-machine", "raspi4b", "-m", ATOLL_MEMORY]);
                // Not `cntfrq=54000000`, the board's: QEMU counts in whole nanoseconds a tick, and its 54 MHz are 55.6.
                push(&mut arguments, &["-global", RASPBERRY_PI_GIC, "-kernel"]);
                arguments.push(firmware::path(run_folder).into());
                let place = format!(",addr={:#x},force-raw=on", firmware::LOAD_ADDRESS);
                arguments.extend(["-device".into(), loaded(image, &place)]);
                // The first serial port is the PL011, the second the mini-UART: the console.
                push(&mut arguments, &["-serial", "null"]);
            }
            Self::Card { image, boot_loader, device_tree } => {
                push(&mut arguments, &["-machine", "raspi4b", "-m", ATOLL_MEMORY, "-global", RASPBERRY_PI_GIC]);
                arguments.extend(["-kernel".into(), boot_loader.clone().into_os_string()]);
                arguments.extend(["-dtb".into(), device_tree.clone().into_os_string()]);
                let drive = OsStr::new("if=sd,format=raw,snapshot=on,file=");
                arguments.extend(["-drive".into(), join(&[drive, &escaped(image.as_os_str())])]);
                push(&mut arguments, &["-serial", "null"]);
            }
            Self::Atoll { image, .. } => {
                push(&mut arguments, &["-machine", "virt,virtualization=on", "-cpu", "cortex-a53"]);
                push(&mut arguments, &["-m", ATOLL_MEMORY, "-device"]);
                arguments.push(loaded(image, &format!(",addr={VIRT_LOAD_ADDRESS},cpu-num=0")));
            }
            Self::PlainGuest { guest, kernel_arguments } => {
                push(&mut arguments, &["-machine", "virt", "-cpu", "cortex-a53", "-m", GUEST_MEMORY]);
                arguments.extend(["-kernel".into(), guest.kernel.clone().into_os_string()]);
                arguments.extend(["-initrd".into(), guest.initramfs.clone().into_os_string()]);
                let line = format!("{GUEST_KERNEL_ARGUMENTS} {kernel_arguments}");
                arguments.extend(["-append".into(), line.trim_end().into()]);
            }
        }
        arguments
    }
}

/// A device that puts `image` where `place` says.
fn loaded(image: &Path, place: &str) -> OsString {
    join(&[OsStr::new("loader,file="), &escaped(image.as_os_str()), OsStr::new(place)])
}

fn push(arguments: &mut Vec<OsString>, further: &[&str]) {
    arguments.extend(further.iter().map(OsString::from));
}

fn join(parts: &[&OsStr]) -> OsString {
    parts.iter().copied().collect()
}

/// A value inside an option with commas: QEMU takes two commas for one that belongs to the value.
fn escaped(value: &OsStr) -> OsString {
    let doubled = value.as_bytes().iter().flat_map(|byte| if *byte == b',' { vec![b',', b','] } else { vec![*byte] });
    OsString::from_vec(doubled.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::Board;
    use crate::guest::GuestImage;

    fn line(launch: &Launch) -> String {
        let arguments = launch.machine_arguments(Path::new("/run"));
        arguments.iter().map(|argument| argument.to_string_lossy()).collect::<Vec<_>>().join(" ")
    }

    fn guest() -> GuestImage {
        GuestImage { kernel: "/g/Image".into(), initramfs: "/g/initramfs".into(), kernel_release: "6.1".to_owned() }
    }

    #[test]
    fn atoll_is_loaded_where_its_loader_expects_to_be() {
        let line = line(&Launch::atoll(Board::QemuVirtAarch64, "/a/loader.img"));
        assert!(line.contains("-machine virt,virtualization=on -cpu cortex-a53 -m 2G"), "{line}");
        assert!(line.contains("-device loader,file=/a/loader.img,addr=0x70000000,cpu-num=0"), "{line}");
        assert!(!line.contains("icount"), "{line}");
    }

    #[test]
    fn a_raspberry_pi_has_its_own_machine_and_its_console_second() {
        let line = line(&Launch::atoll(Board::Rpi4b2Gb, "/a/loader.img").deterministic());
        assert!(line.contains("-machine raspi4b -m 2G"), "{line}");
        assert!(line.contains("-global arm_gic.has-security-extensions=on -kernel /run/firmware"), "{line}");
        assert!(line.contains("-device loader,file=/a/loader.img,addr=0x10000000,force-raw=on -serial null"), "{line}");
        assert!(line.contains("-icount shift=3") && !line.contains("-smp") && !line.contains("dtb-random"), "{line}");
    }

    #[test]
    fn a_comma_in_a_path_stays_in_the_path() {
        let line = line(&Launch::atoll(Board::QemuVirtAarch64, "/a,b/loader.img"));
        assert!(line.contains("file=/a,,b/loader.img,addr="), "{line}");
    }

    #[test]
    fn deterministic_means_one_processor_and_a_virtual_clock() {
        let line = line(&Launch::atoll(Board::QemuVirtAarch64, "/x").deterministic());
        assert!(line.contains("-smp 1 -icount shift=3,align=off,sleep=off -rtc clock=vm,base=2026-01-01"), "{line}");
        assert!(line.contains("-machine dtb-randomness=off -seed 1"), "{line}");
    }

    #[test]
    fn an_image_for_several_cores_gets_them() {
        let line = line(&Launch::atoll(Board::QemuVirtAarch64, "/x").deterministic().multi_core());
        assert!(line.contains("-smp 4 -icount shift=3,align=off,sleep=off"), "{line}");
    }

    #[test]
    fn steady_means_that_idle_time_is_waited_for() {
        let line = line(&Launch::atoll(Board::QemuVirtAarch64, "/x").steady());
        assert!(line.contains("-smp 1 -icount shift=3,align=off,sleep=on"), "{line}");
    }

    #[test]
    fn the_plain_guest_has_its_kernel_and_its_ports() {
        let launch = Launch::plain_guest(&guest())
            .port("emit.0", PortPeer::Us)
            .port("emit.1", PortPeer::Listener("/n/node.sock".into()));
        let line = line(&launch);
        assert!(line.contains("-kernel /g/Image -initrd /g/initramfs -append console=ttyAMA0 panic=1"), "{line}");
        assert!(line.contains("socket,id=port0,server=on,wait=off,path=/run/port0"), "{line}");
        assert!(line.contains("virtserialport,bus=ports.0,nr=1,chardev=port0,name=emit.0"), "{line}");
        assert!(line.contains("socket,id=port1,server=off,reconnect-ms=1000,path=/n/node.sock"), "{line}");
    }
}
