//! Exports under the names that a world has, for languages that have no such names.
//!
//! AssemblyScript exports a function under its own name, and a name there has no hyphen.

use anyhow::{Context as _, Result, bail};

/// What AssemblyScript calls the hooks of a reactor, and what they are called.
pub(crate) const HOOKS: [(&str, &str); 3] = [("onStart", "on-start"), ("onLoop", "on-loop"), ("onStop", "on-stop")];

/// Bytes of magic and version.
const HEADER_BYTES: usize = 8;

/// The number of the export section (WebAssembly core specification, 5.5.2).
const EXPORT: u8 = 7;

/// The module with these exports renamed; the compiler is trusted to have made a valid one.
pub(crate) fn renamed(module: &[u8], names: &[(&str, &str)]) -> Result<Vec<u8>> {
    let mut made = module.get(..HEADER_BYTES).context("shorter than the header of a module")?.to_vec();
    let mut rest = module.get(HEADER_BYTES..).unwrap_or_default();
    while let Some((&id, behind)) = rest.split_first() {
        let (body, behind) = take(behind)?;
        made.push(id);
        if id == EXPORT {
            push_bytes(&mut made, &renamed_section(body, names)?)?;
        } else {
            push_bytes(&mut made, body)?;
        }
        rest = behind;
    }
    Ok(made)
}

fn renamed_section(body: &[u8], names: &[(&str, &str)]) -> Result<Vec<u8>> {
    let (count, mut rest) = number(body)?;
    let mut made = Vec::new();
    push_number(&mut made, count);
    for _ in 0..count {
        let (name, behind) = take(rest)?;
        let renamed = names.iter().find(|(old, _)| old.as_bytes() == name).map_or(name, |(_, new)| new.as_bytes());
        push_bytes(&mut made, renamed)?;
        // A byte for the kind, and an index.
        let (kind, behind) = behind.split_first().context("an export is cut off")?;
        let (index, behind) = number(behind)?;
        made.push(*kind);
        push_number(&mut made, index);
        rest = behind;
    }
    Ok(made)
}

/// Bytes with their length in front, and what is behind them.
fn take(bytes: &[u8]) -> Result<(&[u8], &[u8])> {
    let (length, rest) = number(bytes)?;
    rest.split_at_checked(usize::try_from(length)?).context("the module is cut off")
}

/// An unsigned LEB128 number of at most 32 bits, and what is behind it.
fn number(bytes: &[u8]) -> Result<(u32, &[u8])> {
    let mut value = 0_u64;
    for (index, byte) in bytes.iter().take(5).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Ok((u32::try_from(value)?, &bytes[index + 1..]));
        }
    }
    bail!("a number in the module is cut off")
}

fn push_bytes(module: &mut Vec<u8>, bytes: &[u8]) -> Result<()> {
    push_number(module, u32::try_from(bytes.len())?);
    module.extend_from_slice(bytes);
    Ok(())
}

fn push_number(module: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        module.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    module.push(value.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_hooks_are_renamed() {
        let module = wat::parse_str(
            r#"(module (func $a (export "onStart") (result i32) (i32.const 0)) (func (export "other")) (memory (export "memory") 1)
                (func (export "onStop")) (data (i32.const 0) "onLoop"))"#,
        )
        .expect("valid text");
        let made = renamed(&module, &HOOKS).expect("renamed");
        let mut exports = Vec::new();
        for payload in wasmparser::Parser::new(0).parse_all(&made) {
            if let wasmparser::Payload::ExportSection(section) = payload.expect("still whole") {
                exports.extend(section.into_iter().map(|export| export.expect("whole").name.to_owned()));
            }
        }
        assert_eq!(exports, ["on-start", "other", "memory", "on-stop"]);
        assert!(made.windows(6).any(|window| window == b"onLoop"), "data is left alone");
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        let module = wat::parse_str(r#"(module (func (export "onStart")))"#).expect("valid text");
        assert_eq!(renamed(&module, &[]).expect("a module"), module);
        for length in [0, 4, 9, 11] {
            assert!(renamed(&module[..length], &HOOKS).is_err(), "{length}");
        }
    }
}
