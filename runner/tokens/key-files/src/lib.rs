//! Role keys as files: what a party signs with, and what a node is told to trust.
//!
//! It exists so that whoever makes keys (`emit keys`), signs with them and builds them into an image means the same by a file.
//! A key pair is two files in a directory: `NAME.pem`, the private key as PKCS#8 that openssl reads and makes too, and
//! `NAME.pub`, the public key as openssl's PEM behind a line that says its role. It trusts the directory's owner; a private key
//! that others can read is refused, since nobody knows who has it.
#![forbid(unsafe_code)]

mod directory;
mod error;
mod private_key;
pub mod public_key;

pub use directory::{Entry, KeyDirectory, check_name};
pub use error::{Fault, KeyFileError};
pub use private_key::{Look, PrivateKey, Secret};

/// The largest key file that is read: ten times a private key with its encryption.
const MAX_FILE_BYTES: usize = 8 * 1024;

/// Reads a key file of at most [`MAX_FILE_BYTES`]; `path` is only named in errors.
///
/// # Errors
/// It cannot be read, is no text, or too large.
pub fn read_text(path: &std::path::Path, file: impl std::io::Read) -> Result<Secret, KeyFileError> {
    use std::io::Read;
    // Room for all of it, since a text that grows leaves copies behind.
    let mut text = Secret::new(String::with_capacity(2 * MAX_FILE_BYTES));
    let wrong = |fault| KeyFileError { file: path.to_path_buf(), fault };
    file.take(MAX_FILE_BYTES as u64 + 1)
        .read_to_string(&mut text)
        .map_err(|error| wrong(Fault::Unreadable(error.to_string())))?;
    if text.len() > MAX_FILE_BYTES { Err(wrong(Fault::TooLarge)) } else { Ok(text) }
}
