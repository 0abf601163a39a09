//! Read-only files packed into a container.
//!
//! A CBOR array of `[path, content]`, sorted by path. Decoding looks at all of it once and keeps nothing but the slice, so a
//! cell serves files out of the module that it holds anyway.

use alloc::vec::Vec;
use core::{fmt, ops::Range};

use minicbor::Encoder;

use crate::{
    MAX_FILES, MAX_FILES_BYTES,
    cbor::{Fault, Reader, Result as Read, Violation},
    text::check_path,
};

// The strict reader's bound on lists is the bound on files too.
const _: () = assert!(MAX_FILES == crate::MAX_ENTRIES);

/// What is wrong with `atoll.files`, and at which byte of the section; 0 where it was not read but about to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilesError {
    /// The rule that was broken.
    pub violation: Violation,
    /// Where.
    pub offset: usize,
}

impl fmt::Display for FilesError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the packed files, at byte {}: {}", self.offset, self.violation)
    }
}

impl core::error::Error for FilesError {}

impl From<Fault> for FilesError {
    fn from(fault: Fault) -> Self {
        Self { violation: fault.violation, offset: fault.offset }
    }
}

/// Where a file lies in the section, for whoever keeps the section and looks at it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its path, which is UTF-8.
    pub path: Range<usize>,
    /// Its content.
    pub content: Range<usize>,
}

/// The files of a container, borrowed from its `atoll.files`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Files<'b> {
    /// Valid.
    bytes: &'b [u8],
}

impl<'b> Files<'b> {
    /// No files.
    pub const NONE: Self = Self { bytes: &[0x80] };

    /// Checks all of the section. Allocates nothing.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn decode(bytes: &'b [u8]) -> Result<Self, FilesError> {
        if bytes.len() > MAX_FILES_BYTES {
            return Err(FilesError { violation: Violation::TooLarge, offset: 0 });
        }
        let mut reader = Reader::new(bytes);
        let count = reader.array()?;
        let files = Self { bytes };
        let mut last = None;
        for index in 0..count {
            let offset = reader.position();
            let (path, _) = entry(&mut reader)?;
            check_path(path).map_err(|violation| FilesError { violation, offset })?;
            if last.is_some_and(|last| path <= last) {
                return Err(FilesError { violation: Violation::EntryOrder, offset });
            }
            if files.first(index).any(|(folder, _)| is_folder_of(folder, path)) {
                return Err(FilesError { violation: Violation::PathIsFolder, offset });
            }
            last = Some(path);
        }
        reader.end()?;
        Ok(files)
    }

    /// Path and content, sorted by path.
    pub fn iter(&self) -> impl Iterator<Item = (&'b str, &'b [u8])> + use<'b> {
        self.first(MAX_FILES)
    }

    /// Where each of them lies, in the order of [`Self::iter`].
    pub fn places(&self) -> impl Iterator<Item = Place> + use<'b> {
        let mut reader = Reader::new(self.bytes);
        let all = reader.array().unwrap_or(0);
        (0..all).map_while(move |_| place(&mut reader).ok())
    }

    /// The first so many; ends early where there are fewer.
    fn first(&self, count: usize) -> impl Iterator<Item = (&'b str, &'b [u8])> + use<'b> {
        let mut reader = Reader::new(self.bytes);
        let all = reader.array().unwrap_or(0);
        (0..count.min(all)).map_while(move |_| entry(&mut reader).ok())
    }

    /// The content of the file of that path.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&'b [u8]> {
        self.iter().find(|(other, _)| *other == path).map(|(_, content)| content)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }
}

fn entry<'b>(reader: &mut Reader<'b>) -> Read<(&'b str, &'b [u8])> {
    reader.tuple(2)?;
    Ok((reader.text()?, reader.bytes()?))
}

fn place(reader: &mut Reader<'_>) -> Read<Place> {
    reader.tuple(2)?;
    // What was read last ends where the reader is.
    let path = reader.text()?.len();
    let path = reader.position() - path..reader.position();
    let content = reader.bytes()?.len();
    Ok(Place { path, content: reader.position() - content..reader.position() })
}

/// Whether `path` lies below `folder`.
fn is_folder_of(folder: &str, path: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// Encodes files, given in any order.
///
/// # Errors
/// What [`Files::decode`] would refuse.
pub fn encode_files(files: &[(&str, &[u8])]) -> Result<Vec<u8>, FilesError> {
    let mut sorted = files.to_vec();
    sorted.sort_by_key(|(path, _)| *path);
    let mut encoder = Encoder::new(Vec::new());
    write(&mut encoder, &sorted).expect("a vector takes everything");
    let bytes = encoder.into_writer();
    Files::decode(&bytes)?;
    Ok(bytes)
}

fn write(
    encoder: &mut Encoder<Vec<u8>>,
    files: &[(&str, &[u8])],
) -> Result<(), minicbor::encode::Error<core::convert::Infallible>> {
    encoder.array(files.len() as u64)?;
    for (path, content) in files {
        encoder.array(2)?.str(path)?.bytes(content)?;
    }
    Ok(())
}
