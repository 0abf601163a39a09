//! Who may see which memory, and who may speak to whom: the architecture's rights, by names and roles.
//!
//! What stands here is all that anybody may have: [`crate::rules`] refuses a description that gives more, wherever it gives
//! it. A right that the architecture is to have is added here first, where a reader looks for it.

use runner_interfaces::scheduling::{WARDEN_THREAD_SLOT, cell_slot, class_slot};

use crate::model::{CapabilityKind, Region};
use crate::role::Role;

/// The domains that may map a region.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sharers<'a> {
    /// Who writes it; each of them must. Nobody where the image fills it.
    pub writers: Vec<&'a str>,
    /// Who else may read it.
    pub readers: Vec<&'a str>,
}

impl Sharers<'_> {
    /// Whether `domain` may map the region at all.
    pub(crate) fn contains(&self, domain: &str) -> bool {
        self.writers.contains(&domain) || self.readers.contains(&domain)
    }
}

/// The two ends in the name of a directed region: the writer, and the reader.
fn direction(name: &str) -> Option<(&str, &str)> {
    match name.strip_suffix("_head").unwrap_or(name).split_once("_to_")? {
        // The consumer writes its head for the producer to read.
        (producer, consumer) if name.ends_with("_head") => Some((consumer, producer)),
        ends => Some(ends),
    }
}

/// Who may map `region`, told by its name; `None` where the name says nothing that is known here.
pub(crate) fn sharers(region: &Region) -> Option<Sharers<'_>> {
    let name = region.name.as_str();
    let of = |writers: &[&'static str], readers: &[&'static str]| {
        Some(Sharers { writers: writers.to_vec(), readers: readers.to_vec() })
    };
    if region.prefill.is_some() {
        return match name {
            "policy" => of(&[], &["warden", "admission"]),
            // The public keys of those who sign: whoever checks a signature reads them, and nobody else needs to.
            "keys" => of(&[], &["admission"]),
            "guest_kernel" | "guest_initramfs" | "guest_device_tree" => of(&[], &["vmm"]),
            _ => None,
        };
    }
    if let Some((writer, reader)) = direction(name) {
        return Some(Sharers { writers: vec![writer], readers: vec![reader] });
    }
    match name {
        // Whoever checks a right of a cell, and nobody whom that right is about.
        "grants" => return of(&["warden"], &["timer", "gpio", "i2c", "exchange"]),
        // Linux' memory, and its view of the interrupt controller.
        "guest_memory" => return of(&["vmm", "linux"], &[]),
        "guest_interrupt_interface" => return of(&["linux"], &[]),
        "uart_registers" => return of(&["vmm"], &[]),
        _ => {}
    }
    let (owner, kind) = name.rsplit_once('_')?;
    let is_cell = matches!(Role::of(owner), Some(Role::Cell(_)));
    match kind {
        "status" => Some(Sharers { writers: vec![owner], readers: readers_of_status(Role::of(owner)?) }),
        "registers" | "heap" => Some(Sharers { writers: vec![owner], readers: Vec::new() }),
        "module" if is_cell => Some(Sharers { writers: vec!["admission"], readers: vec![owner] }),
        _ => None,
    }
}

/// Who looks at what a domain shows of itself. The VMM prints at boot how each start went.
fn readers_of_status(owner: Role) -> Vec<&'static str> {
    match owner {
        Role::Cell(_) => vec!["warden", "admission", "vmm"],
        // The warden sees who calls them how often.
        Role::Timer | Role::Gpio | Role::I2c | Role::Exchange => vec!["warden", "admission", "vmm"],
        Role::Warden => vec!["admission", "vmm"],
        Role::Tick | Role::Grid | Role::Admission => vec!["vmm"],
        Role::Vmm | Role::Linux | Role::Class(_) => Vec::new(),
    }
}

/// Whether a domain of the role `caller` may call the protected procedures of `server`.
pub(crate) const fn may_call(caller: Role, server: Role) -> bool {
    match caller {
        Role::Cell(_) => matches!(server, Role::Gpio | Role::Timer | Role::I2c | Role::Exchange),
        Role::Warden => matches!(server, Role::Gpio | Role::Timer | Role::Exchange),
        Role::Admission => matches!(server, Role::Warden | Role::Exchange),
        Role::Tick
        | Role::Grid
        | Role::Timer
        | Role::Gpio
        | Role::I2c
        | Role::Exchange
        | Role::Vmm
        | Role::Linux
        | Role::Class(_) => false,
    }
}

/// Whether a domain of the role `sender` may notify `receiver`.
pub(crate) const fn may_notify(sender: Role, receiver: Role) -> bool {
    match sender {
        Role::Tick => matches!(receiver, Role::Grid),
        Role::Grid => matches!(receiver, Role::Timer),
        Role::Timer => matches!(receiver, Role::Warden | Role::Cell(_)),
        Role::Gpio | Role::Exchange => matches!(receiver, Role::Cell(_)),
        Role::Warden => matches!(receiver, Role::Cell(_) | Role::Admission),
        Role::Cell(_) => matches!(receiver, Role::Warden | Role::Admission),
        Role::Admission => matches!(receiver, Role::Cell(_) | Role::Vmm),
        Role::Vmm => matches!(receiver, Role::Admission),
        Role::I2c | Role::Linux | Role::Class(_) => false,
    }
}

/// The slot at which a domain of the role `holder` has a capability of that kind for `owner`; `None` where it has none.
///
/// Only the warden has any: the scheduling contexts of the classes and of its cells, to put one in the place of the other, and its own
/// thread, by whose priority the kernel bounds what it may give a cell. The cells' threads are its children's, and not in a `cspace`.
pub(crate) fn capability(holder: Role, kind: CapabilityKind, owner: Role) -> Option<u8> {
    match (holder, kind, owner) {
        (Role::Warden, CapabilityKind::SchedulingContext, Role::Class(class)) => Some(class_slot(class)),
        (Role::Warden, CapabilityKind::SchedulingContext, Role::Cell(cell)) => Some(cell_slot(cell)),
        (Role::Warden, CapabilityKind::Thread, Role::Warden) => Some(WARDEN_THREAD_SLOT),
        _ => None,
    }
}

/// The domain that must be around one of the role `child`: who may stop it and gets its faults. `None` for nobody.
pub(crate) const fn parent(child: Role) -> Option<&'static str> {
    match child {
        Role::Cell(_) => Some("warden"),
        Role::Linux => Some("vmm"),
        _ => None,
    }
}
