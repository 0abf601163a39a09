//! Writes an initramfs: the kernel's `newc` archive (Linux, `Documentation/driver-api/early-userspace/buffer-format.rst`).
//!
//! Owners are root and times zero whoever builds it, entries are sorted, so the same input gives the same bytes. Device
//! nodes exist only inside the archive: no root rights are needed.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use cpio::newc::{Builder, ModeFileType, trailer};

/// Programs and scripts.
pub(super) const EXECUTABLE: u32 = 0o755;
/// Everything else.
pub(super) const READABLE: u32 = 0o644;

/// A file tree that becomes an archive. Paths are absolute and made of names; parents are made as needed.
#[derive(Debug, Default)]
pub(super) struct Initramfs {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug)]
enum Entry {
    Directory,
    File { mode: u32, content: Vec<u8> },
    CharacterDevice { mode: u32, major: u32, minor: u32 },
}

impl Initramfs {
    /// Adds an empty directory.
    pub(super) fn directory(&mut self, path: &str) -> Result<()> {
        let name = entry_name(path)?;
        self.parents_of(name)?;
        self.entries.entry(name.to_owned()).or_insert(Entry::Directory);
        Ok(())
    }

    /// Adds a file.
    pub(super) fn file(&mut self, path: &str, mode: u32, content: impl Into<Vec<u8>>) -> Result<()> {
        self.add(path, Entry::File { mode, content: content.into() })
    }

    /// Adds a character device's node.
    pub(super) fn character_device(&mut self, path: &str, mode: u32, major: u32, minor: u32) -> Result<()> {
        self.add(path, Entry::CharacterDevice { mode, major, minor })
    }

    /// The archive's bytes.
    pub(super) fn to_archive(&self) -> Result<Vec<u8>> {
        let mut archive = Vec::new();
        // The kernel takes entries that share a number and have several links for one file: numbers count up.
        for ((name, entry), number) in self.entries.iter().zip(1_u32..) {
            archive = entry.write(Builder::new(name).ino(number), archive)?;
        }
        trailer(archive).context("an archive in memory can be ended")
    }

    fn add(&mut self, path: &str, entry: Entry) -> Result<()> {
        let name = entry_name(path)?;
        self.parents_of(name)?;
        ensure!(self.entries.insert(name.to_owned(), entry).is_none(), "{path} would be in the initramfs twice");
        Ok(())
    }

    fn parents_of(&mut self, name: &str) -> Result<()> {
        for (end, _) in name.match_indices('/') {
            let parent = self.entries.entry(name[..end].to_owned()).or_insert(Entry::Directory);
            ensure!(matches!(parent, Entry::Directory), "/{} is not a directory", &name[..end]);
        }
        Ok(())
    }
}

impl Entry {
    fn write(&self, builder: Builder, archive: Vec<u8>) -> Result<Vec<u8>> {
        let (builder, content): (Builder, &[u8]) = match self {
            Self::Directory => (builder.mode(EXECUTABLE).set_mode_file_type(ModeFileType::Directory).nlink(2), &[]),
            Self::File { mode, content } => (builder.mode(*mode).set_mode_file_type(ModeFileType::Regular), content),
            Self::CharacterDevice { mode, major, minor } => {
                let builder = builder.mode(*mode).set_mode_file_type(ModeFileType::Char);
                (builder.rdev_major(*major).rdev_minor(*minor), &[])
            }
        };
        let size = u32::try_from(content.len()).context("a file in an initramfs is smaller than 4 GiB")?;
        let mut writer = builder.write(archive, size);
        std::io::Write::write_all(&mut writer, content)?;
        writer.finish().context("an entry in memory can be ended")
    }
}

/// The name that an archive stores for an absolute path: without the leading slash.
fn entry_name(path: &str) -> Result<&str> {
    let name = path.strip_prefix('/').with_context(|| format!("{path} is not absolute"))?;
    let is_name = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
    ensure!(name.split('/').all(is_name), "{path} is not a path of names");
    Ok(name)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::io::Read;

    /// What an archive holds: path, mode with the file's type, device numbers, content.
    pub(in super::super) type Listed = (String, u32, (u32, u32), Vec<u8>);

    pub(in super::super) fn list(archive: &[u8]) -> Vec<Listed> {
        let mut listed = Vec::new();
        let mut rest = archive;
        loop {
            let mut reader = cpio::newc::Reader::new(rest).expect("an entry");
            let entry = reader.entry().clone();
            if entry.is_trailer() {
                return listed;
            }
            let mut content = Vec::new();
            reader.read_to_end(&mut content).expect("the content");
            rest = reader.finish().expect("the next entry");
            assert_eq!((entry.uid(), entry.gid(), entry.mtime()), (0, 0, 0), "{}", entry.name());
            listed.push((entry.name().to_owned(), entry.mode(), (entry.rdev_major(), entry.rdev_minor()), content));
        }
    }

    #[test]
    fn an_archive_holds_what_was_added_with_parents_first() {
        let mut tree = Initramfs::default();
        tree.file("/usr/bin/emit", EXECUTABLE, b"ELF".to_vec()).expect("added");
        tree.character_device("/dev/console", 0o600, 5, 1).expect("added");
        tree.directory("/usr/bin").expect("already there is fine");
        let listed = list(&tree.to_archive().expect("an archive"));
        assert_eq!(
            listed,
            [
                ("dev".to_owned(), 0o040_755, (0, 0), vec![]),
                ("dev/console".to_owned(), 0o020_600, (5, 1), vec![]),
                ("usr".to_owned(), 0o040_755, (0, 0), vec![]),
                ("usr/bin".to_owned(), 0o040_755, (0, 0), vec![]),
                ("usr/bin/emit".to_owned(), 0o100_755, (0, 0), b"ELF".to_vec()),
            ]
        );
    }

    #[test]
    fn the_order_of_adding_does_not_change_a_byte() {
        let archive = |paths: [&str; 3]| {
            let mut tree = Initramfs::default();
            for path in paths {
                tree.file(path, READABLE, path).expect("added");
            }
            tree.to_archive().expect("an archive")
        };
        assert_eq!(archive(["/a", "/b/c", "/b.d"]), archive(["/b.d", "/b/c", "/a"]));
    }

    #[test]
    fn parents_stand_before_children_even_where_sorting_by_name_might_not() {
        let mut tree = Initramfs::default();
        tree.file("/a/b", READABLE, "").expect("added");
        tree.file("/a-b", READABLE, "").expect("added");
        let names: Vec<_> = list(&tree.to_archive().expect("an archive")).into_iter().map(|entry| entry.0).collect();
        let place = |name: &str| names.iter().position(|other| other == name);
        assert!(place("a") < place("a/b"), "{names:?}");
    }

    #[test]
    fn paths_that_are_none_are_refused() {
        let mut tree = Initramfs::default();
        for path in ["init", "/", "/a//b", "/a/../b", "/a/.", "/a\0b"] {
            assert!(tree.file(path, READABLE, "").is_err(), "{path:?}");
        }
    }

    #[test]
    fn two_things_in_one_place_are_refused() {
        let mut tree = Initramfs::default();
        tree.file("/a", READABLE, "").expect("added");
        assert!(tree.file("/a", READABLE, "").is_err());
        assert!(tree.file("/a/b", READABLE, "").is_err(), "a file is no directory");
    }
}
