//! Where a node keeps its sockets, logs and process numbers: one directory a node, its user's alone.
//!
//! A lock in it says whether a node runs there; Linux gives the lock back when the launcher ends, however it ends.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};

/// The socket that `emit` connects to.
pub const NODE_SOCKET: &str = "emit.sock";

/// The socket of the simulated bank; see [`crate::pins`].
pub const PINS_SOCKET: &str = "gpio.sock";

/// Holds the launcher's process number once every domain has started.
pub(crate) const READY_FILE: &str = "ready";

const LOCK_FILE: &str = "lock";

/// Where a node is unless somebody says otherwise: `$ATOLL_RUN_DIRECTORY`, `$XDG_RUNTIME_DIR/atoll`, or `/tmp/atoll-UID`.
pub fn default_path() -> PathBuf {
    if let Some(directory) = std::env::var_os("ATOLL_RUN_DIRECTORY") {
        return directory.into();
    }
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(directory) => Path::new(&directory).join("atoll"),
        None => PathBuf::from(format!("/tmp/atoll-{}", rustix::process::getuid().as_raw())),
    }
}

/// The log of a domain.
pub fn log_file(directory: &Path, domain: &str) -> PathBuf {
    directory.join(domain).with_extension("log")
}

/// The file with a domain's process number.
pub(crate) fn process_file(directory: &Path, domain: &str) -> PathBuf {
    directory.join(domain).with_extension("pid")
}

/// A run directory that this launcher has claimed.
pub(crate) struct RunDirectory {
    path: PathBuf,
    lock: File,
}

impl RunDirectory {
    /// Creates it where it is missing, and takes its lock.
    pub(crate) fn claim(path: &Path) -> Result<Self> {
        make_private(path)?;
        let lock_path = path.join(LOCK_FILE);
        let mut lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .with_context(|| format!("cannot open {}", lock_path.display()))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let owner = fs::read_to_string(&lock_path).unwrap_or_default();
            bail!(
                "a node runs in {} already (process {}); stop it, or choose another place with --run-directory",
                path.display(),
                owner.trim()
            );
        }
        lock.set_len(0)?;
        writeln!(lock, "{}", std::process::id())?;
        let directory = Self { path: path.to_owned(), lock };
        directory.sweep();
        Ok(directory)
    }

    /// Makes it, and takes its lock.
    pub(crate) fn claim_new(path: &Path) -> Result<Self> {
        let mut builder = fs::DirBuilder::new();
        builder.mode(0o700).create(path).with_context(|| format!("cannot make the directory {}", path.display()))?;
        Self::claim(path)
    }

    /// Removes it with all that is in it: only one of [`RunDirectory::claim_new`] has nothing of anybody else's.
    pub(crate) fn remove(self) -> Result<()> {
        fs::remove_dir_all(&self.path).with_context(|| format!("cannot remove {}", self.path.display()))
    }

    /// The directory.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// An empty log for `domain`, readable by this user alone.
    pub(crate) fn open_log(&self, domain: &str, keep: bool) -> Result<File> {
        let path = log_file(&self.path, domain);
        let mut options = OpenOptions::new();
        options.create(true).mode(0o600);
        if keep {
            options.append(true)
        } else {
            options.write(true).truncate(true)
        };
        options.open(&path).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Writes down which process a domain is.
    pub(crate) fn note_process(&self, domain: &str, process: u32) -> Result<()> {
        replace(&process_file(&self.path, domain), &format!("{process}\n"))
    }

    /// The domain has no process now. Its number may soon be somebody else's.
    pub(crate) fn forget_process(&self, domain: &str) {
        // Missing is as good as removed.
        let _ = fs::remove_file(process_file(&self.path, domain));
    }

    /// Says that every domain has started.
    pub(crate) fn note_ready(&self) -> Result<()> {
        replace(&self.path.join(READY_FILE), &format!("{}\n", std::process::id()))
    }

    /// Removes what only a running node has. Logs stay.
    fn sweep(&self) {
        let Ok(entries) = fs::read_dir(&self.path) else { return };
        for entry in entries.flatten() {
            let path = entry.path();
            let name = entry.file_name();
            let is_process = path.extension().is_some_and(|extension| extension == "pid");
            if is_process || [NODE_SOCKET, PINS_SOCKET, READY_FILE].iter().any(|&known| name == known) {
                // What cannot be removed will fail where it is made anew, with its name.
                let _ = fs::remove_file(path);
            }
        }
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        self.sweep();
        let _ = self.lock.set_len(0);
    }
}

/// Writes a file so that nobody sees half of it.
fn replace(path: &Path, text: &str) -> Result<()> {
    let draft = path.with_extension("new");
    fs::write(&draft, text).with_context(|| format!("cannot write {}", draft.display()))?;
    fs::rename(&draft, path).with_context(|| format!("cannot write {}", path.display()))
}

/// Makes the directory, or sees that the one that is there is ours alone: in `/tmp` anybody could have made it.
fn make_private(path: &Path) -> Result<()> {
    let mut builder = fs::DirBuilder::new();
    match builder.recursive(true).mode(0o700).create(path) {
        Ok(()) => {}
        Err(error) => return Err(error).with_context(|| format!("cannot make the directory {}", path.display())),
    }
    let found = fs::symlink_metadata(path).with_context(|| format!("cannot look at {}", path.display()))?;
    if !found.is_dir() || found.uid() != rustix::process::getuid().as_raw() {
        bail!("{} is not a directory of this user's", path.display());
    }
    if found.mode() & 0o077 != 0 {
        fs::set_permissions(path, Permissions::from_mode(0o700))
            .with_context(|| format!("cannot make {} private", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_claimed_by_one_node_at_a_time() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let path = place.path().join("node");
        let first = RunDirectory::claim(&path).expect("free");
        let error = RunDirectory::claim(&path).err().expect("taken").to_string();
        assert!(error.contains("runs in") && error.contains(&std::process::id().to_string()), "{error}");
        drop(first);
        RunDirectory::claim(&path).expect("free again");
    }

    #[test]
    fn it_is_its_users_alone_and_swept_of_what_is_left_over() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let path = place.path().join("node");
        fs::create_dir(&path).expect("made");
        fs::set_permissions(&path, Permissions::from_mode(0o777)).expect("opened to everybody");
        for name in [NODE_SOCKET, "cell0.pid", "cell0.log"] {
            fs::write(path.join(name), "old").expect("written");
        }
        let claimed = RunDirectory::claim(&path).expect("free");
        assert_eq!(fs::metadata(claimed.path()).expect("there").mode() & 0o777, 0o700);
        assert!(!path.join(NODE_SOCKET).exists() && !path.join("cell0.pid").exists());
        assert!(path.join("cell0.log").exists(), "logs are for reading afterwards");
    }

    #[test]
    fn a_new_one_goes_with_its_node_and_is_nobody_elses() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let path = place.path().join("node");
        let new = RunDirectory::claim_new(&path).expect("free");
        fs::write(path.join("cell0.log"), "said").expect("written");
        assert!(RunDirectory::claim_new(&path).is_err());
        new.remove().expect("removed");
        assert!(!path.exists());
        fs::create_dir(&path).expect("made");
        assert!(RunDirectory::claim_new(&path).is_err(), "what was there before is not removed later");
    }

    #[test]
    fn a_link_that_somebody_laid_is_refused() {
        let place = tempfile::tempdir().expect("a temporary directory");
        let path = place.path().join("link");
        std::os::unix::fs::symlink("/tmp", &path).expect("linked");
        assert!(RunDirectory::claim(&path).is_err());
    }
}
