//! The device tree that tells Linux about this machine.
//!
//! Made from [`MachineLayout`], so it says what the machine is; written by `vm-fdt`. Bindings are those of Linux'
//! Documentation/devicetree/bindings, named at each node.

use alloc::string::String;
use alloc::vec::Vec;

use vm_fdt::{Error, FdtWriter};

use crate::layout::{AddressRange, DeviceLayout, MachineLayout};

/// The interrupt controller's handle.
const INTERRUPT_CONTROLLER: u32 = 1;
/// The UART's clock's handle.
const CLOCK: u32 = 2;
/// Kinds of interrupt in the GIC's binding (arm,gic.yaml): shared, private.
const SHARED: u32 = 0;
const PRIVATE: u32 = 1;
/// Triggered by a high level.
const LEVEL_HIGH: u32 = 4;
/// A private interrupt's flags also carry the CPUs that have it: bit 8 is the first.
const FIRST_CPU: u32 = 1 << 8;
/// Numbers of the first shared and the first private interrupt.
const FIRST_SHARED: u16 = 32;
const FIRST_PRIVATE: u16 = 16;

/// What differs from start to start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootArguments<'a> {
    /// The kernel's command line; see [`command_line`].
    pub command_line: &'a str,
    /// Where the initial RAM disk lies (guest-physical), if there is one.
    pub initial_ram_disk: Option<AddressRange>,
    /// Seed for the kernel's random numbers. The machine has no other source, so without it programs that ask for random
    /// numbers early may wait; with one that is not secret, they are not secret either.
    pub random_seed: Option<&'a [u8]>,
}

/// The command line for a console on the PL011: from the first instruction on, a restart one second after a panic (so
/// that a guest that broke comes back), and whatever else is wanted.
///
/// `quiet` leaves warnings and worse. Each character of the console is two or three faults, and a whole boot log took
/// longer than the boot; add `loglevel=7` to see it.
pub fn command_line(layout: &MachineLayout, more: &str) -> String {
    let base = layout.uart.registers.base;
    let mut line = alloc::format!("console=ttyAMA0 earlycon=pl011,{base:#x} panic=1 quiet");
    if !more.is_empty() {
        line.push(' ');
        line.push_str(more);
    }
    line
}

/// Writes the tree, a flattened device tree of version 17. Fails only where a string holds a NUL byte.
pub fn build(layout: &MachineLayout, arguments: &BootArguments<'_>) -> Result<Vec<u8>, Error> {
    let mut tree = FdtWriter::new()?;
    let root = tree.begin_node("")?;
    tree.property_string("compatible", "linux,dummy-virt")?;
    tree.property_string("model", "atoll")?;
    tree.property_u32("#address-cells", 2)?;
    tree.property_u32("#size-cells", 2)?;
    tree.property_u32("interrupt-parent", INTERRUPT_CONTROLLER)?;
    chosen(&mut tree, layout, arguments)?;
    memory(&mut tree, layout)?;
    processor(&mut tree)?;
    power(&mut tree)?;
    interrupt_controller(&mut tree, layout)?;
    timer(&mut tree, layout)?;
    clock(&mut tree, layout)?;
    uart(&mut tree, layout)?;
    virtio_console(&mut tree, layout)?;
    tree.end_node(root)?;
    tree.finish()
}

fn strings(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| String::from(*value)).collect()
}

fn node_name(kind: &str, registers: AddressRange) -> String {
    alloc::format!("{kind}@{:x}", registers.base)
}

fn shared_interrupt(device: &DeviceLayout) -> [u32; 3] {
    [SHARED, u32::from(device.intid - FIRST_SHARED), LEVEL_HIGH]
}

fn private_interrupt(intid: u16) -> [u32; 3] {
    [PRIVATE, u32::from(intid - FIRST_PRIVATE), LEVEL_HIGH | FIRST_CPU]
}

fn chosen(tree: &mut FdtWriter, layout: &MachineLayout, arguments: &BootArguments<'_>) -> Result<(), Error> {
    let node = tree.begin_node("chosen")?;
    tree.property_string("bootargs", arguments.command_line)?;
    tree.property_string("stdout-path", &alloc::format!("/{}", node_name("pl011", layout.uart.registers)))?;
    if let Some(ram_disk) = arguments.initial_ram_disk {
        tree.property_u64("linux,initrd-start", ram_disk.base)?;
        tree.property_u64("linux,initrd-end", ram_disk.end())?;
    }
    if let Some(seed) = arguments.random_seed {
        tree.property("rng-seed", seed)?;
    }
    tree.end_node(node)
}

fn memory(tree: &mut FdtWriter, layout: &MachineLayout) -> Result<(), Error> {
    let node = tree.begin_node(&node_name("memory", layout.memory))?;
    tree.property_string("device_type", "memory")?;
    tree.property_array_u64("reg", &[layout.memory.base, layout.memory.size_bytes])?;
    tree.end_node(node)
}

/// arm/cpus.yaml. The processor is whatever the board has: its own identification registers say so, and the generic
/// name claims nothing.
fn processor(tree: &mut FdtWriter) -> Result<(), Error> {
    let processors = tree.begin_node("cpus")?;
    tree.property_u32("#address-cells", 1)?;
    tree.property_u32("#size-cells", 0)?;
    let node = tree.begin_node("cpu@0")?;
    tree.property_string("device_type", "cpu")?;
    tree.property_string("compatible", "arm,armv8")?;
    tree.property_u32("reg", 0)?;
    tree.property_string("enable-method", "psci")?;
    tree.end_node(node)?;
    tree.end_node(processors)
}

/// arm/psci.yaml. Never `hvc`: seL4 takes that instruction for itself (see [`crate::psci`]).
fn power(tree: &mut FdtWriter) -> Result<(), Error> {
    let node = tree.begin_node("psci")?;
    tree.property_string_list("compatible", strings(&["arm,psci-1.0", "arm,psci-0.2"]))?;
    tree.property_string("method", "smc")?;
    tree.end_node(node)
}

/// interrupt-controller/arm,gic.yaml.
fn interrupt_controller(tree: &mut FdtWriter, layout: &MachineLayout) -> Result<(), Error> {
    let node = tree.begin_node(&node_name("interrupt-controller", layout.distributor))?;
    tree.property_string("compatible", "arm,cortex-a15-gic")?;
    tree.property_phandle(INTERRUPT_CONTROLLER)?;
    tree.property_null("interrupt-controller")?;
    tree.property_u32("#interrupt-cells", 3)?;
    let AddressRange { base, size_bytes } = layout.cpu_interface;
    tree.property_array_u64("reg", &[layout.distributor.base, layout.distributor.size_bytes, base, size_bytes])?;
    tree.end_node(node)
}

/// timer/arm,arch_timer.yaml: secure, non-secure, virtual, hypervisor. Only the virtual one's interrupt is forwarded, and
/// a kernel that was not started in hypervisor mode uses that one. `always-on`: it never stops in a sleep state.
fn timer(tree: &mut FdtWriter, layout: &MachineLayout) -> Result<(), Error> {
    let node = tree.begin_node("timer")?;
    tree.property_string("compatible", "arm,armv8-timer")?;
    let interrupts = [29, 30, layout.virtual_timer_intid, 26].map(private_interrupt).concat();
    tree.property_array_u32("interrupts", &interrupts)?;
    tree.property_null("always-on")?;
    tree.end_node(node)
}

/// clock/fixed-clock.yaml.
fn clock(tree: &mut FdtWriter, layout: &MachineLayout) -> Result<(), Error> {
    let node = tree.begin_node("uart-clock")?;
    tree.property_string("compatible", "fixed-clock")?;
    tree.property_u32("#clock-cells", 0)?;
    tree.property_u32("clock-frequency", layout.uart_clock_hz)?;
    tree.property_phandle(CLOCK)?;
    tree.end_node(node)
}

/// serial/pl011.yaml.
fn uart(tree: &mut FdtWriter, layout: &MachineLayout) -> Result<(), Error> {
    let AddressRange { base, size_bytes } = layout.uart.registers;
    let node = tree.begin_node(&node_name("pl011", layout.uart.registers))?;
    tree.property_string_list("compatible", strings(&["arm,pl011", "arm,primecell"]))?;
    tree.property_array_u64("reg", &[base, size_bytes])?;
    tree.property_array_u32("interrupts", &shared_interrupt(&layout.uart))?;
    tree.property_array_u32("clocks", &[CLOCK, CLOCK])?;
    tree.property_string_list("clock-names", strings(&["uartclk", "apb_pclk"]))?;
    tree.end_node(node)
}

/// virtio/mmio.yaml. Its queues lie in RAM that both sides have cached.
fn virtio_console(tree: &mut FdtWriter, layout: &MachineLayout) -> Result<(), Error> {
    let AddressRange { base, size_bytes } = layout.virtio_console.registers;
    let node = tree.begin_node(&node_name("virtio_mmio", layout.virtio_console.registers))?;
    tree.property_string("compatible", "virtio,mmio")?;
    tree.property_array_u64("reg", &[base, size_bytes])?;
    tree.property_array_u32("interrupts", &shared_interrupt(&layout.virtio_console))?;
    tree.property_null("dma-coherent")?;
    tree.end_node(node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use fdt::Fdt;

    const LAYOUT: MachineLayout = MachineLayout::LINUX;

    fn tree() -> Vec<u8> {
        let line = command_line(&LAYOUT, "rdinit=/init");
        build(
            &LAYOUT,
            &BootArguments {
                command_line: &line,
                initial_ram_disk: Some(AddressRange::new(0x4400_0000, 0x12_3456)),
                random_seed: Some(&[7; 32]),
            },
        )
        .unwrap()
    }

    fn cells(bytes: &[u8]) -> Vec<u32> {
        bytes.as_chunks::<4>().0.iter().map(|cell| u32::from_be_bytes(*cell)).collect()
    }

    #[test]
    fn another_librarys_reader_finds_the_machine() {
        let bytes = tree();
        let tree = Fdt::new(&bytes).unwrap();
        let line = tree.chosen().bootargs().unwrap();
        assert!(line.starts_with("console=ttyAMA0 earlycon=pl011,0x9000000"), "{line}");
        assert!(line.ends_with(" rdinit=/init"), "{line}");
        assert!(tree.chosen().stdout().is_some_and(|node| node.name == "pl011@9000000"));
        let region = tree.memory().regions().next().unwrap();
        assert_eq!(region.starting_address as u64, LAYOUT.memory.base);
        assert_eq!(region.size.map(|size| size as u64), Some(LAYOUT.memory.size_bytes));
        assert_eq!(tree.cpus().count(), 1);
    }

    #[test]
    fn devices_have_the_layouts_addresses_and_interrupts() {
        let bytes = tree();
        let tree = Fdt::new(&bytes).unwrap();
        for (compatible, device) in [("arm,pl011", LAYOUT.uart), ("virtio,mmio", LAYOUT.virtio_console)] {
            let node = tree.find_compatible(&[compatible]).unwrap();
            let registers = node.reg().unwrap().next().unwrap();
            assert_eq!(registers.starting_address as u64, device.registers.base);
            let interrupts = cells(node.property("interrupts").unwrap().value);
            assert_eq!(interrupts, vec![0, u32::from(device.intid) - 32, 4]);
        }
        let gic = tree.find_compatible(&["arm,cortex-a15-gic"]).unwrap();
        let bases: Vec<u64> = gic.reg().unwrap().map(|region| region.starting_address as u64).collect();
        assert_eq!(bases, vec![LAYOUT.distributor.base, LAYOUT.cpu_interface.base]);
        let timer = cells(tree.find_compatible(&["arm,armv8-timer"]).unwrap().property("interrupts").unwrap().value);
        assert_eq!(timer[6..9], [1, 11, 0x104]);
    }

    #[test]
    fn power_calls_go_by_smc() {
        let bytes = tree();
        let tree = Fdt::new(&bytes).unwrap();
        let psci = tree.find_compatible(&["arm,psci-0.2"]).unwrap();
        assert_eq!(psci.property("method").unwrap().as_str(), Some("smc"));
        let processor = tree.find_node("/cpus/cpu@0").unwrap();
        assert_eq!(processor.property("enable-method").unwrap().as_str(), Some("psci"));
    }

    #[test]
    fn the_ram_disk_and_the_seed_are_told() {
        let bytes = tree();
        let tree = Fdt::new(&bytes).unwrap();
        let chosen = tree.find_node("/chosen").unwrap();
        assert_eq!(cells(chosen.property("linux,initrd-start").unwrap().value), vec![0, 0x4400_0000]);
        assert_eq!(cells(chosen.property("linux,initrd-end").unwrap().value), vec![0, 0x4412_3456]);
        assert_eq!(chosen.property("rng-seed").unwrap().value, &[7; 32]);
    }

    #[test]
    fn the_same_machine_gives_the_same_bytes() {
        assert_eq!(tree(), tree());
        assert!(tree().len() < 4096);
    }
}
