//! Sections of modules: found, replaced, and refused where they are not whole.

use proptest::prelude::*;
use runner_container::{Files, Manifest, SectionFault, custom_sections, embed, parts, sections};

use crate::strategies::{files, manifest};

const MODULE: &str = r#"(module (@custom "first" "1") (func (export "_start")) (memory 1) (data (i32.const 0) "x")
    (@custom "atoll.app" "old") (@custom "atoll.other" "old"))"#;

fn module() -> Vec<u8> {
    wat::parse_str(MODULE).expect("valid text")
}

proptest! {
    #[test]
    fn what_was_embedded_is_found(manifest in manifest(), files in files()) {
        let wasm = module();
        let borrowed: Vec<(&str, &[u8])> = files.iter().map(|(path, bytes)| (path.as_str(), &bytes[..])).collect();
        let made = embed(&wasm, &manifest, &borrowed).expect("it can be embedded");
        let found = parts(&made).expect("a module");
        prop_assert_eq!(Manifest::decode(found.manifest.expect("a manifest")), Ok(manifest.clone()));
        let found = found.files.map(|bytes| Files::decode(bytes).expect("files"));
        prop_assert_eq!(found.is_none(), files.is_empty());
        prop_assert_eq!(found.map_or(0, |files| files.len()), files.len());
        // The same again makes the same, in whatever order the files come.
        let reversed: Vec<_> = borrowed.iter().rev().copied().collect();
        prop_assert_eq!(embed(&made, &manifest, &reversed).expect("again"), made);
    }

    #[test]
    fn any_bytes_are_survived(tail in proptest::collection::vec(any::<u8>(), 0..100)) {
        let wasm = [b"\0asm\x01\0\0\0", &tail[..]].concat();
        let walked = custom_sections(&wasm).count();
        prop_assert!(walked <= tail.len());
        let mut behind = 8;
        for section in sections(&wasm).flatten() {
            prop_assert_eq!(section.range.start, behind);
            behind = section.range.end;
        }
        let _ = parts(&wasm);
    }
}

#[test]
fn own_sections_come_last_and_the_rest_stays_byte_for_byte() {
    let wasm = module();
    let made = embed(&wasm, &Manifest::named("a"), &[("f", b"x")]).expect("embedded");
    let names: Vec<_> = custom_sections(&made).map(|section| section.expect("whole").name).collect();
    assert_eq!(names, ["first", "atoll.app", "atoll.files"]);
    let foreign = |wasm: &[u8]| -> Vec<Vec<u8>> {
        let own: Vec<_> = custom_sections(wasm)
            .map(|section| section.expect("whole"))
            .filter(|section| section.name.starts_with("atoll."))
            .map(|section| section.range)
            .collect();
        let whole = sections(wasm).map(|section| section.expect("whole").range);
        whole.filter(|range| !own.contains(range)).map(|range| wasm[range].to_vec()).collect()
    };
    assert_eq!(foreign(&made), foreign(&wasm));
}

#[test]
fn a_section_of_ours_twice_is_refused() {
    let wasm = wat::parse_str(r#"(module (@custom "atoll.app" "1") (@custom "atoll.app" "2"))"#).expect("valid text");
    assert_eq!(parts(&wasm).unwrap_err().fault, SectionFault::Twice);
    // It can be put right.
    assert!(embed(&wasm, &Manifest::named("a"), &[]).is_ok());
}

#[test]
fn sections_that_are_not_whole_are_refused() {
    let fault = |wasm: &[u8]| parts(wasm).unwrap_err().fault;
    assert_eq!(fault(b""), SectionFault::NotAModule);
    assert_eq!(fault(b"\0asm\x0d\0\x01\0"), SectionFault::NotAModule);
    let with = |rest: &[u8]| [b"\0asm\x01\0\0\0", rest].concat();
    assert_eq!(parts(&with(b"")), Ok(Default::default()));
    assert_eq!(fault(&with(&[0])), SectionFault::Truncated);
    assert_eq!(fault(&with(&[0, 5, 0])), SectionFault::Truncated);
    assert_eq!(fault(&with(&[0, 0x80])), SectionFault::Truncated);
    assert_eq!(fault(&with(&[0, 0x80, 0x80, 0x80, 0x80, 0x80, 0])), SectionFault::BadLength);
    assert_eq!(fault(&with(&[0, 0xff, 0xff, 0xff, 0xff, 0x7f])), SectionFault::BadLength);
    assert_eq!(fault(&with(&[0, 0])), SectionFault::BadName);
    assert_eq!(fault(&with(&[0, 2, 2, b'x'])), SectionFault::BadName);
    assert_eq!(fault(&with(&[0, 2, 1, 0xff])), SectionFault::BadName);
    // A padded length is valid WebAssembly.
    assert_eq!(parts(&with(&[0, 0x82, 0, 1, b'x'])), Ok(Default::default()));
    // An error ends the walk, also where what follows would be whole.
    assert_eq!(custom_sections(&with(&[0, 0, 0, 2, 1, b'x'])).count(), 1);
}
