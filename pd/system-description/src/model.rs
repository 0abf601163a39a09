//! The architecture as data: what `system.xml` says, and where it says it.
//!
//! Names stay names here; whether they refer to something is for [`crate::rules`] and [`crate::System::wiring`]. Every
//! item knows its line, so that whatever is wrong can be pointed at.

use std::fmt;
use std::path::PathBuf;

/// One system description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct System {
    /// The file, for messages.
    pub file: PathBuf,
    /// In the file's order.
    pub regions: Vec<Region>,
    /// Protection domains and virtual machines; a parent stands before its children.
    pub domains: Vec<Domain>,
    /// In the file's order.
    pub channels: Vec<Channel>,
}

/// A `memory_region`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Its name.
    pub name: String,
    /// Its size, in bytes.
    pub size_bytes: u64,
    /// Size of its pages, in bytes; Microkit's default is 4 KiB.
    pub page_bytes: u64,
    /// Where it lies, for a device or memory with a fixed place.
    pub physical_address: Option<u64>,
    /// The file that fills it at build time.
    pub prefill: Option<String>,
    /// Line in the file.
    pub line: u32,
}

impl Region {
    /// Whether it is a device: it has a physical address, and no file fills it.
    pub fn is_device(&self) -> bool {
        self.physical_address.is_some() && self.prefill.is_none()
    }
}

/// What a domain is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DomainKind {
    /// A `protection_domain`.
    Protection,
    /// A `virtual_machine` inside one.
    VirtualMachine,
}

/// A protection domain or a virtual machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: DomainKind,
    /// The domain around it.
    pub parent: Option<String>,
    /// Its number among its parent's children.
    pub child_id: Option<u8>,
    /// The parent's symbol for that number.
    pub child_symbol: Option<String>,
    /// 0 to 254; Microkit's default is 0.
    pub priority: u8,
    /// Microseconds of processor time in a period, where stated.
    pub budget_us: Option<u64>,
    /// Microseconds, where stated.
    pub period_us: Option<u64>,
    /// The core that it is on; Microkit's default is 0.
    pub core: u8,
    /// Runs on its callers' time.
    pub passive: bool,
    /// Its stack; Microkit's default is 8 KiB.
    pub stack_bytes: u64,
    /// May make secure monitor calls.
    pub secure_monitor_calls: bool,
    /// Capabilities beside what its channels and maps are.
    pub capabilities: Vec<Capability>,
    /// The ELF, where it is a protection domain.
    pub image: Option<String>,
    /// Memory that it sees.
    pub maps: Vec<Map>,
    /// Interrupts that reach it.
    pub interrupts: Vec<Interrupt>,
    /// Line in the file.
    pub line: u32,
}

/// What a mapping allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Loads.
    pub read: bool,
    /// Stores.
    pub write: bool,
    /// Instruction fetches.
    pub execute: bool,
}

/// A `map`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    /// The region's name.
    pub region: String,
    /// Where the domain sees it.
    pub address: u64,
    /// What it may do there.
    pub access: Access,
    /// The symbol that gets the address.
    pub address_symbol: Option<String>,
    /// The symbol that gets the size in bytes: the region's, or that of what fills it.
    pub size_symbol: Option<String>,
    /// Line in the file.
    pub line: u32,
}

/// What a capability is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CapabilityKind {
    /// `cap_sc`: a scheduling context, to bind it.
    SchedulingContext,
    /// `cap_tcb`: a thread, and the priorities that it has to give.
    Thread,
    /// Anything else: another capability, or I/O ports. Nobody has a use for those.
    Other,
}

impl fmt::Display for CapabilityKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::SchedulingContext => "scheduling context",
            Self::Thread => "thread",
            Self::Other => "capability",
        })
    }
}

/// One of the capabilities in a `cspace`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capability {
    /// What it is for.
    pub kind: CapabilityKind,
    /// The domain whose it is; empty where there is none.
    pub domain: String,
    /// Where it lies.
    pub slot: u64,
    /// Line in the file.
    pub line: u32,
}

/// An `irq`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interrupt {
    /// The interrupt controller's number.
    pub number: u32,
    /// The channel that it arrives on.
    pub id: u8,
    /// The symbol that gets the channel's number.
    pub symbol: Option<String>,
    /// Line in the file.
    pub line: u32,
}

/// A `channel`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Both ends, in the file's order.
    pub ends: [End; 2],
    /// Line in the file.
    pub line: u32,
}

/// One end of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// The protection domain.
    pub domain: String,
    /// The channel's number there.
    pub id: u8,
    /// May call the other end's protected procedures.
    pub may_call: bool,
    /// May notify the other end.
    pub may_notify: bool,
    /// The symbol that gets the number.
    pub symbol: Option<String>,
    /// Line in the file.
    pub line: u32,
}

impl System {
    /// The domain of that name.
    pub fn domain(&self, name: &str) -> Option<&Domain> {
        self.domains.iter().find(|domain| domain.name == name)
    }

    /// The region of that name.
    pub fn region(&self, name: &str) -> Option<&Region> {
        self.regions.iter().find(|region| region.name == name)
    }

    /// The domains directly inside `parent`, virtual machines included.
    pub fn children<'a>(&'a self, parent: &'a str) -> impl Iterator<Item = &'a Domain> {
        self.domains.iter().filter(move |domain| domain.parent.as_deref() == Some(parent))
    }

    /// The protection domains, in the order in which Microkit numbers them.
    pub fn protection_domains(&self) -> impl Iterator<Item = &Domain> {
        self.domains.iter().filter(|domain| domain.kind == DomainKind::Protection)
    }

    /// Who maps `region`, and how.
    pub fn maps_of<'a>(&'a self, region: &'a str) -> impl Iterator<Item = (&'a Domain, &'a Map)> {
        self.domains
            .iter()
            .flat_map(|domain| domain.maps.iter().map(move |map| (domain, map)))
            .filter(move |(_, map)| map.region == region)
    }
}
