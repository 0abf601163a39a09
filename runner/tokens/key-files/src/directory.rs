//! A directory of keys: pairs made, found by name or id, and listed.

use std::{
    env, fs,
    os::unix::fs::{DirBuilderExt, MetadataExt},
    path::{Path, PathBuf},
};

use runner_tokens::{Key, KeyId, Role};

use crate::{Fault, KeyFileError, PrivateKey, private_key::write_new, public_key};

/// The longest name of a key.
const MAX_NAME_BYTES: usize = 40;

/// What others may not have at a directory of keys: to put one into it.
const WRITE_BY_OTHERS: u32 = 0o022;

/// Whether it can name a key: letters, digits, `-` and `_`, the first one no `-`. No dot, so that files are told by their endings.
#[must_use]
pub fn check_name(name: &str) -> bool {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    plain && (1..=MAX_NAME_BYTES).contains(&name.len()) && !name.starts_with('-')
}

/// A public key that was found in a directory.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its files' name without their endings.
    pub name: String,
    /// The key, or what is wrong with its file.
    pub key: Result<Key, KeyFileError>,
}

/// A directory of keys.
#[derive(Clone, Debug)]
pub struct KeyDirectory {
    path: PathBuf,
}

impl KeyDirectory {
    /// That directory, which need not be there.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// A person's own: `$XDG_CONFIG_HOME/atoll/keys`, else `~/.config/atoll/keys`; none where neither is known.
    #[must_use]
    pub fn of_person() -> Option<Self> {
        let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let configuration = absolute("XDG_CONFIG_HOME").or_else(|| Some(absolute("HOME")?.join(".config")))?;
        Some(Self::at(configuration.join("atoll/keys")))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The private key's file.
    #[must_use]
    pub fn private_path(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.pem"))
    }

    /// The public key's file.
    #[must_use]
    pub fn public_path(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.pub"))
    }

    /// Puts a pair into it; makes the directory where it is not there, for its owner alone.
    ///
    /// # Errors
    /// There is a key of that name, others can write to the directory, or the files cannot be written. Then nothing of the pair
    /// is left.
    pub fn add(&self, name: &str, role: Role, key: &PrivateKey, passphrase: Option<&str>) -> Result<Key, KeyFileError> {
        self.make()?;
        let public = Key { role, public: key.public() };
        let (private_path, public_path) = (self.private_path(name), self.public_path(name));
        if public_path.exists() {
            return Err(KeyFileError { file: public_path, fault: Fault::Exists });
        }
        let text = public_key::text(&public).map_err(|fault| KeyFileError { file: public_path.clone(), fault })?;
        key.write(&private_path, passphrase)?;
        write_new(&public_path, text.as_bytes(), 0o644).inspect_err(|_| {
            let _ = fs::remove_file(&private_path);
        })?;
        Ok(public)
    }

    fn make(&self) -> Result<(), KeyFileError> {
        let wrong = |fault| KeyFileError { file: self.path.clone(), fault };
        let unwritable = |error: std::io::Error| wrong(Fault::Unwritable(error.to_string()));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.path).map_err(unwritable)?;
        let mode = fs::metadata(&self.path).map_err(unwritable)?.mode() & 0o7777;
        if mode & WRITE_BY_OTHERS == 0 { Ok(()) } else { Err(wrong(Fault::ExposedDirectory(mode))) }
    }

    /// The public key of that name.
    ///
    /// # Errors
    /// There is none, or its file is not well.
    pub fn public(&self, name: &str) -> Result<Key, KeyFileError> {
        public_key::read(&self.public_path(name))
    }

    /// All public keys, ascending by name. A directory that is not there has none.
    ///
    /// # Errors
    /// The directory cannot be read; a file that is not well is told in its entry.
    pub fn entries(&self) -> Result<Vec<Entry>, KeyFileError> {
        let unreadable = |error: std::io::Error| KeyFileError {
            file: self.path.clone(),
            fault: Fault::Unreadable(error.to_string()),
        };
        let files = match fs::read_dir(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            files => files.map_err(unreadable)?,
        };
        let mut entries = Vec::new();
        for file in files {
            let path = file.map_err(unreadable)?.path();
            if path.extension().is_some_and(|ending| ending == "pub") {
                let name = path.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                entries.push(Entry { name, key: public_key::read(&path) });
            }
        }
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(entries)
    }

    /// The name and the key of that id.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn of_id(&self, id: KeyId) -> Result<Option<(String, Key)>, KeyFileError> {
        let entries = self.entries()?.into_iter().filter_map(|entry| Some((entry.name, entry.key.ok()?)));
        Ok(entries.into_iter().find(|(_, key)| key.id() == id))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use runner_tokens::PublicKey;

    use super::*;
    use crate::Secret;

    type Read = Result<PrivateKey, KeyFileError>;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    fn pair() -> (tempfile::TempDir, KeyDirectory, PrivateKey) {
        let place = tempfile::tempdir().unwrap();
        let directory = KeyDirectory::at(place.path().join("a/keys"));
        (place, directory, PrivateKey::generate().unwrap())
    }

    #[test]
    fn a_pair_is_read_back_and_its_owner_s_alone() {
        let (_place, directory, key) = pair();
        let public = directory.add("dev", Role::Developer, &key, None).unwrap();
        assert_eq!((mode(directory.path()), mode(&directory.private_path("dev"))), (0o700, 0o600));
        assert_eq!(directory.public("dev"), Ok(public));
        let read: Read = PrivateKey::read(&directory.private_path("dev"), || panic!("nobody is asked"));
        assert_eq!(read.unwrap().public(), key.public());
        assert_eq!(directory.of_id(public.id()), Ok(Some(("dev".into(), public))));
        assert_eq!(directory.of_id(KeyId([0; 8])), Ok(None));
    }

    #[test]
    fn an_encrypted_key_wants_its_passphrase() {
        let (_place, directory, key) = pair();
        directory.add("dev", Role::Owner, &key, Some("tide")).unwrap();
        let path = directory.private_path("dev");
        let read = |passphrase: Option<&str>| -> Result<PublicKey, Fault> {
            let read: Read = PrivateKey::read(&path, || Ok(passphrase.map(|text| Secret::new(text.into()))));
            read.map(|key| key.public()).map_err(|error| error.fault)
        };
        assert_eq!(read(Some("tide")), Ok(key.public()));
        assert_eq!(read(Some("ebb")), Err(Fault::WrongPassphrase));
        assert_eq!(read(None), Err(Fault::Encrypted));
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"), "{text}");
        assert_eq!(directory.add("b", Role::Owner, &key, Some("")).unwrap_err().fault, Fault::EmptyPassphrase);
        assert!(!directory.public_path("b").exists());
    }

    #[test]
    fn what_others_can_read_is_refused() {
        let (_place, directory, key) = pair();
        directory.add("dev", Role::Developer, &key, None).unwrap();
        let path = directory.private_path("dev");
        for open in [0o640, 0o604, 0o620, 0o644] {
            fs::set_permissions(&path, fs::Permissions::from_mode(open)).unwrap();
            let read: Read = PrivateKey::read(&path, || Ok(None));
            assert_eq!(read.unwrap_err().fault, Fault::Exposed(open));
        }
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o770)).unwrap();
        let refused = directory.add("b", Role::Developer, &key, None).unwrap_err();
        assert_eq!(refused.fault, Fault::ExposedDirectory(0o770));
    }

    #[test]
    fn nothing_is_overwritten_and_nothing_half_is_left() {
        let (_place, directory, key) = pair();
        directory.add("dev", Role::Developer, &key, None).unwrap();
        let before = fs::read(directory.private_path("dev")).unwrap();
        let other = PrivateKey::generate().unwrap();
        assert_ne!(other.public(), key.public());
        for role in Role::ALL {
            assert_eq!(directory.add("dev", role, &other, None).unwrap_err().fault, Fault::Exists);
        }
        fs::remove_file(directory.public_path("dev")).unwrap();
        assert_eq!(directory.add("dev", Role::Owner, &other, None).unwrap_err().fault, Fault::Exists);
        assert_eq!(fs::read(directory.private_path("dev")).unwrap(), before);
        // The other way round.
        fs::write(directory.public_path("b"), "somebody's").unwrap();
        assert_eq!(directory.add("b", Role::Owner, &other, None).unwrap_err().fault, Fault::Exists);
        assert!(!directory.private_path("b").exists());
    }

    #[test]
    fn a_file_that_is_not_well_is_told_among_the_others() {
        let (_place, directory, key) = pair();
        assert!(directory.entries().unwrap().is_empty(), "no directory yet");
        directory.add("dev", Role::Developer, &key, None).unwrap();
        fs::write(directory.public_path("broken"), "no key").unwrap();
        let entries = directory.entries().unwrap();
        let names: Vec<_> = entries.iter().map(|entry| (entry.name.as_str(), entry.key.is_ok())).collect();
        assert_eq!(names, [("broken", false), ("dev", true)]);
    }

    #[test]
    fn names_are_plain() {
        for (name, good) in
            [("dev", true), ("a-b_1", true), ("", false), ("a.b", false), ("../a", false), ("-a", false)]
        {
            assert_eq!(check_name(name), good, "{name}");
        }
        assert!(!check_name(&"a".repeat(41)));
    }
}
