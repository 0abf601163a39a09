//! Private keys: PKCS#8 in PEM, encrypted unless its owner said otherwise, readable by its owner alone.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
};

use ed25519_dalek::{
    SigningKey,
    pkcs8::{DecodePrivateKey, KeypairBytes},
};
use pkcs8::{EncodePrivateKey, LineEnding, PrivateKeyInfoRef};
use runner_tokens::PublicKey;
use zeroize::{Zeroize, Zeroizing};

use crate::{Fault, KeyFileError, public_key::unreadable, read_text};

/// A text that is overwritten when it is dropped.
pub type Secret = Zeroizing<String>;

/// The label of the encrypted form (RFC 7468, 11).
const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";

/// What others may not have at a private key: anything.
const OTHERS: u32 = 0o077;

/// A private key; overwritten when it is dropped.
pub struct PrivateKey(SigningKey);

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("PrivateKey")
    }
}

impl PrivateKey {
    /// A new one, from the operating system's randomness.
    ///
    /// # Errors
    /// There is none.
    pub fn generate() -> Result<Self, Fault> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut()).map_err(|error| Fault::NoRandomness(error.to_string()))?;
        Ok(Self(SigningKey::from_bytes(&seed)))
    }

    /// What makes tokens.
    #[must_use]
    pub fn signing_key(&self) -> runner_tokens::SigningKey {
        runner_tokens::SigningKey::from_secret(&Zeroizing::new(self.0.to_bytes()))
    }

    /// Its public key.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Reads a file, which nobody else may be able to read; `passphrase` is asked only where it is encrypted, and answers
    /// nothing where there is none.
    ///
    /// # Errors
    /// The file cannot be read, others can read it, it holds no such key, or the passphrase is missing or wrong.
    pub fn read<E: From<KeyFileError>>(
        path: &Path,
        passphrase: impl FnOnce() -> Result<Option<Secret>, E>,
    ) -> Result<Self, E> {
        let wrong = |fault| E::from(KeyFileError { file: path.to_path_buf(), fault });
        let file = File::open(path).map_err(|error| wrong(unreadable(&error)))?;
        let mode = mode(path, &file)?;
        if mode & OTHERS != 0 {
            return Err(wrong(Fault::Exposed(mode)));
        }
        let text = read_text(path, file)?;
        Self::parse(path, &text, passphrase)
    }

    /// The same for a file's text that was read already; `path` is only named in errors.
    ///
    /// # Errors
    /// It is no such key, or the passphrase is missing or wrong.
    pub fn parse<E: From<KeyFileError>>(
        path: &Path,
        text: &str,
        passphrase: impl FnOnce() -> Result<Option<Secret>, E>,
    ) -> Result<Self, E> {
        let wrong = |fault| E::from(KeyFileError { file: path.to_path_buf(), fault });
        if !text.contains(ENCRYPTED) {
            return Self::from_pem(text).map_err(wrong);
        }
        let passphrase = passphrase()?.ok_or_else(|| wrong(Fault::Encrypted))?;
        Self::from_encrypted_pem(text, &passphrase).map_err(wrong)
    }

    fn from_pem(text: &str) -> Result<Self, Fault> {
        let key = SigningKey::from_pkcs8_pem(text.trim_end());
        key.map(Self).map_err(|error| Fault::NotAPrivateKey(error.to_string()))
    }

    fn from_encrypted_pem(text: &str, passphrase: &str) -> Result<Self, Fault> {
        let no_key = |error: &dyn std::fmt::Display| Fault::NotAPrivateKey(error.to_string());
        let (_, document) = pkcs8::Document::from_pem(text.trim_end()).map_err(|error| no_key(&error))?;
        let encrypted =
            pkcs8::EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).map_err(|error| no_key(&error))?;
        // Another passphrase shows as padding that is none, or, once in some hundred times, as a document that is none.
        let opened = encrypted.decrypt(passphrase).map_err(|error| match error {
            pkcs8::Error::EncryptedPrivateKey(pkcs8::pkcs5::Error::UnsupportedAlgorithm { .. }) => no_key(&error),
            _ => Fault::WrongPassphrase,
        })?;
        let info = PrivateKeyInfoRef::try_from(opened.as_bytes()).map_err(|_| Fault::WrongPassphrase)?;
        SigningKey::try_from(info).map(Self).map_err(|error| no_key(&error))
    }

    /// The file's text: as `openssl genpkey` writes it, without the public key, which older openssl does not read.
    fn pem(&self, passphrase: Option<&str>) -> Result<Secret, Fault> {
        let unwritable = |error: &dyn std::fmt::Display| Fault::Unwritable(error.to_string());
        let mut pair = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
        let document = pair.to_pkcs8_der();
        pair.secret_key.zeroize();
        let document = document.map_err(|error| unwritable(&error))?;
        let Some(passphrase) = passphrase else {
            return document.to_pem("PRIVATE KEY", LineEnding::LF).map_err(|error| unwritable(&error));
        };
        if passphrase.is_empty() {
            return Err(Fault::EmptyPassphrase);
        }
        let info = PrivateKeyInfoRef::try_from(document.as_bytes()).map_err(|error| unwritable(&error))?;
        let encrypted = info.encrypt(passphrase).map_err(|error| unwritable(&error))?;
        encrypted.to_pem("ENCRYPTED PRIVATE KEY", LineEnding::LF).map_err(|error| unwritable(&error))
    }

    /// Writes a new file that its owner alone can read; encrypted (PBES2 with scrypt and AES-256-CBC) where there is a passphrase.
    ///
    /// # Errors
    /// There is such a file, or it cannot be written.
    pub fn write(&self, path: &Path, passphrase: Option<&str>) -> Result<(), KeyFileError> {
        let wrong = |fault| KeyFileError { file: path.to_path_buf(), fault };
        let text = self.pem(passphrase).map_err(wrong)?;
        write_new(path, text.as_bytes(), 0o600)
    }
}

/// Writes a file that must not be there yet; nothing is left of one that could not be written.
pub(crate) fn write_new(path: &Path, bytes: &[u8], mode: u32) -> Result<(), KeyFileError> {
    let failed = |error: std::io::Error| {
        let exists = error.kind() == std::io::ErrorKind::AlreadyExists;
        let fault = if exists { Fault::Exists } else { Fault::Unwritable(error.to_string()) };
        KeyFileError { file: path.to_path_buf(), fault }
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|error| {
        let _ = std::fs::remove_file(path);
        failed(error)
    })
}

/// What can be seen of a private key's file without its passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Its permissions.
    pub mode: u32,
    /// It wants a passphrase.
    pub encrypted: bool,
}

impl Look {
    /// Looks at a file; none where there is none.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub fn at(path: &Path) -> Result<Option<Self>, KeyFileError> {
        let file = match File::open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            file => file.map_err(|error| KeyFileError { file: path.to_path_buf(), fault: unreadable(&error) })?,
        };
        let mode = mode(path, &file)?;
        Ok(Some(Self { mode, encrypted: read_text(path, file)?.contains(ENCRYPTED) }))
    }

    /// Others have no access, so it is believed.
    #[must_use]
    pub const fn is_private(&self) -> bool {
        self.mode & OTHERS == 0
    }
}

fn mode(path: &Path, file: &File) -> Result<u32, KeyFileError> {
    let metadata = file.metadata();
    let metadata = metadata.map_err(|error| KeyFileError { file: path.to_path_buf(), fault: unreadable(&error) })?;
    Ok(metadata.mode() & 0o7777)
}
