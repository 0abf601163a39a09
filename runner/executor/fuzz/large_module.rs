//! Modules that have very much of one thing, and what must become of each: for a cell's tests and for admission's.

// One of the crates that share this file has no `std`.
extern crate alloc;

use self::alloc::{format, string::String, vec, vec::Vec};

/// What a node must make of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is taken and ends with 0.
    Runs,
    /// No world offers one of its imports.
    UnknownImport,
    /// More linear memory than anybody may have.
    Memory,
    /// More table elements than anybody may have.
    Table,
    /// A validator's own limit, or not valid.
    Invalid,
}

use Fate::{Invalid, Memory, Runs, Table, UnknownImport};

/// How many.
const MANY: usize = 10_000;

fn leb(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] & 0x7f | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
    bytes
}

fn text(text: &str) -> Vec<u8> {
    [&leb(text.len()), text.as_bytes()].concat()
}

/// Sections by number, each with its count and its entries.
fn module(sections: &[(u8, usize, Vec<u8>)]) -> Vec<u8> {
    let mut wasm = b"\0asm\x01\0\0\0".to_vec();
    for (number, count, entries) in sections {
        let body = [&leb(*count), &entries[..]].concat();
        wasm.push(*number);
        wasm.extend(leb(body.len()));
        wasm.extend(body);
    }
    wasm
}

/// A command that does `body` (without its `end`), with more sections by number.
fn command(body: &[u8], more: &[(u8, usize, Vec<u8>)]) -> Vec<u8> {
    let code = [&[0][..], body, &[0x0b]].concat();
    let mut sections = vec![
        (1, 1, vec![0x60, 0, 0]),
        (3, 1, vec![0]),
        (7, 1, b"\x06_start\0\0".to_vec()),
        (10, 1, [&leb(code.len()), &code[..]].concat()),
    ];
    for section in more {
        sections.retain(|(number, ..)| *number != section.0);
        sections.push(section.clone());
    }
    sections.sort_by_key(|(number, ..)| *number);
    module(&sections)
}

/// A command with these imports, of type 1: an i32 to an i32.
fn importing(imports: impl Iterator<Item = (String, String)>) -> Vec<u8> {
    let entries: Vec<Vec<u8>> = imports.map(|(from, name)| [text(&from), text(&name), vec![0, 1]].concat()).collect();
    let export = [text("_start"), vec![0], leb(entries.len())].concat();
    let types = [0x60, 0, 0, 0x60, 1, 0x7f, 1, 0x7f].to_vec();
    command(&[], &[(1, 2, types), (2, entries.len(), entries.concat()), (7, 1, export)])
}

const WASI: &str = "wasi_snapshot_preview1";

/// All of them, by name.
pub(crate) fn all() -> Vec<(&'static str, Vec<u8>, Fate)> {
    let repeated = |unit: &[u8], count: usize| unit.repeat(count);
    let names =
        |length: usize| (0..MANY).flat_map(move |number| text(&format!("{number:0length$}")).into_iter().chain([0, 0]));
    let entry = b"\x06_start\0\0".to_vec();
    vec![
        ("imports of one function", importing((0..MANY).map(|_| (WASI.into(), "fd_sync".into()))), Runs),
        ("imports of unknown functions", importing((0..MANY).map(|n| (WASI.into(), format!("fd_{n}")))), UnknownImport),
        ("imports of unknown modules", importing((0..MANY).map(|n| (format!("host-{n}"), "f".into()))), UnknownImport),
        (
            "the last import is unknown",
            importing((0..MANY).map(|n| (WASI.into(), if n + 1 == MANY { "beam" } else { "fd_sync" }.into()))),
            UnknownImport,
        ),
        (
            "an import with a name of 90,000 bytes",
            importing([(WASI.into(), "x".repeat(90_000))].into_iter()),
            UnknownImport,
        ),
        (
            "an import with a name of 100,001 bytes",
            importing([(WASI.into(), "x".repeat(100_001))].into_iter()),
            Invalid,
        ),
        ("types", command(&[], &[(1, MANY, repeated(&[0x60, 0, 0], MANY))]), Runs),
        (
            "functions",
            command(&[], &[(3, MANY, repeated(&[0], MANY)), (10, MANY, repeated(&[2, 0, 0x0b], MANY))]),
            Runs,
        ),
        ("exports", command(&[], &[(7, MANY + 1, [entry.clone(), names(8).collect()].concat())]), Runs),
        (
            "exports with long names",
            command(&[], &[(7, MANY + 1, [entry.clone(), names(200).collect()].concat())]),
            Runs,
        ),
        ("the same export", command(&[], &[(7, MANY, repeated(&entry, MANY))]), Invalid),
        ("globals", command(&[], &[(6, MANY, repeated(&[0x7f, 0, 0x41, 0, 0x0b], MANY))]), Runs),
        (
            "data segments",
            command(&[], &[(5, 1, vec![0, 1]), (11, MANY, repeated(&[0, 0x41, 0, 0x0b, 1, 7], MANY))]),
            Runs,
        ),
        (
            "a data segment of a mebibyte",
            command(
                &[],
                &[
                    (5, 1, vec![0, 16]),
                    (11, 1, [&[0, 0x41, 0, 0x0b][..], &leb(1 << 20), &repeated(&[7], 1 << 20)].concat()),
                ],
            ),
            Runs,
        ),
        ("element segments", command(&[], &[(9, MANY, repeated(&[1, 0, 1, 0], MANY))]), Runs),
        (
            "an element segment of ten thousand",
            command(&[], &[(9, 1, [&[1, 0][..], &leb(MANY), &repeated(&[0], MANY)].concat())]),
            Runs,
        ),
        ("blocks in each other", command(&[repeated(&[2, 0x40], MANY), repeated(&[0x0b], MANY)].concat(), &[]), Runs),
        ("loops in each other", command(&[repeated(&[3, 0x40], MANY), repeated(&[0x0b], MANY)].concat(), &[]), Runs),
        (
            "ifs in each other",
            command(&[repeated(&[0x41, 0, 4, 0x40], MANY), repeated(&[0x0b], MANY)].concat(), &[]),
            Runs,
        ),
        ("a memory of 4 GiB", command(&[], &[(5, 1, [&[0][..], &leb(65536)].concat())]), Memory),
        ("a table of four billion", command(&[], &[(4, 1, [&[0x70, 0][..], &leb(0xffff_ffff)].concat())]), Table),
        ("a table of ten thousand", command(&[], &[(4, 1, [&[0x70, 0][..], &leb(MANY)].concat())]), Table),
        ("a count of four billion types", module(&[(1, 0xffff_ffff, vec![0x60, 0, 0])]), Invalid),
        ("a count of four billion functions", module(&[(1, 1, vec![0x60, 0, 0]), (3, 0xffff_ffff, vec![0])]), Invalid),
    ]
}
