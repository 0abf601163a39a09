//! What the domains that own a device have in common: why one of them cannot run.
//!
//! Each reads the grants that the warden writes and shows its status in a region of its own, so each can miss the same
//! things. Nothing here comes from a peer: a start that fails is a fault of the configuration.

use core::fmt;

use shared_ring::OutOfRange;

use crate::kernel::MissingWiring;

/// Why the domain cannot run. A fault of the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartError {
    /// `system.xml` gives it too little.
    Missing(MissingWiring),
    /// A region is too small for what lies in it.
    RegionTooSmall,
}

impl fmt::Display for StartError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(missing) => missing.fmt(formatter),
            Self::RegionTooSmall => formatter.write_str("the region of the grants or of the status is too small"),
        }
    }
}

impl core::error::Error for StartError {}

impl From<MissingWiring> for StartError {
    fn from(missing: MissingWiring) -> Self {
        Self::Missing(missing)
    }
}

impl From<OutOfRange> for StartError {
    fn from(_: OutOfRange) -> Self {
        Self::RegionTooSmall
    }
}
