//! What one domain is given, by the symbols that its code looks for.
//!
//! On seL4 the Microkit tool patches the same symbols into the ELF; on the host the launcher hands out this. Both read the
//! same file, so a domain finds the same wiring on either.

use std::fmt;

use crate::model::{Access, Domain, End, System};

/// One domain's wiring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainWiring {
    /// The domain.
    pub domain: String,
    /// Its channels, interrupts included.
    pub channels: Vec<ChannelWiring>,
    /// Its memory.
    pub regions: Vec<RegionWiring>,
    /// The domains that it is parent of.
    pub children: Vec<ChildWiring>,
}

/// A channel, seen from one end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelWiring {
    /// The symbol, where the end has one.
    pub symbol: Option<String>,
    /// Its number here.
    pub number: u8,
    /// What is at the other end.
    pub peer: Peer,
    /// This end may notify the peer.
    pub may_notify: bool,
    /// This end may call the peer.
    pub may_call: bool,
    /// The peer may call this end.
    pub may_be_called: bool,
    /// The peer may notify this end.
    pub may_be_notified: bool,
}

/// The other end of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A domain.
    Domain {
        /// Its name.
        name: String,
        /// The channel's number there.
        number: u8,
    },
    /// A device.
    Interrupt {
        /// The interrupt controller's number.
        number: u32,
    },
}

/// A region, seen from one domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegionWiring {
    /// The symbol of its address, where the mapping has one.
    pub symbol: Option<String>,
    /// The region's name.
    pub region: String,
    /// Its size, in bytes.
    pub size_bytes: u64,
    /// What the domain may do with it.
    pub access: Access,
}

/// A child, seen from its parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChildWiring {
    /// The symbol of its number.
    pub symbol: Option<String>,
    /// The child's name.
    pub name: String,
    /// Its number among the children.
    pub id: u8,
}

/// Why a domain has no wiring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WiringError {
    /// There is no such domain.
    NoSuchDomain {
        /// The name.
        name: String,
    },
    /// A mapping names a region that there is not.
    NoSuchRegion {
        /// The region's name.
        region: String,
        /// The mapping's line.
        line: u32,
    },
}

impl fmt::Display for WiringError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchDomain { name } => write!(formatter, "there is no domain `{name}`"),
            Self::NoSuchRegion { region, line } => {
                write!(formatter, "line {line}: there is no memory region `{region}`")
            }
        }
    }
}

impl std::error::Error for WiringError {}

impl System {
    /// What `domain` is given.
    ///
    /// # Errors
    /// There is no such domain, or it maps a region that there is not.
    pub fn wiring(&self, domain: &str) -> Result<DomainWiring, WiringError> {
        let domain = self.domain(domain).ok_or_else(|| WiringError::NoSuchDomain { name: domain.to_owned() })?;
        Ok(DomainWiring {
            domain: domain.name.clone(),
            channels: self.channels_of(domain),
            regions: self.regions_of(domain)?,
            children: self.children_of(domain),
        })
    }

    fn channels_of(&self, domain: &Domain) -> Vec<ChannelWiring> {
        let between_domains = self.channels.iter().flat_map(|channel| {
            let [first, second] = &channel.ends;
            [(first, second), (second, first)]
        });
        let interrupts = domain.interrupts.iter().map(|interrupt| ChannelWiring {
            symbol: interrupt.symbol.clone(),
            number: interrupt.id,
            peer: Peer::Interrupt { number: interrupt.number },
            may_notify: false,
            may_call: false,
            may_be_called: false,
            may_be_notified: true,
        });
        between_domains
            .filter(|(here, _)| here.domain == domain.name)
            .map(|(here, there)| channel_wiring(here, there))
            .chain(interrupts)
            .collect()
    }

    fn regions_of(&self, domain: &Domain) -> Result<Vec<RegionWiring>, WiringError> {
        domain
            .maps
            .iter()
            .map(|map| {
                let region = self
                    .region(&map.region)
                    .ok_or_else(|| WiringError::NoSuchRegion { region: map.region.clone(), line: map.line })?;
                Ok(RegionWiring {
                    symbol: map.address_symbol.clone(),
                    region: region.name.clone(),
                    size_bytes: region.size_bytes,
                    access: map.access,
                })
            })
            .collect()
    }

    fn children_of(&self, domain: &Domain) -> Vec<ChildWiring> {
        self.children(&domain.name)
            .filter_map(|child| {
                Some(ChildWiring { symbol: child.child_symbol.clone(), name: child.name.clone(), id: child.child_id? })
            })
            .collect()
    }
}

fn channel_wiring(here: &End, there: &End) -> ChannelWiring {
    ChannelWiring {
        symbol: here.symbol.clone(),
        number: here.id,
        peer: Peer::Domain { name: there.domain.clone(), number: there.id },
        may_notify: here.may_notify,
        may_call: here.may_call,
        may_be_called: there.may_call,
        may_be_notified: there.may_notify,
    }
}

impl DomainWiring {
    /// The channel whose symbol is `symbol`.
    pub fn channel(&self, symbol: &str) -> Option<&ChannelWiring> {
        self.channels.iter().find(|channel| channel.symbol.as_deref() == Some(symbol))
    }

    /// The region whose symbol is `symbol`.
    pub fn region(&self, symbol: &str) -> Option<&RegionWiring> {
        self.regions.iter().find(|region| region.symbol.as_deref() == Some(symbol))
    }
}
