//! The keys on a person's machine: where they are, which one is meant, and how a private one is opened.
//!
//! Trusts the person's own directory of keys as far as nobody else can write to it (`key-files` looks).

use std::path::{Path, PathBuf};

use key_files::{Fault, KeyDirectory, KeyFileError, Look, PrivateKey, Secret, public_key};
use runner_tokens::{Key, KeyId, Role};

use crate::{
    arguments::{KeyPlace, Passphrase},
    exit::Failure,
    session::{Error, Result},
};

impl From<KeyFileError> for Error {
    fn from(error: KeyFileError) -> Self {
        let (kind, hint) = match &error.fault {
            Fault::Exists => ("key-exists", "choose another name"),
            Fault::Missing => ("no-such-key", "`emit keys list` shows those that there are"),
            Fault::Exposed(_) => ("key-exposed", "whoever could read it may sign with it: if in doubt, make a new one"),
            Fault::ExposedDirectory(_) => ("keys-exposed", ""),
            Fault::Encrypted | Fault::EmptyPassphrase => {
                ("passphrase", "give it with --passphrase-file FILE, or type it at a terminal")
            }
            Fault::WrongPassphrase => ("wrong-passphrase", ""),
            Fault::NotAPrivateKey(_) => {
                ("not-a-key", "`emit keys new`, or `openssl genpkey -algorithm ed25519`, makes one")
            }
            Fault::NotAPublicKey(_)
            | Fault::NoRole
            | Fault::UnknownRole(_)
            | Fault::OtherId(_)
            | Fault::OtherPair
            | Fault::TooLarge => ("not-a-key", ""),
            Fault::Unreadable(_) | Fault::Unwritable(_) | Fault::NoRandomness(_) => (Failure::File.kind(), ""),
        };
        Self { kind, hint, ..Self::new(Failure::File, error.to_string()) }
    }
}

/// The directory that was named, or the person's own.
pub(crate) fn directory(place: &KeyPlace) -> Result<KeyDirectory> {
    if let Some(path) = &place.directory {
        return Ok(KeyDirectory::at(path));
    }
    KeyDirectory::of_person().ok_or_else(|| Error {
        hint: "name one with --keys DIRECTORY",
        ..Error::new(Failure::Usage, "nobody says where keys are: neither XDG_CONFIG_HOME nor HOME is set")
    })
}

/// The passphrase of a key that is there: from the file, or asked for; none where nobody can be asked.
pub(crate) fn passphrase(options: &Passphrase, path: &Path) -> Result<Option<Secret>> {
    match &options.passphrase_file {
        Some(file) => from_file(file).map(Some),
        None => Ok(ask(&format!("Passphrase of {}: ", path.display())).ok()),
    }
}

/// The passphrase for a new key: from the file, or asked for twice.
pub(crate) fn new_passphrase(options: &Passphrase, name: &str) -> Result<Secret> {
    if let Some(file) = &options.passphrase_file {
        return from_file(file);
    }
    let nobody = |_| Error {
        hint: "give a passphrase with --passphrase-file FILE, or leave the key unencrypted with --no-passphrase",
        kind: "passphrase",
        ..Error::new(Failure::Usage, "a private key is encrypted, and there is no terminal to ask for a passphrase at")
    };
    let first = ask(&format!("Passphrase for the new key {name}: ")).map_err(nobody)?;
    let second = ask("The same again: ").map_err(nobody)?;
    if first == second {
        return Ok(first);
    }
    Err(Error { kind: "passphrase", ..Error::new(Failure::Usage, "the passphrases differ") })
}

fn ask(prompt: &str) -> std::io::Result<Secret> {
    rpassword::prompt_password(prompt).map(Secret::new)
}

/// The first line, as `openssl -passin file:` has it.
fn from_file(path: &Path) -> Result<Secret> {
    let unreadable = |error: std::io::Error| {
        Error::new(Failure::File, format!("cannot read the passphrase from {}: {error}", path.display()))
    };
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let text = key_files::read_text(path, file)?;
    Ok(Secret::new(text.lines().next().unwrap_or_default().to_owned()))
}

/// A private key that was named, still closed.
#[derive(Debug)]
pub(crate) struct Signer {
    path: PathBuf,
    /// As the file beside it says, where there is one.
    public: Option<Key>,
}

/// Finds the private key of that name, or in that file (a word with a `/`, or that ends with `.pem`).
pub(crate) fn signer(directory: &KeyDirectory, word: &str) -> Result<Signer> {
    let is_path = word.contains('/') || Path::new(word).extension().is_some_and(|ending| ending == "pem");
    let path = if is_path { PathBuf::from(word) } else { directory.private_path(word) };
    if Look::at(&path)?.is_none() {
        return Err(KeyFileError { file: path, fault: Fault::Missing }.into());
    }
    let public = match public_key::read(&path.with_extension("pub")) {
        Err(KeyFileError { fault: Fault::Missing, .. }) => None,
        public => Some(public?),
    };
    Ok(Signer { path, public })
}

impl Signer {
    /// The key's role, where it is known.
    pub(crate) fn role(&self) -> Option<Role> {
        self.public.map(|public| public.role)
    }

    /// Opens it: with the passphrase, where it has one.
    pub(crate) fn open(&self, options: &Passphrase) -> Result<PrivateKey> {
        let key = PrivateKey::read(&self.path, || passphrase(options, &self.path))?;
        match self.public {
            Some(public) if public.public != key.public() => {
                Err(KeyFileError { file: self.path.with_extension("pub"), fault: Fault::OtherPair }.into())
            }
            _ => Ok(key),
        }
    }
}

/// The public key of that name or id, with its name.
pub(crate) fn named(directory: &KeyDirectory, word: &str) -> Result<(String, Key)> {
    if let Ok(id) = word.parse::<KeyId>()
        && let Some(found) = directory.of_id(id)?
    {
        return Ok(found);
    }
    if !key_files::check_name(word) {
        let message = format!("`{word}` is neither a key's name nor the id of one in {}", directory.path().display());
        return Err(Error {
            kind: "no-such-key",
            hint: "`emit keys list` shows those that there are",
            ..Error::new(Failure::File, message)
        });
    }
    Ok((word.to_owned(), directory.public(word)?))
}
