//! The Linux guest: an unmodified Debian kernel and a busybox initramfs, made without root rights.
//!
//! Everything that goes in is either in this repository or a Debian package pinned by name, version and SHA-256
//! (`qemu/guest/packages.lock.toml`). The same input gives the same bytes, and an image that is up to date is left alone.
//! No foreign program writes the image; the packages are unpacked here, and nothing in them chooses where a file is written.

pub mod agent;
mod contents;
pub mod debian_package;
mod initramfs;
mod kernel;
pub mod lock;
mod overlay;
pub mod packages;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

pub use agent::AgentSource;
pub use contents::READY_LINE;
pub use overlay::Overlay;
pub use packages::LockUpdate;

use contents::Contents;
use kernel::KernelParts;
use lock::Lock;
use packages::PackageCache;

/// Told what is going on, a line at a time: unpacking takes seconds, a download longer.
pub type Progress<'a> = dyn Fn(&str) + 'a;

/// What to build the guest from, and where to.
#[derive(Debug, Clone)]
pub struct GuestOptions {
    /// The repository's root.
    pub workspace: PathBuf,
    /// The folder that receives the image.
    pub output: PathBuf,
    /// The folder that keeps downloaded packages.
    pub cache: PackageCache,
    /// Where the guest's `emit` comes from.
    pub agent: AgentSource,
}

impl GuestOptions {
    /// The repository this crate was built from, its `target/guest`, the person's cache, `emit` built from source.
    ///
    /// # Errors
    /// No folder for the cache can be named: neither `ATOLL_CACHE` nor `HOME` is set.
    pub fn from_environment() -> Result<Self> {
        let workspace = workspace_root();
        Ok(Self {
            output: workspace.join("target/guest"),
            workspace,
            cache: PackageCache::from_environment()?,
            agent: AgentSource::Build,
        })
    }

    /// The lock file that pins the packages.
    #[must_use]
    pub fn lock_file(&self) -> PathBuf {
        self.workspace.join("qemu/guest/packages.lock.toml")
    }
}

/// A guest that can be booted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestImage {
    /// A raw arm64 `Image`, as the boot protocol in Linux's `Documentation/arm64/booting.rst` wants it.
    pub kernel: PathBuf,
    /// An uncompressed `newc` archive.
    pub initramfs: PathBuf,
    /// What `uname -r` says, e.g. `6.1.0-50-arm64`.
    pub kernel_release: String,
}

/// Builds the guest, or finds that it is up to date.
///
/// # Errors
/// [`Missing`](crate::Missing) when a package cannot be fetched here or no compiler for the guest is found, with what to do;
/// anything else is a package that is not what the lock says, or a file that cannot be read or written.
pub fn build_guest(options: &GuestOptions, progress: &Progress<'_>) -> Result<GuestImage> {
    let lock = Lock::read(&options.lock_file())?;
    fs::create_dir_all(&options.output).with_context(|| format!("cannot make {}", options.output.display()))?;
    let agent = agent::obtain(options, progress)?;
    let parts = kernel::unpack_once(options, &lock, progress)?;
    let busybox = unpack_busybox_once(options, &lock, progress)?;
    let contents = Contents {
        busybox: read(&busybox)?,
        agent: agent.as_deref().map(read).transpose()?,
        samples: read_samples(&options.workspace.join("examples/prebuilt"))?,
        modules: parts.modules.clone(),
        kernel_release: parts.release.clone(),
    };
    write_image(options, &parts, &contents.archive()?, progress)
}

/// Pins what the mirrors have now in the lock file. A person asks for it and reviews the change.
///
/// # Errors
/// [`Missing`](crate::Missing) where there is no apt; else the mirrors cannot be reached or do not have the packages.
pub fn update_lock(options: &GuestOptions, progress: &Progress<'_>) -> Result<LockUpdate> {
    packages::update_lock(&options.lock_file(), &options.cache, progress)
}

/// Where this crate's sources say the repository is.
fn workspace_root() -> PathBuf {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    crate_folder.parent().unwrap_or(crate_folder).to_path_buf()
}

fn write_image(
    options: &GuestOptions,
    parts: &KernelParts,
    archive: &[u8],
    progress: &Progress<'_>,
) -> Result<GuestImage> {
    let initramfs = options.output.join("initramfs.cpio");
    if fs::read(&initramfs).is_ok_and(|written| written == archive) {
        progress("the guest's image is up to date");
    } else {
        replace(&initramfs, archive)?;
        progress(&format!("wrote {} ({} KiB)", initramfs.display(), archive.len() / 1024));
    }
    Ok(GuestImage { kernel: parts.image.clone(), initramfs, kernel_release: parts.release.clone() })
}

fn unpack_busybox_once(options: &GuestOptions, lock: &Lock, progress: &Progress<'_>) -> Result<PathBuf> {
    let unpacked = options.output.join(format!("busybox-{}", &lock.busybox.sha256[..16]));
    if unpacked.exists() {
        return Ok(unpacked);
    }
    let package = options.cache.obtain(&lock.release, &lock.busybox, progress)?;
    let program = debian_package::read_file(&package, "bin/busybox")?;
    replace(&unpacked, &program)?;
    Ok(unpacked)
}

/// Sample containers by file name, sorted; none where the folder is absent.
fn read_samples(folder: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(Vec::new());
    };
    let mut samples = Vec::new();
    for entry in entries {
        let path = entry.with_context(|| format!("cannot list {}", folder.display()))?.path();
        if path.extension().is_some_and(|extension| extension == "wasm")
            && let Some(name) = path.file_name().and_then(|name| name.to_str())
        {
            samples.push((name.to_owned(), read(&path)?));
        }
    }
    samples.sort();
    Ok(samples)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Writes a file in one step: whoever looks sees the old content or the new, never half of it.
fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let folder = path.parent().context("a file to write has a folder")?;
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    let written = tempfile::Builder::new()
        .permissions(readable)
        .tempfile_in(folder)
        .and_then(|mut file| std::io::Write::write_all(&mut file, content).map(|()| file))
        .with_context(|| format!("cannot write into {}", folder.display()))?;
    written.persist(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}

/// The SHA-256 of some bytes, as 64 lower-case hexadecimal digits.
fn sha256_hex(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_the_wasm_files_in_name_order() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, content) in [("b.wasm", "2"), ("a.wasm", "1"), ("notes.md", "no")] {
            fs::write(folder.path().join(name), content).expect("a writable folder");
        }
        let samples = read_samples(folder.path()).expect("a readable folder");
        assert_eq!(samples, [("a.wasm".to_owned(), b"1".to_vec()), ("b.wasm".to_owned(), b"2".to_vec())]);
    }

    #[test]
    fn no_folder_of_samples_means_no_samples() {
        assert_eq!(read_samples(Path::new("/nonexistent/samples")).expect("no error"), []);
    }

    #[test]
    fn sha256_is_written_as_hexadecimal() {
        // FIPS 180-2, appendix B.1: the digest of "abc".
        assert_eq!(sha256_hex(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn replacing_a_file_leaves_only_the_new_one() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("image");
        replace(&path, b"old").expect("written");
        replace(&path, b"new").expect("written");
        assert_eq!(fs::read(&path).expect("readable"), b"new");
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 1);
    }
}
