//! Takes from a module what a node has no use for.
//!
//! Compilers add custom sections (names, producers, the encoded WIT world) that are many times the code of a small reactor.
//! The compiler is trusted no further than that its module must validate, before and after.

use anyhow::{Context as _, Result};
use wasmparser::{Parser, Validator};

/// The custom section's id (WebAssembly core specification 2.0, 5.5.3).
const CUSTOM: u8 = 0;
/// Magic number and version.
const HEADER_BYTES: usize = 8;

/// The module without its custom sections, every other section byte for byte.
pub(super) fn without_custom_sections(module: &[u8]) -> Result<Vec<u8>> {
    Validator::new().validate_all(module).context("the compiler made an invalid module")?;
    let mut kept = module.get(..HEADER_BYTES).context("shorter than the header of a module")?.to_vec();
    for payload in Parser::new(0).parse_all(module) {
        if let Some((id, range)) = payload?.as_section()
            && id != CUSTOM
        {
            let contents = module.get(range).context("a section lies inside its module")?;
            kept.push(id);
            push_length(&mut kept, contents.len());
            kept.extend_from_slice(contents);
        }
    }
    Validator::new().validate_all(&kept).context("the module is invalid without its custom sections")?;
    Ok(kept)
}

/// An unsigned LEB128 number.
fn push_length(module: &mut Vec<u8>, mut length: usize) {
    loop {
        let low = u8::try_from(length & 0x7f).expect("seven bits fit a byte");
        length >>= 7;
        if length == 0 {
            return module.push(low);
        }
        module.push(low | 0x80);
    }
}
