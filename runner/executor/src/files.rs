//! The files that a container brings: a tree of folders over the section that they were packed in.
//!
//! It exists so that WASI's calls find files without a copy and without the heap: a folder is a range of the sorted paths, and
//! nothing is kept but the section and where in it each file lies. The section is the container's own word; what is wrong
//! with it fails the load.

use alloc::vec::Vec;

use runner_container::{FILES_SECTION, Files, MAX_FILES, MAX_TEXT_BYTES, Place, SectionFault, custom_sections};
use runner_interfaces::cell::FailureReason;

use crate::failure::Failure;

/// Folders within folders: each takes a letter and a slash of a path.
const MAX_DEPTH: usize = MAX_TEXT_BYTES.div_ceil(2);

// A node is told by a byte for its place among the files and one for its place in the path.
const _: () = assert!(MAX_FILES < 256 && MAX_TEXT_BYTES < 256);

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    Folder(Folder),
    /// The file with that index.
    File(u8),
}

/// A folder: the files below it stand in a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Folder {
    first: u8,
    /// Behind the last.
    end: u8,
    /// Where in their paths the names in this folder begin.
    names_at: u8,
}

/// Why a path leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Astray {
    /// Something before its end is not there, or it is empty.
    Missing,
    /// Something before its end is a file.
    NotAFolder,
    /// It leaves the folder that it begins in.
    Escape,
}

/// The files of one container.
#[derive(Debug, Default)]
pub(crate) struct FileTree {
    section: Vec<u8>,
    places: Vec<Place>,
}

impl FileTree {
    /// Takes the files out of a module, which is valid without them too. A module whose sections cannot be read is left as
    /// it is: the engine says what is wrong with it.
    pub(crate) fn take_out_of(wasm: &mut Vec<u8>) -> Result<Self, Failure> {
        let invalid = |text: core::fmt::Arguments<'_>| Failure::new(FailureReason::InvalidModule, text);
        let found = match runner_container::parts(wasm) {
            Ok(parts) => parts.files,
            Err(error) if error.fault == SectionFault::Twice => return Err(invalid(format_args!("{error}"))),
            Err(_) => None,
        };
        let Some(found) = found else {
            return Ok(Self::default());
        };
        let mut section = Vec::new();
        let out_of_memory = || {
            let text = format_args!("no room for {} bytes of packed files", found.len());
            Failure::new(FailureReason::CellMemory, text)
        };
        section.try_reserve_exact(found.len()).map_err(|_| out_of_memory())?;
        section.extend_from_slice(found);
        let whole = custom_sections(wasm).flatten().find(|section| section.name == FILES_SECTION);
        if let Some(range) = whole.map(|section| section.range) {
            wasm.drain(range);
        }
        Self::new(section).map_err(|error| invalid(format_args!("{error}")))
    }

    fn new(section: Vec<u8>) -> Result<Self, runner_container::FilesError> {
        let places = Files::decode(&section)?.places().collect();
        Ok(Self { section, places })
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// What the file with that index holds.
    pub(crate) fn content(&self, file: u8) -> &[u8] {
        let place = self.places.get(usize::from(file)).map_or(0..0, |place| place.content.clone());
        self.section.get(place).unwrap_or_default()
    }

    /// The folder of all files.
    pub(crate) fn root(&self) -> Folder {
        Folder { first: 0, end: byte(self.places.len()), names_at: 0 }
    }

    /// A number that no other node of the tree has, and never 0.
    pub(crate) fn serial(node: Node) -> u64 {
        // Names begin before the 255th byte of a path, which has 255 at the most.
        let (index, place) = match node {
            Node::Folder(folder) => (folder.first, folder.names_at),
            Node::File(index) => (index, u8::MAX),
        };
        1 + (u64::from(index) << 8) + u64::from(place)
    }

    /// The part of a file's path from `at` on.
    fn rest(&self, index: u8, at: u8) -> &[u8] {
        let path = self.places.get(usize::from(index)).and_then(|place| self.section.get(place.path.clone()));
        path.and_then(|path| path.get(usize::from(at)..)).unwrap_or_default()
    }

    /// The first file of the folder whose path, from the folder's names on, is not below `name` and then `tail`.
    fn lower_bound(&self, folder: Folder, name: &[u8], tail: &[u8]) -> u8 {
        let (mut low, mut high) = (folder.first, folder.end);
        while low < high {
            let middle = low + (high - low) / 2;
            let rest = self.rest(middle, folder.names_at);
            if rest.iter().lt(name.iter().chain(tail)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// What is called `name` in a folder.
    pub(crate) fn child(&self, folder: Folder, name: &[u8]) -> Option<Node> {
        let file = self.lower_bound(folder, name, b"");
        if file < folder.end && self.rest(file, folder.names_at) == name {
            return Some(Node::File(file));
        }
        // `0` is the letter behind `/`.
        let first = self.lower_bound(folder, name, b"/");
        let end = self.lower_bound(folder, name, b"0");
        let names_at = folder.names_at.saturating_add(byte(name.len())).saturating_add(1);
        (first < end).then_some(Node::Folder(Folder { first, end, names_at }))
    }

    /// The entries of a folder with their names, in their order.
    pub(crate) fn entries(&self, folder: Folder) -> impl Iterator<Item = (&[u8], Node)> {
        let mut next = folder.first;
        core::iter::from_fn(move || {
            if next >= folder.end {
                return None;
            }
            let name = self.rest(next, folder.names_at).split(|letter| *letter == b'/').next()?;
            let node = self.child(folder, name)?;
            next = match node {
                Node::Folder(below) => below.end,
                Node::File(index) => index + 1,
            };
            Some((name, node))
        })
    }

    /// Bytes of a folder's path, which [`Self::parent`] follows.
    pub(crate) fn depth_bytes(folder: Folder) -> u64 {
        u64::from(folder.names_at)
    }

    /// The folder around a folder; the root's is itself.
    pub(crate) fn parent(&self, folder: Folder) -> Folder {
        let path = self.rest(folder.first, 0).get(..usize::from(folder.names_at)).unwrap_or_default();
        let mut here = self.root();
        for name in path.split(|letter| *letter == b'/') {
            match self.child(here, name) {
                Some(Node::Folder(below)) if below != folder => here = below,
                _ => break,
            }
        }
        here
    }

    /// Follows a path from a folder. `None` where all is there but what its last name says.
    ///
    /// It looks at each letter of `path` some dozen times at the most.
    pub(crate) fn follow(&self, from: Folder, path: &str) -> Result<Option<Node>, Astray> {
        if path.is_empty() {
            return Err(Astray::Missing);
        }
        if path.starts_with('/') {
            return Err(Astray::Escape);
        }
        let mut here = Node::Folder(from);
        let mut above = [Folder::default(); MAX_DEPTH];
        let mut depth = 0;
        let mut names = path.split('/');
        while let Some(name) = names.next() {
            let Node::Folder(folder) = here else {
                return Err(Astray::NotAFolder);
            };
            match name {
                "" | "." => {}
                ".." if depth == 0 => return Err(Astray::Escape),
                ".." => {
                    depth -= 1;
                    here = Node::Folder(above[depth]);
                }
                name => match self.child(folder, name.as_bytes()) {
                    Some(node) => {
                        // As deep as the deepest path, see `MAX_DEPTH`.
                        above[depth] = folder;
                        depth += 1;
                        here = node;
                    }
                    None if names.all(str::is_empty) => return Ok(None),
                    None => return Err(Astray::Missing),
                },
            }
        }
        Ok(Some(here))
    }
}

/// A number that the limits above keep below 256.
fn byte(number: usize) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use alloc::{string::String, vec};

    use runner_container::{Manifest, embed, encode_files};

    use super::*;

    fn tree(paths: &[&str]) -> FileTree {
        let files: Vec<(&str, &[u8])> = paths.iter().map(|path| (*path, path.as_bytes())).collect();
        FileTree::new(encode_files(&files).unwrap()).unwrap()
    }

    /// The content of the file there, which is its path.
    fn found<'t>(tree: &'t FileTree, path: &str) -> Result<Option<&'t str>, Astray> {
        tree.follow(tree.root(), path).map(|node| match node {
            Some(Node::File(index)) => Some(core::str::from_utf8(tree.content(index)).unwrap()),
            Some(Node::Folder(_)) => Some("folder"),
            None => None,
        })
    }

    #[test]
    fn paths_lead_where_they_say() {
        let tree = tree(&["a", "a-b", "a.d/x", "b/c/d", "b/c/e", "b/c0", "b0"]);
        for path in ["a", "a-b", "a.d/x", "b/c/d", "b/c/e", "b/c0", "b0"] {
            assert_eq!(found(&tree, path), Ok(Some(path)));
        }
        for path in [".", "b", "b/", "b/c//", "./b/./c/.", "b/..", "b/c/../../a.d"] {
            assert_eq!(found(&tree, path), Ok(Some("folder")), "{path}");
        }
        assert_eq!(found(&tree, "b/c/../../b/.//c/e"), Ok(Some("b/c/e")));
        for path in ["c", "b/d", "b/c/f/", "a.", "b/c/", "a.d/x0"].iter().filter(|path| **path != "b/c/") {
            assert_eq!(found(&tree, path), Ok(None), "{path}");
        }
        for path in ["", "c/d", "c/..", "b/x/y"] {
            assert_eq!(found(&tree, path), Err(Astray::Missing), "{path}");
        }
        for path in ["a/", "a/.", "a/..", "b/c/d/e"] {
            assert_eq!(found(&tree, path), Err(Astray::NotAFolder), "{path}");
        }
        for path in ["..", "/a", "b/../..", "b/c/../../../b", "./.."] {
            assert_eq!(found(&tree, path), Err(Astray::Escape), "{path}");
        }
        let Ok(Some(Node::Folder(folder))) = tree.follow(tree.root(), "b") else { panic!("a folder") };
        assert_eq!(
            tree.follow(folder, "../a"),
            Err(Astray::Escape),
            "a folder is the end of the world of its descriptor"
        );
        assert_eq!(tree.parent(folder), tree.root());
        assert_eq!(tree.parent(tree.root()), tree.root());
    }

    #[test]
    fn a_folder_lists_what_is_in_it_once() {
        let tree = tree(&["a", "a-b", "b/c/d", "b/c/e", "b/f", "b0"]);
        let names = |folder| -> Vec<String> {
            tree.entries(folder).map(|(name, _)| String::from_utf8(name.to_vec()).unwrap()).collect()
        };
        assert_eq!(names(tree.root()), ["a", "a-b", "b", "b0"]);
        let Some(Node::Folder(b)) = tree.child(tree.root(), b"b") else { panic!("a folder") };
        assert_eq!(names(b), ["c", "f"]);
        assert_eq!(names(FileTree::default().root()), [""; 0]);
    }

    #[test]
    fn the_deepest_tree_has_a_number_for_each_node() {
        let deepest = ["a"; 128].join("/");
        assert_eq!(deepest.len(), MAX_TEXT_BYTES);
        let tree = tree(&[&deepest, "b", &"c".repeat(255)]);
        let mut serials = vec![FileTree::serial(Node::Folder(tree.root()))];
        for depth in 1..=128 {
            let node = tree.follow(tree.root(), &["a"; 128][..depth].join("/")).unwrap().unwrap();
            serials.push(FileTree::serial(node));
            if let Node::Folder(folder) = node {
                assert_eq!(FileTree::serial(Node::Folder(tree.parent(folder))), serials[depth - 1]);
            }
        }
        serials.push(FileTree::serial(tree.child(tree.root(), b"b").unwrap()));
        serials.push(FileTree::serial(Node::File(2)));
        let count = serials.len();
        serials.sort_unstable();
        serials.dedup();
        assert_eq!(serials.len(), count);
        assert_eq!(tree.follow(tree.root(), &["a"; 129].join("/")), Err(Astray::NotAFolder));
    }

    #[test]
    fn files_are_taken_out_and_the_module_stays_one() {
        let module = wat::parse_str(r#"(module (func (export "_start")))"#).unwrap();
        let manifest = Manifest { name: "test".into(), ..Manifest::default() };
        let mut packed = embed(&module, &manifest, &[("a/b", b"content")]).unwrap();
        let tree = FileTree::take_out_of(&mut packed).unwrap();
        assert_eq!(found(&tree, "a/b").map(|_| tree.content(0)), Ok(&b"content"[..]));
        wasmi::Module::new(&wasmi::Engine::default(), &packed).unwrap();
        assert!(!packed.windows(11).any(|window| window == b"atoll.files"));
        assert!(FileTree::take_out_of(&mut packed).unwrap().is_empty());
    }

    proptest::proptest! {
        #[test]
        fn any_path_is_followed_without_harm(path in "[ab./0]{0,12}", start in "[ab]/[ab]") {
            let tree = tree(&["a/a/a", "a/b", "b/a/b", "b/b/a", "b/b/b"]);
            if let Ok(Some(Node::Folder(folder))) = tree.follow(tree.root(), &start)
                && let Ok(Some(Node::Folder(inner))) = tree.follow(folder, &path)
            {
                proptest::prop_assert!(inner.first >= folder.first && inner.end <= folder.end);
            }
        }
    }
}
