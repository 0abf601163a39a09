//! What a person may type behind `emit keys`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[cfg(feature = "kit")]
use super::{KeyNew, KeyPlace, KeyUpdate};

/// `emit keys`.
#[derive(Debug, Args)]
pub(crate) struct Keys {
    #[cfg(feature = "kit")]
    #[command(flatten)]
    pub(crate) place: KeyPlace,
    #[command(subcommand)]
    pub(crate) verb: KeyVerb,
}

/// One verb each.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyVerb {
    /// Make a key pair: NAME.pem, which nobody else can read, and NAME.pub, which is given to others
    #[cfg(feature = "kit")]
    New(KeyNew),
    /// List the keys
    #[cfg(feature = "kit")]
    List,
    /// Show a key: role, id, fingerprint, files
    #[cfg(feature = "kit")]
    Show {
        /// The key's name, or its id
        #[arg(value_name = "NAME|ID")]
        key: String,
    },
    /// Write a change of keys, signed by the owner: keys that a node believes from then on, and keys that it does not any more
    #[cfg(feature = "kit")]
    Update(KeyUpdate),
    /// Have a node carry out a change of keys
    Send {
        /// As `emit keys update` wrote it
        file: PathBuf,
    },
}
