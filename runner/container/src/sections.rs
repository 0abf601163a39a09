//! A module's sections, found by their numbers and lengths alone.
//!
//! It exists so that a domain finds manifest and files without a WebAssembly parser, before it knows whether the rest is
//! valid. It trusts nothing: a section that does not fit ends the walk with an error.

use core::{fmt, ops::Range};

/// The section of the manifest.
pub const MANIFEST_SECTION: &str = "atoll.app";

/// The section of the files.
pub const FILES_SECTION: &str = "atoll.files";

/// The section of the developer's token, about the code (`runner-tokens`, as the next three).
pub const CODE_SECTION: &str = "atoll.code";

/// The section of the provider's token, about the files.
pub const DATA_SECTION: &str = "atoll.data";

/// The section of the integrator's token, about code, files and manifest together.
pub const METADATA_SECTION: &str = "atoll.metadata";

/// The section of the owner's token, about rights.
pub const GRANT_SECTION: &str = "atoll.grant";

/// Atoll's sections in the order that they have at the end of a signed container.
pub const OWN_SECTIONS: [&str; 6] =
    [MANIFEST_SECTION, FILES_SECTION, CODE_SECTION, DATA_SECTION, METADATA_SECTION, GRANT_SECTION];

/// Custom sections whose names begin so are Atoll's.
pub const OWN_PREFIX: &str = "atoll.";

/// `\0asm`, version 1 (WebAssembly core specification, 5.5.16).
pub(crate) const HEADER: &[u8] = b"\0asm\x01\0\0\0";

/// The number of a custom section (WebAssembly core specification, 5.5.2).
pub(crate) const CUSTOM: u8 = 0;

/// The most bytes of a 32-bit LEB128 number.
const MAX_LEB_BYTES: usize = 5;

/// Any section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawSection<'w> {
    /// Its number.
    pub id: u8,
    /// What it holds, without number and length.
    pub body: &'w [u8],
    /// Where it lies in the module, with number and length.
    pub range: Range<usize>,
}

/// A custom section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section<'w> {
    /// Its name.
    pub name: &'w str,
    /// What it holds, without the name.
    pub bytes: &'w [u8],
    /// Where it lies in the module, with number and length.
    pub range: Range<usize>,
}

impl Section<'_> {
    /// Whether its lengths are written in the shortest form, so that name and content have one encoding.
    #[must_use]
    pub fn is_shortest(&self) -> bool {
        let named = leb_bytes(self.name.len()) + self.name.len() + self.bytes.len();
        self.range.len() == 1 + leb_bytes(named) + named
    }
}

/// The bytes of the shortest unsigned LEB128 number of that value.
fn leb_bytes(value: usize) -> usize {
    let bits = usize::BITS - value.leading_zeros();
    bits.div_ceil(7).max(1) as usize
}

/// What is wrong with a module's sections, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SectionError {
    /// What.
    pub fault: SectionFault,
    /// The byte of the module where the faulty section begins.
    pub offset: usize,
}

/// Kinds of [`SectionError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SectionFault {
    /// It does not begin as a core module of version 1.
    NotAModule,
    /// The length is no LEB128 number of 32 bits.
    BadLength,
    /// It goes beyond the module's end.
    Truncated,
    /// A custom section's name is cut off or no UTF-8.
    BadName,
    /// A section of Atoll's is there twice.
    Twice,
}

impl fmt::Display for SectionError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.fault {
            SectionFault::NotAModule => return formatter.write_str("it does not begin as a WebAssembly module"),
            SectionFault::BadLength => "has no valid length",
            SectionFault::Truncated => "goes beyond the end of the module",
            SectionFault::BadName => "has a name that is cut off or not UTF-8",
            SectionFault::Twice => "is there for the second time",
        };
        write!(formatter, "the section at byte {} {text}", self.offset)
    }
}

impl core::error::Error for SectionError {}

/// All sections in their order. An error ends the iteration.
pub fn sections(wasm: &[u8]) -> impl Iterator<Item = Result<RawSection<'_>, SectionError>> {
    let mut next = Some(0);
    core::iter::from_fn(move || {
        let mut offset = next?;
        next = None;
        if offset == 0 {
            if !wasm.starts_with(HEADER) {
                return Some(Err(SectionError { fault: SectionFault::NotAModule, offset }));
            }
            offset = HEADER.len();
        }
        let id = *wasm.get(offset)?;
        let found = one(wasm, id, offset);
        next = found.as_ref().ok().map(|section| section.range.end);
        Some(found)
    })
}

/// A custom section as it is; another one is `None`.
///
/// # Errors
/// Its name is cut off or no UTF-8.
pub fn custom<'w>(section: &RawSection<'w>) -> Result<Option<Section<'w>>, SectionError> {
    (section.id == CUSTOM).then(|| named(section)).transpose()
}

fn one(wasm: &[u8], id: u8, offset: usize) -> Result<RawSection<'_>, SectionError> {
    let failed = |fault| SectionError { fault, offset };
    let (length, start) = read_u32(wasm, offset + 1).map_err(failed)?;
    let length = usize::try_from(length).map_err(|_| failed(SectionFault::Truncated))?;
    let end = start.checked_add(length).ok_or(failed(SectionFault::Truncated))?;
    let body = wasm.get(start..end).ok_or(failed(SectionFault::Truncated))?;
    Ok(RawSection { id, body, range: offset..end })
}

/// The custom sections in their order. An error ends the iteration.
pub fn custom_sections(wasm: &[u8]) -> impl Iterator<Item = Result<Section<'_>, SectionError>> {
    let mut failed = false;
    sections(wasm)
        .filter(|section| section.as_ref().map_or(true, |section| section.id == CUSTOM))
        .map(|section| section.and_then(|section| named(&section)))
        .take_while(move |section| {
            let go_on = !failed;
            failed |= section.is_err();
            go_on
        })
}

fn named<'w>(section: &RawSection<'w>) -> Result<Section<'w>, SectionError> {
    let failed = SectionError { fault: SectionFault::BadName, offset: section.range.start };
    let (length, start) = read_u32(section.body, 0).map_err(|_| failed)?;
    let end = usize::try_from(length).ok().and_then(|length| start.checked_add(length)).ok_or(failed)?;
    let name = section.body.get(start..end).and_then(|name| core::str::from_utf8(name).ok()).ok_or(failed)?;
    Ok(Section { name, bytes: section.body.get(end..).unwrap_or_default(), range: section.range.clone() })
}

/// What a container holds of Atoll's, not yet decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts<'w> {
    /// `atoll.app`, for [`crate::Manifest::decode`].
    pub manifest: Option<&'w [u8]>,
    /// `atoll.files`, for [`crate::Files::decode`].
    pub files: Option<&'w [u8]>,
}

/// Finds manifest and files. Sections of Atoll's that this version does not know are passed over.
///
/// # Errors
/// What is wrong with the module's sections; either of the two there twice.
pub fn parts(wasm: &[u8]) -> Result<Parts<'_>, SectionError> {
    let mut parts = Parts::default();
    for section in custom_sections(wasm) {
        let section = section?;
        let place = match section.name {
            MANIFEST_SECTION => &mut parts.manifest,
            FILES_SECTION => &mut parts.files,
            _ => continue,
        };
        if place.replace(section.bytes).is_some() {
            return Err(SectionError { fault: SectionFault::Twice, offset: section.range.start });
        }
    }
    Ok(parts)
}

/// An unsigned LEB128 number of at most 32 bits, and where the bytes behind it begin. Padded forms are valid WebAssembly.
fn read_u32(bytes: &[u8], position: usize) -> Result<(u32, usize), SectionFault> {
    let mut value = 0_u64;
    for (index, byte) in bytes.get(position..).unwrap_or_default().iter().take(MAX_LEB_BYTES).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let value = u32::try_from(value).map_err(|_| SectionFault::BadLength)?;
            return Ok((value, position + index + 1));
        }
    }
    let ended = bytes.len().saturating_sub(position) < MAX_LEB_BYTES;
    Err(if ended { SectionFault::Truncated } else { SectionFault::BadLength })
}

/// Appends `value` as unsigned LEB128.
pub(crate) fn push_u32(bytes: &mut alloc::vec::Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
}

/// Appends a custom section to a module.
///
/// # Errors
/// [`SectionFault::BadLength`] where 32 bits do not hold its length.
pub fn append_custom_section(module: &mut alloc::vec::Vec<u8>, name: &str, bytes: &[u8]) -> Result<(), SectionError> {
    let too_long = SectionError { fault: SectionFault::BadLength, offset: module.len() };
    let name_bytes = u32::try_from(name.len()).map_err(|_| too_long)?;
    let named = leb_bytes(name.len()) + name.len() + bytes.len();
    let named = u32::try_from(named).map_err(|_| too_long)?;
    module.push(CUSTOM);
    push_u32(module, named);
    push_u32(module, name_bytes);
    module.extend_from_slice(name.as_bytes());
    module.extend_from_slice(bytes);
    Ok(())
}
