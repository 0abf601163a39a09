//! Packed files: both directions and every rule.

use proptest::prelude::*;
use runner_container::{Files, Violation, encode_files};

use crate::strategies::files;

fn borrowed(files: &[(String, Vec<u8>)]) -> Vec<(&str, &[u8])> {
    files.iter().map(|(path, content)| (path.as_str(), content.as_slice())).collect()
}

proptest! {
    #[test]
    fn what_was_packed_is_read(files in files()) {
        let bytes = encode_files(&borrowed(&files)).expect("valid files");
        let decoded = Files::decode(&bytes).expect("what was encoded is valid");
        let mut expected = borrowed(&files);
        expected.sort_unstable();
        prop_assert_eq!(&decoded.iter().collect::<Vec<_>>(), &expected);
        let placed = decoded.places().map(|place| (&bytes[place.path], &bytes[place.content]));
        let expected: Vec<_> = expected.iter().map(|(path, content)| (path.as_bytes(), *content)).collect();
        prop_assert_eq!(placed.collect::<Vec<_>>(), expected);
        for (path, content) in borrowed(&files) {
            prop_assert_eq!(decoded.get(path), Some(content));
        }
        prop_assert_eq!((decoded.len(), decoded.is_empty()), (files.len(), files.is_empty()));
        prop_assert_eq!(decoded.get("no such file"), None);
        for length in 0..bytes.len() {
            prop_assert!(Files::decode(&bytes[..length]).is_err());
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(files) = Files::decode(&bytes) {
            prop_assert_eq!(encode_files(&files.iter().collect::<Vec<_>>()), Ok(bytes.clone()));
        }
    }

    #[test]
    fn damaged_files_are_refused_or_other_ones(
        files in files(), position in any::<proptest::sample::Index>(), byte in any::<u8>()
    ) {
        let mut bytes = encode_files(&borrowed(&files)).expect("valid files");
        let position = position.index(bytes.len());
        bytes[position] = byte;
        if let Ok(files) = Files::decode(&bytes) {
            prop_assert_eq!(encode_files(&files.iter().collect::<Vec<_>>()), Ok(bytes.clone()));
        }
    }
}

#[track_caller]
fn refused(bytes: &[u8], violation: Violation) {
    assert_eq!(Files::decode(bytes).map_err(|error| error.violation), Err(violation), "{bytes:02x?}");
}

#[test]
fn no_files_are_an_empty_list() {
    assert!(Files::NONE.is_empty());
    assert_eq!(Files::decode(&encode_files(&[]).expect("none")), Ok(Files::NONE));
}

#[test]
fn each_rule_is_held() {
    assert!(Files::decode(&[0x81, 0x82, 0x61, b'a', 0x41, 7]).is_ok());
    refused(&[], Violation::Truncated);
    refused(&[0x80, 0], Violation::TrailingBytes);
    refused(&[0x9f, 0xff], Violation::Indefinite);
    refused(&[0x81, 0x82, 0x61, b'a', 0x5f, 0x41, 7, 0xff], Violation::Indefinite);
    refused(&[0x81, 0x82, 0x61, b'a', 0x58, 1, 7], Violation::NotShortest);
    refused(&[0x81, 0x82, 0x61, b'a', 0x61, b'x'], Violation::WrongType);
    refused(&[0x81, 0x83, 0x61, b'a', 0x41, 7, 0], Violation::WrongCount);
    refused(&[0x81, 0x82, 0x61, b'/', 0x40], Violation::Path);
    refused(&[0x81, 0x82, 0x61, 0xff, 0x40], Violation::NotText);
    refused(&[0x82, 0x82, 0x61, b'b', 0x40, 0x82, 0x61, b'a', 0x40], Violation::EntryOrder);
    refused(&[0x82, 0x82, 0x61, b'a', 0x40, 0x82, 0x61, b'a', 0x40], Violation::EntryOrder);
    refused(&[0x98, 65], Violation::TooManyEntries);
    refused(&vec![0; 1024 * 1024 + 1], Violation::TooLarge);
    let empty = &[][..];
    let error = encode_files(&[("a/b", empty), ("a-", empty), ("a", empty)]).unwrap_err();
    assert_eq!(error.violation, Violation::PathIsFolder);
    let large = vec![0; 1024 * 1024];
    assert_eq!(encode_files(&[("a", &large)]).unwrap_err().violation, Violation::TooLarge);
    let names: Vec<String> = (0..65).map(|number| format!("{number:02}")).collect();
    let many: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), empty)).collect();
    assert_eq!(encode_files(&many).unwrap_err().violation, Violation::TooManyEntries);
    assert!(encode_files(&many[..64]).is_ok());
}
