//! What went wrong how often, under names that stay.

use alloc::{string::ToString, vec::Vec};

macro_rules! counters {
    ($($(#[$attribute:meta])* $name:ident = $text:literal),+ $(,)?) => {
        /// One thing that is counted here.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Counter { $($(#[$attribute])* $name),+ }

        /// The counters that admission keeps itself. [`shared_ring_messages::NodeReport::counters`] has them, and those that
        /// the drivers and the warden show of themselves.
        pub const COUNTER_NAMES: &[&str] = &[$($text),+];
    };
}

counters! {
    /// No frames: not COBS, too long, or no message of this version.
    FramesMalformed = "frames_malformed",
    /// Frames whose checksum was another.
    FramesDamaged = "frames_damaged",
    /// Messages out of turn.
    ProtocolErrors = "protocol_errors",
    /// Greetings of another major version.
    VersionMismatches = "version_mismatches",
    /// Uploads that were refused before their first byte.
    UploadsRefused = "uploads_refused",
    /// Uploads that ended before they were whole.
    UploadsAbandoned = "uploads_abandoned",
    /// Whole modules that were refused before a cell saw them.
    ModulesRefused = "modules_refused",
    /// Containers that a cell could not load or start.
    LoadsFailed = "loads_failed",
    /// Containers that failed in their cell, started or not: a trap, a limit, a start hook that refused.
    ContainersFailed = "containers_failed",
    /// New versions that did not prove themselves.
    UpdatesRolledBack = "updates_rolled_back",
    /// Channels that could not be bound to a provider of another type.
    ChannelsMismatched = "channels_mismatched",
    /// Impossible indices in the link's rings.
    LinkMisbehaved = "link_misbehaved",
    /// Slots that broke the link's contract.
    LinkSlotsInvalid = "link_slots_invalid",
    /// Bytes for a session that is not open.
    LinkSlotsStray = "link_slots_stray",
    /// Sessions closed because they did not read their answers.
    SessionsStalled = "sessions_stalled",
    /// Impossible indices in a cell's ring.
    CellRingsMisbehaved = "cell_rings_misbehaved",
    /// Records that broke the contract, or named another load.
    CellRecordsInvalid = "cell_records_invalid",
    /// Statuses with numbers that name nothing.
    CellStatusInvalid = "cell_status_invalid",
    /// Output records lost: by a full log, or by a cell that could not deliver.
    OutputLost = "output_lost",
    /// Output records dropped because the container's rate was used up.
    OutputLimited = "output_limited",
    /// Containers whose signatures are missing or not to be believed.
    SignaturesRefused = "signatures_refused",
    /// Changes of keys that an owner signed.
    KeysChanged = "keys_changed",
    /// Changes of keys that were not to be believed.
    KeyChangesRefused = "key_changes_refused",
    /// What the warden refused although it should not.
    WardenRefusals = "warden_refusals",
}

/// The counters' values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counters([u64; COUNTER_NAMES.len()]);

impl Counters {
    pub(crate) fn count(&mut self, counter: Counter) {
        self.add(counter, 1);
    }

    pub(crate) fn add(&mut self, counter: Counter, amount: u64) {
        let value = &mut self.0[counter as usize];
        *value = value.saturating_add(amount);
    }

    /// Names with values.
    pub(crate) fn named(&self) -> Vec<(alloc::string::String, u64)> {
        COUNTER_NAMES.iter().zip(self.0).map(|(name, value)| (name.to_string(), value)).collect()
    }
}
