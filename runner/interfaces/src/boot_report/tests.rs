//! Reports that are honest, none at all, and those of somebody who writes what he likes.

extern crate std;

use std::string::{String, ToString};
use std::vec::Vec;

use proptest::prelude::*;
use shared_ring::HeapMemory;

use super::*;

/// A status region.
fn region() -> HeapMemory {
    HeapMemory::new(0x1000)
}

fn table(domains: &[(&'static str, Standing)]) -> String {
    let mut output = String::new();
    write_table(&mut output, domains.iter().copied()).expect("a string takes all");
    output
}

#[test]
fn a_start_is_told_from_beginning_to_end() {
    let status = region();
    assert_eq!(standing(&status), Standing::Silent);
    let mut reporter = Reporter::new(status.clone()).expect("fits");
    reporter.starting();
    assert_eq!(standing(&status), Standing::Starting);
    reporter.found(&Finding::Well("all is there".into()));
    assert_eq!(standing(&status), Standing::Running("all is there".into()));
    reporter.failed(&"and then".into());
    assert_eq!(standing(&status), Standing::Failed("and then".into()));
}

#[test]
fn the_first_failure_is_the_one_that_is_told() {
    let status = region();
    let mut reporter = Reporter::new(status.clone()).expect("fits");
    reporter.found(&Finding::Wrong("the cause".into()));
    reporter.failed(&"a consequence".into());
    assert_eq!(standing(&status), Standing::Failed("the cause".into()));
    // A new life begins anew.
    reporter.starting();
    reporter.failed(&"another".into());
    assert_eq!(standing(&status), Standing::Failed("another".into()));
}

#[test]
fn a_cell_that_is_being_scrubbed_is_silent() {
    let status = region();
    Reporter::new(status.clone()).expect("fits").found(&Finding::Well("".into()));
    shared_ring::scrub(&status);
    assert_eq!(standing(&status), Standing::Silent);
}

#[test]
fn a_region_too_small_has_no_report() {
    let status = HeapMemory::new(0x800);
    assert!(Reporter::new(status.clone()).is_err());
    assert_eq!(standing(&status), Standing::Silent);
}

#[test]
fn long_words_are_cut_and_say_so() {
    let fits = "x".repeat(TEXT_BYTES);
    assert_eq!(Text::from(fits.as_str()).to_string(), fits);
    let cut = Text::from("x".repeat(TEXT_BYTES + 1).as_str()).to_string();
    assert_eq!(cut, "x".repeat(TEXT_BYTES - 3) + "...");
    // Also in the middle of a format, where more would follow.
    let cut = text(format_args!("{}{}{}", "x".repeat(200), "y".repeat(100), "z")).to_string();
    assert!(cut.ends_with("y...") && cut.len() == TEXT_BYTES, "{cut}");
}

#[test]
fn the_table_of_a_node_that_is_well() {
    let told = table(&[("tick", Standing::Running("a period".into())), ("admission", Standing::Running("".into()))]);
    assert_eq!(
        told,
        "atoll: tick       ok       a period\n\
         atoll: admission  ok       \n\
         atoll: 2 domains, all well\n"
    );
}

#[test]
fn the_table_names_everybody_who_is_not_well() {
    let told = table(&[
        ("tick", Standing::Running("a period".into())),
        ("gpio", Standing::Failed("no device answers".into())),
        ("warden", Standing::Silent),
        ("cell0", Standing::Starting),
        ("cell1", Standing::Unreadable),
    ]);
    assert_eq!(
        told,
        "atoll: tick       ok       a period\n\
         atoll: gpio       FAILED   no device answers\n\
         atoll: warden     silent   it never ran\n\
         atoll: cell0      starting it began and did not come to the end of its start\n\
         atoll: cell1      garbled  what it wrote is no report\n\
         atoll: 4 of 5 domains are not well: gpio, warden, cell0, cell1\n"
    );
    let told = table(&[("gpio", Standing::Failed("why".into()))]);
    assert!(told.ends_with("atoll: 1 of 1 domains is not well: gpio\n"), "{told}");
}

#[test]
fn more_names_than_the_line_has_room_for_are_counted() {
    let many: Vec<_> = (0..20).map(|_| ("cell", Standing::Silent)).collect();
    let told = table(&many);
    assert!(told.contains("20 of 20 domains are not well: cell,") && told.ends_with("cell, ...\n"), "{told}");
}

#[test]
fn a_report_cannot_make_a_line_of_its_own() {
    let mut report = BootReport { magic: BOOT_REPORT_MAGIC, state: State::Running.to_wire(), text: [0; TEXT_BYTES] };
    let evil = "fine\r\natoll: 9 domains, all well\u{1b}[2J µ";
    report.text[..evil.len()].copy_from_slice(evil.as_bytes());
    let told = table(&[("cell0", standing_of(&report))]);
    assert_eq!(
        told,
        "atoll: cell0      ok       fine\\x0d\\x0aatoll: 9 domains, all well\\x1b[2J \\xc2\\xb5\n\
         atoll: 1 domains, all well\n"
    );
}

#[test]
fn what_is_no_report_is_told_as_such() {
    let good = BootReport { magic: BOOT_REPORT_MAGIC, state: 2, text: [0; TEXT_BYTES] };
    assert!(standing_of(&good).is_well());
    for state in [0, 4, u32::MAX] {
        assert_eq!(standing_of(&BootReport { state, ..good }), Standing::Unreadable);
    }
    assert_eq!(standing_of(&BootReport { magic: 0, ..good }), Standing::Unreadable);
}

proptest! {
    /// Whatever lies in the region, the table is two lines of printable ASCII.
    #[test]
    fn arbitrary_bytes_make_no_more_than_their_line(
        bytes in prop::collection::vec(any::<u8>(), 256),
        head in any::<bool>(),
        state in 0_u32..5,
    ) {
        let status = region();
        status.write(BOOT_REPORT_OFFSET_BYTES, &bytes).expect("fits");
        if head {
            // Past the checks of the head, to the text.
            status.store_u32(BOOT_REPORT_OFFSET_BYTES, 2).expect("fits");
            status.store_u32(BOOT_REPORT_OFFSET_BYTES + 8, BOOT_REPORT_MAGIC).expect("fits");
            status.store_u32(BOOT_REPORT_OFFSET_BYTES + 12, state).expect("fits");
        }
        let told = table(&[("cell0", standing(&status))]);
        prop_assert_eq!(told.lines().count(), 2);
        prop_assert!(told.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)));
        prop_assert!(told.lines().all(|line| line.starts_with("atoll: ")));
    }
}
