//! Finds QEMU and checks that it is recent enough.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::Missing;
use crate::board::Board;

/// The oldest major version that is accepted: from 8 on, an Atoll image's virtual machine was seen to boot.
pub const OLDEST_QEMU: u32 = 8;

const PROGRAM: &str = "qemu-system-aarch64";

/// The oldest major version that has the machine `raspi4b`.
const OLDEST_QEMU_OF_RASPBERRY_PI: u32 = 9;

/// A usable QEMU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qemu {
    /// What is started.
    pub path: PathBuf,
    /// Major, minor and patch version.
    pub version: (u32, u32, u32),
}

impl Qemu {
    /// `$ATOLL_QEMU`, else `qemu-system-aarch64` on the path.
    ///
    /// # Errors
    /// [`Missing`] if there is none or it is too old, with what to install.
    pub fn find() -> Result<Self> {
        match std::env::var_os("ATOLL_QEMU").filter(|path| !path.is_empty()) {
            Some(path) => Self::at(path.into()).context("ATOLL_QEMU"),
            None => Self::at(PROGRAM.into()),
        }
    }

    fn at(path: PathBuf) -> Result<Self> {
        let Ok(output) = Command::new(&path).arg("--version").output() else {
            return Err(Missing::new(format!("{} cannot be started", path.display()), remedy()).into());
        };
        let text = String::from_utf8_lossy(&output.stdout);
        let version = version(&text).with_context(|| format!("{} is not QEMU", path.display()))?;
        let found = Self { path, version };
        found.require(OLDEST_QEMU)?;
        Ok(found)
    }

    /// Whether it has the machine that `board` is shown on.
    ///
    /// # Errors
    /// [`Missing`] where it is too old, with what to install.
    pub fn require_board(&self, board: Board) -> Result<()> {
        if board.is_raspberry_pi() { self.require(OLDEST_QEMU_OF_RASPBERRY_PI) } else { Ok(()) }
    }

    fn require(&self, oldest: u32) -> Result<()> {
        let (major, minor, patch) = self.version;
        if major >= oldest {
            return Ok(());
        }
        let path = self.path.display();
        let what = format!("{path} is QEMU {major}.{minor}.{patch}, and {oldest} or newer is needed");
        Err(Missing::new(what, remedy()).into())
    }
}

fn remedy() -> String {
    "install QEMU for arm64 (Debian 12: `apt-get install -t bookworm-backports qemu-system-arm`; newer Debian and Ubuntu: \
     `apt-get install qemu-system-arm`), or set ATOLL_QEMU to its path"
        .to_owned()
}

/// Takes the version from `QEMU emulator version 10.0.2 (Debian …)`.
fn version(text: &str) -> Result<(u32, u32, u32)> {
    let Some((_, rest)) = text.split_once("QEMU emulator version ") else {
        bail!("it does not say its version");
    };
    let digits = rest.split(|other: char| !other.is_ascii_digit() && other != '.').next().unwrap_or_default();
    let mut parts = digits.split('.').map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    Ok((next(), next(), next()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_version_is_read() {
        assert_eq!(version("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds)\n").expect("a version"), (10, 0, 2));
        assert_eq!(version("QEMU emulator version 9.1-rc1").expect("a version"), (9, 1, 0));
        assert!(version("Bochs").is_err());
    }

    #[test]
    fn what_is_not_there_is_missing_not_broken() {
        let error = Qemu::at("/nonexistent/qemu".into()).expect_err("not there");
        let missing = error.downcast_ref::<Missing>().expect("missing");
        assert!(missing.remedy.contains("apt-get install"), "{missing}");
    }

    #[test]
    fn an_old_one_is_missing_too() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("qemu");
        std::fs::write(&path, "#!/bin/sh\necho QEMU emulator version 7.2.9\n").expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("executable");
        let error = Qemu::at(path).expect_err("too old");
        assert!(error.downcast_ref::<Missing>().expect("missing").what.contains("7.2.9"));
    }

    #[test]
    fn the_raspberry_pi_came_later() {
        let qemu = Qemu { path: "qemu".into(), version: (8, 2, 0) };
        assert!(qemu.require_board(Board::QemuVirtAarch64).is_ok());
        let error = qemu.require_board(Board::Rpi4b2Gb).expect_err("too old");
        assert!(error.downcast_ref::<Missing>().expect("missing").what.contains("9 or newer"));
    }
}
