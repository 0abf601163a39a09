//! Public keys: a line with role and id, then the PEM that openssl reads.

use std::{fs::File, path::Path};

use ed25519_dalek::{
    VerifyingKey,
    pkcs8::{DecodePublicKey, EncodePublicKey, spki::der::pem::LineEnding},
};
use runner_tokens::{Key, PublicKey, Role};
use sha2::{Digest, Sha256};

use crate::{Fault, KeyFileError, read_text};

/// Begins the line that says what the key is for. Text before the PEM is passed over by openssl (RFC 7468, 5.2).
const MARK: &str = "# Atoll key, role ";

/// Between role and id.
const ID_MARK: &str = ", id ";

/// The SHA-256 of the key, of which the id is the beginning: what two people read to each other.
#[must_use]
pub fn fingerprint(key: &Key) -> String {
    let digest: [u8; 32] = Sha256::digest(key.public.0).into();
    let group = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    digest.chunks(4).map(group).collect::<Vec<_>>().join(" ")
}

/// The text of a public key's file.
///
/// # Errors
/// The bytes are no key.
pub fn text(key: &Key) -> Result<String, Fault> {
    Ok(format!("{MARK}{}{ID_MARK}{}\n{}", key.role, key.id(), pem(key)?))
}

/// Its PEM alone.
///
/// # Errors
/// The bytes are no key.
pub fn pem(key: &Key) -> Result<String, Fault> {
    let key = VerifyingKey::from_bytes(&key.public.0).map_err(|error| Fault::NotAPublicKey(error.to_string()))?;
    key.to_public_key_pem(LineEnding::LF).map_err(|error| Fault::NotAPublicKey(error.to_string()))
}

/// Reads the text of a public key's file.
///
/// # Errors
/// No role, no key, a weak key, or an id that is not the key's.
pub fn parse(text: &str) -> Result<Key, Fault> {
    let public = PublicKey(key_of_pem(text)?);
    let about = text.lines().find_map(|line| line.trim_end().strip_prefix(MARK)).ok_or(Fault::NoRole)?;
    let (role, id) = match about.split_once(ID_MARK) {
        Some((role, id)) => (role, Some(id)),
        None => (about, None),
    };
    let role = Role::of_name(role).ok_or_else(|| Fault::UnknownRole(role.to_owned()))?;
    match id {
        Some(id) if id.parse() != Ok(public.id()) => Err(Fault::OtherId(id.to_owned())),
        _ => Ok(Key { role, public }),
    }
}

/// Reads a public key's file.
///
/// # Errors
/// It cannot be read, or as [`parse`].
pub fn read(path: &Path) -> Result<Key, KeyFileError> {
    let wrong = |fault| KeyFileError { file: path.to_path_buf(), fault };
    let file = File::open(path).map_err(|error| wrong(unreadable(&error)))?;
    parse(&read_text(path, file)?).map_err(wrong)
}

/// A key of small order would verify signatures that nobody made.
fn key_of_pem(text: &str) -> Result<[u8; 32], Fault> {
    // The reader wants nothing behind the PEM.
    let key =
        VerifyingKey::from_public_key_pem(text.trim_end()).map_err(|error| Fault::NotAPublicKey(error.to_string()))?;
    if key.is_weak() {
        return Err(Fault::NotAPublicKey("it is a weak key".into()));
    }
    Ok(key.to_bytes())
}

/// A file that is not there is told apart: that is mostly a mistyped name.
pub(crate) fn unreadable(error: &std::io::Error) -> Fault {
    if error.kind() == std::io::ErrorKind::NotFound { Fault::Missing } else { Fault::Unreadable(error.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key of RFC 8032, 7.1, test 1.
    const KEY: [u8; 32] = [
        0xd7, 0x5a, 0x98, 0x01, 0x82, 0xb1, 0x0a, 0xb7, 0xd5, 0x4b, 0xfe, 0xd3, 0xc9, 0x64, 0x07, 0x3a, 0x0e, 0xe1,
        0x72, 0xf3, 0xda, 0xa6, 0x23, 0x25, 0xaf, 0x02, 0x1a, 0x68, 0xf7, 0x07, 0x51, 0x1a,
    ];

    fn key() -> Key {
        Key { role: Role::Integrator, public: PublicKey(KEY) }
    }

    #[test]
    fn text_is_read_as_it_was_written() {
        let text = text(&key()).unwrap();
        assert_eq!(parse(&text), Ok(key()));
        assert!(text.starts_with("# Atoll key, role integrator, id "), "{text}");
        assert_eq!(parse(&text.replace('\n', "\r\n")), Ok(key()), "an editor may have made it so");
        assert!(fingerprint(&key()).replace(' ', "").starts_with(&key().id().to_string()));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let (text, pem) = (text(&key()).unwrap(), pem(&key()).unwrap());
        assert_eq!(parse(&pem), Err(Fault::NoRole));
        assert_eq!(parse(&format!("# Atoll key, role integrator\n{pem}")), Ok(key()), "the id may be left out");
        assert_eq!(parse(&text.replace("integrator", "king")), Err(Fault::UnknownRole("king".into())));
        let other = text.replace(&key().id().to_string(), "0123456789abcdef");
        assert_eq!(parse(&other), Err(Fault::OtherId("0123456789abcdef".into())));
        for broken in ["", &text[..text.len() - 30], &text.replace("MCow", "MCox")] {
            assert!(matches!(parse(broken), Err(Fault::NotAPublicKey(_))), "{broken}");
        }
    }

    #[test]
    fn a_key_of_small_order_is_none() {
        let mut neutral = [0; 32];
        neutral[0] = 1;
        let text = text(&Key { role: Role::Owner, public: PublicKey(neutral) }).unwrap();
        assert_eq!(parse(&text), Err(Fault::NotAPublicKey("it is a weak key".into())));
    }
}
