//! Debian's apt with folders of its own, for packages of another architecture.
//!
//! It reads the machine's sources and signing keys and writes nothing outside the cache; apt itself checks the mirror's
//! signatures. Its answers are text for people, so only its exit status and the fields of Debian's own control format are
//! relied on.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, bail, ensure};

use super::super::lock::Package;

/// Debian's keys, as the package `debian-archive-keyring` installs them (on Ubuntu too).
const DEBIAN_KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Debian's public mirror.
const DEBIAN_MIRROR: &str = "http://deb.debian.org/debian";

/// Free software, and what a Raspberry Pi's first processor runs before ours.
const COMPONENTS: &str = "main non-free-firmware";

/// Where packages come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// What `/etc/apt` says.
    Machine,
    /// Debian's public mirror, this release.
    Debian { release: String },
}

impl Source {
    /// What is tried, in this order.
    pub(super) fn candidates(release: &str) -> Vec<Self> {
        let mut candidates = vec![Self::Machine];
        if Path::new(DEBIAN_KEYS).exists() {
            candidates.push(Self::Debian { release: release.to_owned() });
        }
        candidates
    }

    fn folder_name(&self) -> &str {
        match self {
            Self::Machine => "machine",
            Self::Debian { release } => release,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Machine => formatter.write_str("this machine's apt sources"),
            Self::Debian { release } => write!(formatter, "{DEBIAN_MIRROR} {release}"),
        }
    }
}

/// Apt with its state in one folder.
#[derive(Debug)]
pub(super) struct Apt {
    source: Source,
    options: Vec<String>,
}

impl Apt {
    pub(super) fn is_installed() -> bool {
        Command::new("apt-get").arg("--version").output().is_ok_and(|output| output.status.success())
    }

    /// Makes the folders. Apt is not started yet.
    pub(super) fn prepare(cache: &Path, architecture: &str, source: Source) -> Result<Self> {
        let folder = cache.join("apt").join(source.folder_name());
        for needed in ["state/lists/partial", "cache/archives/partial"] {
            let path = folder.join(needed);
            fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        let mut options = base_options(&folder, architecture);
        if let Source::Debian { release } = &source {
            options.extend(source_list_options(&folder, release)?);
        }
        Ok(Self { source, options })
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// Fetches the lists of what the source has. Some of the machine's sources may not know the architecture: what counts is
    /// whether a package is found afterwards.
    pub(super) fn update(&self) -> Result<()> {
        self.run("apt-get", &["update".into()], Path::new("/")).map(|_| ())
    }

    /// Puts the package's file into a folder. The lists are fetched only when the package is not in those that are there.
    pub(super) fn download(&self, package: &Package, folder: &Path) -> Result<()> {
        let arguments = ["download".into(), package.apt_argument().into()];
        if self.run_checked("apt-get", &arguments, folder).is_ok() {
            return Ok(());
        }
        self.update()?;
        self.run_checked("apt-get", &arguments, folder).map(|_| ())
    }

    /// Each version that the source has of a package: `name | version | address suite/component architecture Packages`.
    pub(super) fn versions(&self, name: &str) -> Result<String> {
        self.run_checked("apt-cache", &["madison".into(), name.into()], Path::new("/"))
    }

    /// The control fields of exactly this version.
    pub(super) fn fields(&self, name: &str, version: &str) -> Result<String> {
        let package = format!("{name}={version}");
        self.run_checked("apt-cache", &["show".into(), "--no-all-versions".into(), package.into()], Path::new("/"))
    }

    fn run_checked(&self, program: &str, arguments: &[OsString], folder: &Path) -> Result<String> {
        let output = self.run(program, arguments, folder)?;
        if !output.status.success() {
            bail!("{}", complaint(&output));
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn run(&self, program: &str, arguments: &[OsString], folder: &Path) -> Result<Output> {
        Command::new(program)
            .args(self.options.iter().flat_map(|option| ["-o", option.as_str()]))
            .args(arguments)
            .current_dir(folder)
            // Its messages are passed on in errors; in English they can be looked up.
            .env("LC_ALL", "C")
            .output()
            .with_context(|| format!("cannot start {program}"))
    }
}

/// Folders of its own, one architecture, and no other user: `_apt` could not write into a person's folders.
fn base_options(folder: &Path, architecture: &str) -> Vec<String> {
    vec![
        format!("Dir::State={}", folder.join("state").display()),
        "Dir::State::status=/dev/null".to_owned(),
        format!("Dir::Cache={}", folder.join("cache").display()),
        format!("APT::Architecture={architecture}"),
        format!("APT::Architectures={architecture}"),
        "APT::Sandbox::User=".to_owned(),
        "Acquire::Languages=none".to_owned(),
        // A silent network is an error after this many seconds, not a wait for ever.
        "Acquire::http::Timeout=30".to_owned(),
        "Acquire::https::Timeout=30".to_owned(),
    ]
}

/// Options that replace the machine's sources by Debian's public mirror.
fn source_list_options(folder: &Path, release: &str) -> Result<[String; 2]> {
    let path: PathBuf = folder.join("sources.list");
    let line = format!("deb [signed-by={DEBIAN_KEYS}] {DEBIAN_MIRROR} {release} {COMPONENTS}\n");
    fs::write(&path, line).with_context(|| format!("cannot write {}", path.display()))?;
    Ok([format!("Dir::Etc::sourcelist={}", path.display()), "Dir::Etc::sourceparts=-".to_owned()])
}

/// What apt complained about, on one line.
fn complaint(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let errors: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("E: ")).collect();
    if errors.is_empty() { format!("apt failed ({})", output.status) } else { errors.join(", ") }
}

/// One field of Debian's control format; the first paragraph that has it counts.
pub(super) fn field<'a>(fields: &'a str, name: &str) -> Result<&'a str> {
    let value = fields
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .with_context(|| format!("apt does not say the package's {name}"))?
        .trim();
    ensure!(!value.is_empty(), "apt says nothing for the package's {name}");
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apt_writes_only_into_its_folder() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let source = Source::Debian { release: "bookworm".to_owned() };
        let apt = Apt::prepare(folder.path(), "arm64", source).expect("prepared");
        let own = folder.path().join("apt/bookworm");
        for key in ["Dir::State=", "Dir::Cache=", "Dir::Etc::sourcelist="] {
            let option = apt.options.iter().find(|option| option.starts_with(key)).expect("set");
            assert!(Path::new(&option[key.len()..]).starts_with(&own), "{option}");
        }
        let list = fs::read_to_string(own.join("sources.list")).expect("written");
        assert!(list.starts_with("deb [signed-by="), "unsigned sources are not an option: {list}");
    }

    #[test]
    fn a_field_is_found_by_its_whole_name() {
        let fields = "Package: x\nSHA256: abc\nSize: 12\nInstalled-Size: 99\nEmpty:\n";
        assert_eq!(field(fields, "Size").expect("there"), "12");
        assert_eq!(field(fields, "SHA256").expect("there"), "abc");
        assert!(field(fields, "SHA").is_err());
        assert!(field(fields, "Empty").is_err());
    }
}
