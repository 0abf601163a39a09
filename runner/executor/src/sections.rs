//! A module's start function, taken out before the module is compiled.
//!
//! `wasmi` 2.0 runs the start function to its end as part of instantiation, where no slice and no stop can interrupt it.
//! So the section is cut out and the function exported under [`START_EXPORT`], for the cell to call it as it calls every
//! hook. Nothing here validates: a module that is malformed is passed on as it is, and the engine says what is wrong with it.

use alloc::vec::Vec;
use core::ops::Range;

/// What the start function is exported as. A module that has both a start function and this export is refused as invalid
/// (two exports of one name).
pub(crate) const START_EXPORT: &str = "atoll:start-function";

/// Bytes of `\0asm` and the version.
const HEADER_BYTES: usize = 8;

/// `\0asm`, version 1 (WebAssembly core specification, 5.5.16).
const CORE_MODULE: &[u8] = b"\0asm\x01\0\0\0";

/// Section numbers (WebAssembly core specification, 5.5.2).
mod section {
    #[cfg(test)]
    pub(super) const CUSTOM: u8 = 0;
    pub(super) const EXPORT: u8 = 7;
    pub(super) const START: u8 = 8;
}

/// Whether the bytes begin as a core module does.
pub(crate) fn is_core_module(wasm: &[u8]) -> bool {
    wasm.starts_with(CORE_MODULE)
}

/// One section's place in the module.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Section {
    id: u8,
    /// With number and length in front.
    whole: Range<usize>,
    body: Range<usize>,
}

/// The sections up to the end or to the first that does not fit.
fn sections(wasm: &[u8]) -> impl Iterator<Item = Section> {
    let mut position = HEADER_BYTES;
    core::iter::from_fn(move || {
        let id = *wasm.get(position)?;
        let (length, body) = read_u32(wasm, position + 1)?;
        let end = body.checked_add(length as usize).filter(|end| *end <= wasm.len())?;
        let found = Section { id, whole: position..end, body: body..end };
        position = end;
        Some(found)
    })
}

/// The module with its start function exported instead, or `None` where it has none (or is malformed).
pub(crate) fn without_start_section(wasm: &[u8]) -> Option<Vec<u8>> {
    let start = sections(wasm).find(|found| found.id == section::START)?;
    let (function, _) = read_u32(wasm, start.body.start)?;
    let export = sections(wasm).find(|found| found.id == section::EXPORT);
    // An export section stands before the start section, or nowhere: then the new one takes the start section's place.
    let replaced = export.as_ref().map_or(start.whole.clone(), |found| found.whole.clone());
    if replaced.start > start.whole.start {
        return None;
    }
    let body = exports_with_start(wasm, export.map(|found| found.body), function)?;
    let mut rewritten = Vec::new();
    rewritten.try_reserve_exact(wasm.len() + body.len()).ok()?;
    rewritten.extend_from_slice(&wasm[..replaced.start]);
    rewritten.push(section::EXPORT);
    write_u32(&mut rewritten, u32::try_from(body.len()).ok()?);
    rewritten.extend_from_slice(&body);
    if replaced.end <= start.whole.start {
        rewritten.extend_from_slice(&wasm[replaced.end..start.whole.start]);
    }
    rewritten.extend_from_slice(&wasm[start.whole.end..]);
    Some(rewritten)
}

/// The export section's body with one more entry.
fn exports_with_start(wasm: &[u8], exports: Option<Range<usize>>, function: u32) -> Option<Vec<u8>> {
    let (count, entries) = match exports {
        Some(body) => {
            let (count, first) = read_u32(wasm, body.start)?;
            (count, wasm.get(first..body.end)?)
        }
        None => (0, &[][..]),
    };
    let mut body = Vec::new();
    write_u32(&mut body, count.checked_add(1)?);
    body.extend_from_slice(entries);
    write_u32(&mut body, u32::try_from(START_EXPORT.len()).ok()?);
    body.extend_from_slice(START_EXPORT.as_bytes());
    // Export kind 0: a function.
    body.push(0);
    write_u32(&mut body, function);
    Some(body)
}

/// An unsigned LEB128 number of at most 32 bits, and where the bytes behind it begin.
fn read_u32(bytes: &[u8], position: usize) -> Option<(u32, usize)> {
    let mut value = 0u64;
    for (index, byte) in bytes.get(position..)?.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((u32::try_from(value).ok()?, position + index + 1));
        }
    }
    None
}

/// Appends `value` as unsigned LEB128.
fn write_u32(bytes: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(wasm: &[u8]) -> Vec<u8> {
        // `wat` adds a custom section with names.
        sections(wasm).map(|found| found.id).filter(|id| *id != section::CUSTOM).collect()
    }

    #[test]
    fn the_start_function_becomes_an_export() {
        let text = r#"(module (func $a) (func (export "run")) (table 1 funcref) (elem (i32.const 0) $a) (start $a))"#;
        let wasm = wat::parse_str(text).unwrap();
        let rewritten = without_start_section(&wasm).unwrap();
        assert_eq!(names(&rewritten), [1, 3, 4, 7, 9, 10]);
        let engine = wasmi::Engine::default();
        let module = wasmi::Module::new(&engine, &rewritten).unwrap();
        assert!(module.get_export("run").is_some());
        assert!(matches!(module.get_export(START_EXPORT), Some(wasmi::ExternType::Func(_))));
        assert_eq!(module.exports().count(), 2);
    }

    #[test]
    fn a_start_function_without_exports_becomes_the_first() {
        let wasm = wat::parse_str("(module (func $a) (start $a))").unwrap();
        let rewritten = without_start_section(&wasm).unwrap();
        assert_eq!(names(&rewritten), [1, 3, 7, 10]);
        wasmi::Module::new(&wasmi::Engine::default(), &rewritten).unwrap();
    }

    #[test]
    fn a_module_without_a_start_function_stays_as_it_is() {
        let wasm = wat::parse_str(r#"(module (func (export "run")))"#).unwrap();
        assert_eq!(without_start_section(&wasm), None);
    }

    #[test]
    fn numbers_survive_their_encoding() {
        for value in [0, 1, 127, 128, 16383, 16384, u32::MAX] {
            let mut bytes = Vec::new();
            write_u32(&mut bytes, value);
            assert_eq!(read_u32(&bytes, 0), Some((value, bytes.len())));
        }
        assert_eq!(read_u32(&[0xff, 0xff, 0xff, 0xff, 0x1f], 0), None);
        assert_eq!(read_u32(&[0x80; 6], 0), None);
        assert_eq!(read_u32(&[0x80], 0), None);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_looked_at_without_harm(tail: Vec<u8>) {
            let wasm = [CORE_MODULE, &tail].concat();
            let _ = crate::estimate::Estimate::of(&wasm).heap_bytes();
            let _ = without_start_section(&wasm);
        }
    }
}
