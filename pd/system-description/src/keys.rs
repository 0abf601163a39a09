//! The key table: from a directory of public keys to the bytes of the region `keys`.
//!
//! The directory comes from whoever builds the image, who decides with it whose signatures count on the device. An image whose
//! policy runs nothing unsigned is one for use: it must have somebody's key for every role that a container needs, and none of
//! the demo keys, whose private halves everybody has.

use std::fmt;
use std::path::{Path, PathBuf};

use key_files::{KeyDirectory, public_key};
use runner_tokens::{Key, KeyTable, MAX_KEYS, Role};

use crate::model::System;
use crate::policy::Policy;

/// The demo keys of `qemu/demo-keys`, for images and nodes that were given no others.
const DEMO_KEYS: [&str; 4] = [
    include_str!("../../../qemu/demo-keys/developer.pub"),
    include_str!("../../../qemu/demo-keys/provider.pub"),
    include_str!("../../../qemu/demo-keys/integrator.pub"),
    include_str!("../../../qemu/demo-keys/owner.pub"),
];

/// Without a key of each of these no container can be signed as it must be. A provider's is needed for files alone.
const NEEDED: [Role; 3] = [Role::Developer, Role::Integrator, Role::Owner];

/// Why there is no key table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeysError {
    /// Where the keys were looked for.
    pub directory: PathBuf,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for KeysError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.directory.display(), self.problem)
    }
}

impl std::error::Error for KeysError {}

/// The keys that everybody has.
///
/// # Panics
/// Never: the tests read them.
#[must_use]
pub fn demo() -> Vec<Key> {
    DEMO_KEYS.iter().map(|text| public_key::parse(text).expect("the demo keys are sound")).collect()
}

/// The table of an image with `policy` that is built at `image_time` (seconds since 1970): the public keys in `directory`, or
/// without one the demo keys.
///
/// # Errors
/// A file that is no key, too many of them; and for an image that runs nothing unsigned, a role without a key, or a demo key.
pub fn table(directory: Option<&Path>, policy: &Policy, image_time: u64) -> Result<KeyTable, KeysError> {
    let place = directory.unwrap_or(Path::new("qemu/demo-keys"));
    let wrong = |problem| KeysError { directory: place.to_path_buf(), problem };
    let keys = directory.map_or_else(|| Ok(demo()), read).map_err(wrong)?;
    if keys.len() > MAX_KEYS {
        return Err(wrong(format!("{} keys; a node knows {MAX_KEYS} at the most", keys.len())));
    }
    let production = !policy.board.allow_unsigned;
    if production {
        check_for_use(&keys).map_err(wrong)?;
    }
    Ok(KeyTable { image_time, production, keys, minimums: policy.minimums.clone() })
}

fn read(directory: &Path) -> Result<Vec<Key>, String> {
    let entries = KeyDirectory::at(directory).entries().map_err(|error| error.to_string())?;
    let keys: Result<Vec<Key>, _> = entries.into_iter().map(|entry| entry.key).collect();
    let mut keys = keys.map_err(|error| error.to_string())?;
    if keys.is_empty() {
        return Err("there is no public key (`NAME.pub`) in it; `emit keys new` makes one".into());
    }
    keys.sort_by_key(Key::id);
    match keys.windows(2).find(|pair| pair[0].id() == pair[1].id()) {
        Some(pair) => Err(format!("the key {} is there twice", pair[0].id())),
        None => Ok(keys),
    }
}

/// What holds of the keys of an image that runs nothing unsigned.
fn check_for_use(keys: &[Key]) -> Result<(), String> {
    let demo = demo();
    if let Some(key) = keys.iter().find(|key| demo.iter().any(|known| known.public == key.public)) {
        return Err(format!(
            "the {} key {} is a demo key, and everybody can sign with it; an image that runs signed containers only \
             needs keys of your own (`emit keys new`, `--keys DIR`)",
            key.role,
            key.id()
        ));
    }
    match NEEDED.into_iter().find(|role| !keys.iter().any(|key| key.role == *role)) {
        Some(role) => Err(format!(
            "there is no key of the role {role}; no container could be signed for an image that runs signed ones only"
        )),
        None => Ok(()),
    }
}

/// The bytes of the region `keys`, as long as `system` says it is, the rest zero.
///
/// # Errors
/// The system has no such region, or the table does not fit it; in words.
pub fn region_bytes(table: &KeyTable, system: &System) -> Result<Vec<u8>, String> {
    let region = system.region("keys").ok_or("the system has no memory region `keys`")?;
    let mut bytes = table.encode().map_err(|error| format!("the key table cannot be written: {error}"))?;
    let size = usize::try_from(region.size_bytes).map_err(|_| "the region `keys` is larger than the address space")?;
    if bytes.len() > size {
        return Err(format!("the key table takes {} bytes, the region `keys` has {size}", bytes.len()));
    }
    bytes.resize(size, 0);
    Ok(bytes)
}
