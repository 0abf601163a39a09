//! What is wrong with a key file, in words that say what to do.

use std::{fmt, path::PathBuf};

/// A fault and the file that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFileError {
    /// The file or directory.
    pub file: PathBuf,
    /// What is wrong with it.
    pub fault: Fault,
}

/// Kinds of [`KeyFileError`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It cannot be opened or read.
    Unreadable(String),
    /// It cannot be made or written.
    Unwritable(String),
    /// It is there already, and keys are never overwritten.
    Exists,
    /// There is no such key.
    Missing,
    /// Larger than any key file.
    TooLarge,
    /// Others can read or write it: its permissions.
    Exposed(u32),
    /// Others can write to the directory: its permissions.
    ExposedDirectory(u32),
    /// No private key in PKCS#8, or not Ed25519.
    NotAPrivateKey(String),
    /// It is encrypted, and nobody gave a passphrase.
    Encrypted,
    /// The passphrase is not the one that it was encrypted with.
    WrongPassphrase,
    /// No public key in PEM, or not Ed25519.
    NotAPublicKey(String),
    /// It does not say which role the key has.
    NoRole,
    /// The role that it names is none.
    UnknownRole(String),
    /// The id that it names is not the key's.
    OtherId(String),
    /// The public key beside it is not that of the private key.
    OtherPair,
    /// The operating system gave no random numbers.
    NoRandomness(String),
    /// The passphrase is empty.
    EmptyPassphrase,
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        match &self.fault {
            Fault::Unreadable(why) => write!(formatter, "cannot read {file}: {why}"),
            Fault::Unwritable(why) => write!(formatter, "cannot write {file}: {why}"),
            Fault::Exists => write!(formatter, "{file} is there already, and a key is never overwritten"),
            Fault::Missing => write!(formatter, "there is no {file}"),
            Fault::TooLarge => write!(formatter, "{file} is too large for a key"),
            Fault::Exposed(mode) => {
                write!(formatter, "{file} is open to others (mode {mode:04o}), so it is no secret: chmod 600 {file}")
            }
            Fault::ExposedDirectory(mode) => {
                write!(formatter, "others can put keys into {file} (mode {mode:04o}): chmod go-w {file}")
            }
            Fault::NotAPrivateKey(why) => {
                write!(formatter, "{file} is no Ed25519 private key in PKCS#8 (PEM): {why}")
            }
            Fault::Encrypted => write!(formatter, "{file} is encrypted and needs its passphrase"),
            Fault::WrongPassphrase => write!(formatter, "that is not the passphrase of {file}, or the file is damaged"),
            Fault::NotAPublicKey(why) => write!(formatter, "{file} is no Ed25519 public key (PEM): {why}"),
            Fault::NoRole => write!(
                formatter,
                "{file} does not say which role the key has: write `# Atoll key, role owner` (or another) above it"
            ),
            Fault::UnknownRole(role) => {
                write!(formatter, "{file}: `{role}` is no role; there are developer, provider, integrator and owner")
            }
            Fault::OtherId(id) => write!(formatter, "{file} says that the key's id is {id}, and it is another"),
            Fault::OtherPair => write!(formatter, "{file} is not the public key of the private key beside it"),
            Fault::NoRandomness(why) => write!(formatter, "no random numbers for {file}: {why}"),
            Fault::EmptyPassphrase => write!(formatter, "the passphrase for {file} is empty"),
        }
    }
}

impl std::error::Error for KeyFileError {}
