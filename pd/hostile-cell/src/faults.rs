//! Ways to touch what is not one's own. Each must end the cell, and nobody else.

use core::arch::asm;

use pd_shell::Sel4Wiring;

/// What one life ends with.
#[derive(Clone, Copy)]
enum Fault {
    /// Reads a byte there.
    Read(u64),
    /// Writes to the region of that symbol, which it may only read.
    WriteRegion(&'static str),
    /// Writes to its own program.
    WriteProgram,
    /// Writes to what the Microkit tool patched.
    WriteConstants,
    /// Executes what it wrote to the region of that symbol, which it may write.
    Execute(&'static str),
    /// Executes no instruction.
    Undefined,
    /// Makes a system call that there is not.
    NoSuchCall,
}

/// By their numbers.
const FAULTS: [Fault; 13] = [
    Fault::Read(0),
    // Where the kernel's own memory begins.
    Fault::Read(0x80_0000_0000),
    Fault::Read(0xffff_ff80_4000_0000),
    // The bank's registers on QEMU's `virt`, where they lie for who has them mapped so; and where `gpio` has them.
    Fault::Read(0x0903_0000),
    Fault::Read(0x3000_0000),
    // What the warden has there for the cells: the control words of all.
    Fault::Read(0x2010_0000),
    Fault::WriteRegion("region_control"),
    Fault::WriteRegion("region_module"),
    Fault::WriteProgram,
    Fault::WriteConstants,
    Fault::Execute("region_heap"),
    Fault::Undefined,
    Fault::NoSuchCall,
];

/// Commits the fault of that number; none where there is none.
pub(crate) fn commit(number: usize, wiring: &Sel4Wiring) {
    let Some(fault) = FAULTS.get(number) else { return };
    let region = |symbol| wiring.address_and_size(symbol).map_or(0, |(address, _)| address as u64);
    match *fault {
        Fault::Read(address) => raw::read(address),
        Fault::WriteRegion(symbol) => raw::write(region(symbol), 0x5a5a_5a5a),
        Fault::WriteProgram => raw::write(commit as *const () as u64, 0x5a5a_5a5a),
        Fault::WriteConstants => raw::write(FAULTS.as_ptr() as u64, 0x5a5a_5a5a),
        Fault::Execute(symbol) => {
            // `ret`: whoever could execute it would come back. At the end of the region, where nobody has anything yet.
            let end = wiring.address_and_size(symbol).map_or(0, |(address, size)| (address + size - 64) as u64);
            raw::write(end, 0xd65f_03c0);
            raw::jump(end);
        }
        Fault::Undefined => raw::undefined(),
        Fault::NoSuchCall => raw::no_such_call(),
    }
}

/// The only `unsafe` of the program: what a compiler would never let it do.
#[allow(unsafe_code)]
mod raw {
    use super::asm;

    /// Reads a byte.
    pub(super) fn read(address: u64) {
        // SAFETY: reads a byte and forgets it; the point is that nothing is there that may be read.
        unsafe { asm!("ldrb {value:w}, [{address}]", address = in(reg) address, value = out(reg) _) };
    }

    /// Writes a word.
    pub(super) fn write(address: u64, value: u32) {
        // SAFETY: either the processor refuses it, which is the point, or it goes to the end of the heap, which nobody uses.
        unsafe { asm!("str {value:w}, [{address}]", address = in(reg) address, value = in(reg) value) };
    }

    /// Goes there, and comes back if that is a function that returns.
    pub(super) fn jump(address: u64) {
        // SAFETY: what lies there returns at once, if the processor executes it at all.
        unsafe { asm!("blr {address}", address = in(reg) address, clobber_abi("C")) };
    }

    pub(super) fn undefined() {
        // SAFETY: no instruction; the processor says so.
        unsafe { asm!("udf #0") };
    }

    pub(super) fn no_such_call() {
        // SAFETY: the kernel knows no call of that number (they are small and negative), and says so to the parent.
        unsafe { asm!("svc #0", in("x7") 1000_u64, clobber_abi("C")) };
    }
}
