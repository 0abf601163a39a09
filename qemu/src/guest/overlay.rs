//! Files that one image's guest has beside what every guest has.
//!
//! They are an archive of their own behind the guest's, as the kernel's initramfs format allows: what comes later replaces what
//! was there. So a measurement can put a script in the place of the shell, and nothing of it is in a guest that people boot.

use anyhow::Result;

use super::initramfs::{EXECUTABLE, Initramfs, READABLE};

/// Archives begin at a multiple of this; zeros in between are skipped (Linux, `init/initramfs.c`).
const ALIGNMENT: usize = 4;

/// Files by absolute path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overlay {
    files: Vec<(String, u32, Vec<u8>)>,
}

impl Overlay {
    /// Adds a file to be read.
    pub fn file(&mut self, path: &str, content: impl Into<Vec<u8>>) {
        self.files.push((path.to_owned(), READABLE, content.into()));
    }

    /// Adds a program or a script.
    pub fn program(&mut self, path: &str, content: impl Into<Vec<u8>>) {
        self.files.push((path.to_owned(), EXECUTABLE, content.into()));
    }

    /// The guest's archive with these files behind it.
    ///
    /// # Errors
    /// A path is none, or is there twice.
    pub fn behind(&self, mut archive: Vec<u8>) -> Result<Vec<u8>> {
        if self.files.is_empty() {
            return Ok(archive);
        }
        let mut tree = Initramfs::default();
        for (path, mode, content) in &self.files {
            tree.file(path, *mode, content.as_slice())?;
        }
        archive.resize(archive.len().next_multiple_of(ALIGNMENT), 0);
        archive.extend(tree.to_archive()?);
        Ok(archive)
    }
}

#[cfg(test)]
mod tests {
    use super::super::initramfs::tests::list;
    use super::*;

    #[test]
    fn the_guests_own_archive_stays_and_the_files_follow() {
        let before = b"first".to_vec();
        assert_eq!(Overlay::default().behind(before.clone()).expect("nothing to do"), before);
        let mut overlay = Overlay::default();
        overlay.file("/bench/module.wasm", b"wasm".as_slice());
        overlay.program("/usr/lib/atoll/shell", "#!/bin/sh\n");
        let all = overlay.behind(before).expect("an archive");
        assert_eq!(&all[..8], b"first\0\0\0");
        let listed = list(&all[8..]);
        let file = |path: &str| listed.iter().find(|entry| entry.0 == path).map(|entry| (entry.1, entry.3.clone()));
        assert_eq!(file("bench/module.wasm"), Some((0o100_644, b"wasm".to_vec())));
        assert_eq!(file("usr/lib/atoll/shell"), Some((0o100_755, b"#!/bin/sh\n".to_vec())));
    }

    #[test]
    fn two_files_in_one_place_are_refused() {
        let mut overlay = Overlay::default();
        overlay.file("/a", "");
        overlay.program("/a", "");
        assert!(overlay.behind(Vec::new()).is_err());
    }
}
