//! Power and secure-monitor calls of the guest: Arm DEN 0022 (PSCI 1.1) and DEN 0028 (SMCCC 1.1), for one CPU.
//!
//! The guest calls by SMC: seL4 traps it (HCR_EL2.TSC) and forwards it as a `VCPUFault`. HVC is no way to call the VMM,
//! because seL4 takes every HVC for a system call of its own (src/arch/arm/64/traps.S); the device tree therefore says
//! `method = "smc"`. No call reaches real firmware. Unknown calls are answered with "not supported", never with a fault.

use smccc::arch::{SMCCC_ARCH_FEATURES, SMCCC_VERSION};
use smccc::psci::{
    PSCI_AFFINITY_INFO_32, PSCI_AFFINITY_INFO_64, PSCI_CPU_OFF, PSCI_CPU_ON_32, PSCI_CPU_ON_64, PSCI_CPU_SUSPEND_32,
    PSCI_CPU_SUSPEND_64, PSCI_FEATURES, PSCI_MIGRATE_INFO_TYPE, PSCI_SYSTEM_OFF, PSCI_SYSTEM_RESET, PSCI_VERSION,
};

/// PSCI 1.1: the newest whose mandatory calls are all here.
const PSCI_1_1: i64 = 0x1_0001;
/// SMCCC 1.1: what ARCH_FEATURES needs, and what Linux asks for before it uses it.
const SMCCC_1_1: i64 = 0x1_0001;
const SUCCESS: i64 = 0;
const NOT_SUPPORTED: i64 = -1;
const INVALID_PARAMETERS: i64 = -2;
const DENIED: i64 = -3;
const ALREADY_ON: i64 = -4;
/// AFFINITY_INFO's "on" (5.7).
const AFFINITY_ON: i64 = 0;
/// MIGRATE_INFO_TYPE's "no trusted OS" (5.9).
const NO_TRUSTED_OS: i64 = 2;
/// The affinity fields of an MPIDR (Aff3, Aff2, Aff1, Aff0); the only CPU's are zero.
const AFFINITY_MASK: u64 = 0xff_00ff_ffff;

/// What a call leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallAnswer {
    /// The guest goes on with this in x0 (sign-extended, as both calling conventions allow).
    Return(i64),
    /// The CPU rests until an interrupt, then goes on with success in x0.
    Suspend,
    /// The guest switched itself off.
    Off,
    /// The guest asked for a restart.
    Reset,
}

/// Whether a call exists here.
fn is_known(function: u32) -> bool {
    matches!(
        function,
        PSCI_VERSION
            | PSCI_CPU_SUSPEND_32
            | PSCI_CPU_SUSPEND_64
            | PSCI_CPU_OFF
            | PSCI_CPU_ON_32
            | PSCI_CPU_ON_64
            | PSCI_AFFINITY_INFO_32
            | PSCI_AFFINITY_INFO_64
            | PSCI_MIGRATE_INFO_TYPE
            | PSCI_SYSTEM_OFF
            | PSCI_SYSTEM_RESET
            | PSCI_FEATURES
            | SMCCC_VERSION
            | SMCCC_ARCH_FEATURES
    )
}

/// Answers the call in x0 (`function`) with x1 to x3 (`arguments`).
pub fn call(function: u64, arguments: [u64; 3]) -> CallAnswer {
    // A function's number is in w0; what is above it is ignored (DEN 0028, 2.5).
    let function = (function & 0xffff_ffff) as u32;
    let first = arguments[0];
    CallAnswer::Return(match function {
        PSCI_VERSION => PSCI_1_1,
        SMCCC_VERSION => SMCCC_1_1,
        PSCI_FEATURES | SMCCC_ARCH_FEATURES => features((first & 0xffff_ffff) as u32),
        PSCI_SYSTEM_OFF => return CallAnswer::Off,
        PSCI_SYSTEM_RESET => return CallAnswer::Reset,
        // Every state that could be asked for is answered with the lightest one, which 5.4.3 allows.
        PSCI_CPU_SUSPEND_32 | PSCI_CPU_SUSPEND_64 => return CallAnswer::Suspend,
        // The only CPU cannot go: nobody could call it back. Linux never asks this of its last CPU.
        PSCI_CPU_OFF => DENIED,
        PSCI_CPU_ON_32 => cpu_on(first & 0xffff_ffff),
        PSCI_CPU_ON_64 => cpu_on(first),
        PSCI_AFFINITY_INFO_32 => affinity_info(first & 0xffff_ffff, arguments[1] & 0xffff_ffff),
        PSCI_AFFINITY_INFO_64 => affinity_info(first, arguments[1] & 0xffff_ffff),
        PSCI_MIGRATE_INFO_TYPE => NO_TRUSTED_OS,
        _ => NOT_SUPPORTED,
    })
}

/// 0 where the call exists and has no optional parts. Work-arounds for processor faults are not offered: the guest
/// reports what that leaves open under /sys/devices/system/cpu/vulnerabilities.
fn features(function: u32) -> i64 {
    if is_known(function) { SUCCESS } else { NOT_SUPPORTED }
}

fn cpu_on(target: u64) -> i64 {
    if target & AFFINITY_MASK == 0 { ALREADY_ON } else { INVALID_PARAMETERS }
}

/// Levels above 0 name clusters; there is one of each with the one CPU in it (levels 0 to 3).
fn affinity_info(target: u64, level: u64) -> i64 {
    if target & AFFINITY_MASK == 0 && level <= 3 { AFFINITY_ON } else { INVALID_PARAMETERS }
}

/// What the caller of an unknown call reads.
pub const fn not_supported() -> u64 {
    NOT_SUPPORTED as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use smccc::psci::{PSCI_SYSTEM_RESET2_64, PSCI_SYSTEM_SUSPEND_64};

    fn answer(function: u32, arguments: [u64; 3]) -> i64 {
        match call(function.into(), arguments) {
            CallAnswer::Return(value) => value,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn linux_probes_psci_in_this_order() {
        // drivers/firmware/psci/psci.c, psci_0_2_init and psci_probe.
        assert_eq!(answer(PSCI_VERSION, [0; 3]), 0x1_0001);
        assert_eq!(answer(PSCI_MIGRATE_INFO_TYPE, [0; 3]), 2);
        assert_eq!(answer(PSCI_FEATURES, [SMCCC_VERSION.into(), 0, 0]), 0);
        assert_eq!(answer(SMCCC_VERSION, [0; 3]), 0x1_0001);
        assert_eq!(answer(PSCI_FEATURES, [PSCI_CPU_SUSPEND_64.into(), 0, 0]), 0);
        assert_eq!(answer(PSCI_FEATURES, [PSCI_SYSTEM_SUSPEND_64.into(), 0, 0]), NOT_SUPPORTED);
        assert_eq!(answer(PSCI_FEATURES, [PSCI_SYSTEM_RESET2_64.into(), 0, 0]), NOT_SUPPORTED);
    }

    #[test]
    fn power_calls_lead_out_of_the_guest() {
        assert_eq!(call(PSCI_SYSTEM_OFF.into(), [0; 3]), CallAnswer::Off);
        assert_eq!(call(PSCI_SYSTEM_RESET.into(), [0; 3]), CallAnswer::Reset);
        assert_eq!(call(PSCI_CPU_SUSPEND_64.into(), [0; 3]), CallAnswer::Suspend);
        assert_eq!(answer(PSCI_SYSTEM_RESET2_64, [0; 3]), NOT_SUPPORTED);
        assert_eq!(answer(PSCI_CPU_OFF, [0; 3]), DENIED);
    }

    #[test]
    fn there_is_one_cpu_and_it_is_on() {
        assert_eq!(answer(PSCI_CPU_ON_64, [0, 0x4000_0000, 0]), ALREADY_ON);
        assert_eq!(answer(PSCI_CPU_ON_64, [1, 0x4000_0000, 0]), INVALID_PARAMETERS);
        assert_eq!(answer(PSCI_CPU_ON_64, [1 << 32, 0, 0]), INVALID_PARAMETERS);
        assert_eq!(answer(PSCI_CPU_ON_32, [1 << 32, 0, 0]), ALREADY_ON, "32-bit calls have 32-bit arguments");
        assert_eq!(answer(PSCI_AFFINITY_INFO_64, [0, 0, 0]), AFFINITY_ON);
        assert_eq!(answer(PSCI_AFFINITY_INFO_64, [2, 0, 0]), INVALID_PARAMETERS);
        assert_eq!(answer(PSCI_AFFINITY_INFO_64, [0, 9, 0]), INVALID_PARAMETERS);
    }

    #[test]
    fn the_upper_half_of_the_function_number_is_ignored() {
        assert_eq!(call(0xffff_ffff_0000_0000 | u64::from(PSCI_VERSION), [0; 3]), CallAnswer::Return(0x1_0001));
    }

    #[test]
    fn everything_else_is_not_supported() {
        for function in [0_u64, 0x8400_0050, 0xc600_ff01, 0x8600_0001, 0xffff_ffff, u64::MAX] {
            assert_eq!(call(function, [u64::MAX; 3]), CallAnswer::Return(NOT_SUPPORTED));
        }
    }
}
