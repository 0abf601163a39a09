//! What a domain's logic needs to run as a Microkit protection domain.
//!
//! The logic is written against `runner_interfaces::kernel` and knows no kernel; a domain's `main.rs` names its channels
//! and regions, says how its logic is made, and leaves the rest to this crate: the kernel's calls ([`Sel4Kernel`]), the
//! numbers from `system.xml` ([`Sel4Wiring`]), the heap, the event loop ([`EventLoop`]), the report of how its start went
//! ([`boot`]), and for a cell the clean restart.
//!
//! It trusts the kernel, the Microkit tool, and the image. It believes nothing that another domain says, and a cell's
//! restart does not even believe the memory of the cell itself (see [`startup::restart`]).
//!
//! All `unsafe` code is in [`startup`].
#![no_std]

extern crate alloc;

pub mod boot;
mod diagnostics;
mod event_loop;
mod kernel;
pub mod startup;
mod wiring;

pub use event_loop::{EventLoop, acknowledge_interrupts, channels_of, message_of, reply_of};
pub use kernel::Sel4Kernel;
pub use sel4;
pub use sel4_microkit;
pub use wiring::{ABSENT_NUMBER, ABSENT_REGION, NumberSymbol, RegionSymbol, Sel4Wiring, Symbols};

/// For [`protection_domain!`]: prints from here on, and a logger for the logic.
#[doc(hidden)]
pub fn start_diagnostics() {
    diagnostics::start();
}

/// Declares a protection domain: its part of `system.xml` by symbol name, its heap, and how its logic is made.
///
/// The Microkit tool patches each symbol that `system.xml` mentions for the domain, so each must be listed. The `cell_`
/// lists are of symbols that `system.xml` has once a cell: `("region_cell", "_status")` stands for `region_cell0_status`
/// to `region_cell7_status`. A listed symbol that `system.xml` does not mention is absent at run time. A region's symbol
/// stands for its size's as well (`_size` behind it).
///
/// `heap_bytes` is the size of a static heap; `heap_region` names a region that is the heap instead, for a cell.
///
/// `start` gets the [`Sel4Wiring`] and answers a `Result` of a [`sel4_microkit::Handler`] that can look at itself
/// ([`boot::SelfTest`]); what it finds goes into the end of the region `region_status`. An error ends the domain with a fault:
/// the image is wrong, and so says the report. A domain with other means may add `last_words`, a [`boot::LastWords`] that
/// gets the reason of any panic.
#[macro_export]
macro_rules! protection_domain {
    (
        $heap_kind:ident: $heap:expr,
        channels: [$($channel:literal),* $(,)?],
        cell_channels: [$(($cell_channel:literal, $cell_channel_end:literal)),* $(,)?],
        regions: [$($region:literal),* $(,)?],
        cell_regions: [$(($cell_region:literal, $cell_region_end:literal)),* $(,)?],
        start: $start:expr
        $(, last_words: $last_words:expr)? $(,)?
    ) => {
        static SYMBOLS: $crate::Symbols = $crate::Symbols {
            numbers: &[
                &[$($crate::symbol!(channel $channel)),*],
                $($crate::symbol!(channel_cells $cell_channel $cell_channel_end 0 1 2 3 4 5 6 7)),*
            ],
            regions: &[
                &[$($crate::symbol!(region $region)),*],
                $($crate::symbol!(region_cells $cell_region $cell_region_end 0 1 2 3 4 5 6 7)),*
            ],
        };

        $crate::heap!($heap_kind, $heap);

        $crate::sel4_microkit::declare_protection_domain!(init = start_domain);

        fn start_domain() -> impl $crate::sel4_microkit::Handler {
            $crate::start_diagnostics();
            $crate::sel4_microkit::panicking::set_hook(&panicked);
            let wiring = $crate::Sel4Wiring::new(&SYMBOLS);
            $crate::boot::starting(&wiring);
            fill_heap(&wiring);
            let start = $start;
            match start(&wiring) {
                Ok(mut handler) => {
                    let finding = $crate::boot::SelfTest::self_test(&mut handler);
                    $crate::boot::found(&wiring, &finding);
                    handler
                }
                Err(error) => panic!("cannot start: {error}"),
            }
        }

        fn panicked(information: &core::panic::PanicInfo<'_>) {
            const LAST_WORDS: &[$crate::boot::LastWords] = &[$($last_words)?];
            $crate::boot::panicked(&$crate::Sel4Wiring::new(&SYMBOLS), information, LAST_WORDS);
        }
    };
}

/// For [`protection_domain!`]: the symbols that the Microkit tool patches.
///
/// They are constants and so lie in a segment that the domain itself cannot write: whoever takes the domain over cannot
/// change them for its next life. They are read as volatile, because the compiler knows only the values before patching.
#[doc(hidden)]
#[macro_export]
macro_rules! symbol {
    (channel $name:expr) => {
        $crate::NumberSymbol { name: $name, value: $crate::symbol!(word $name, $crate::ABSENT_NUMBER) }
    };
    (region $name:expr) => {
        $crate::RegionSymbol {
            name: $name,
            address: $crate::symbol!(word $name, $crate::ABSENT_REGION),
            size: $crate::symbol!(word concat!($name, "_size"), $crate::ABSENT_REGION),
        }
    };
    // The tool patches symbols of a word's size only.
    (word $name:expr, $absent:expr) => {{
        #[unsafe(export_name = $name)]
        static WORD: u64 = $absent;
        &WORD
    }};
    (channel_cells $prefix:literal $suffix:literal $($number:literal)*) => {
        &[$($crate::symbol!(channel concat!($prefix, $number, $suffix))),*]
    };
    (region_cells $prefix:literal $suffix:literal $($number:literal)*) => {
        &[$($crate::symbol!(region concat!($prefix, $number, $suffix))),*]
    };
}

/// For [`protection_domain!`]: where the heap is.
#[doc(hidden)]
#[macro_export]
macro_rules! heap {
    (heap_bytes, $bytes:expr) => {
        #[global_allocator]
        static HEAP: $crate::startup::heap::Heap = $crate::startup::heap::Heap::new();

        fn fill_heap(_wiring: &$crate::Sel4Wiring) {
            static SPACE: $crate::startup::heap::Space<{ $bytes }> = $crate::startup::heap::Space::new();
            HEAP.fill_from_space(&SPACE);
        }
    };
    (heap_region, $name:expr) => {
        #[global_allocator]
        static HEAP: $crate::startup::heap::Heap = $crate::startup::heap::Heap::new();

        fn fill_heap(wiring: &$crate::Sel4Wiring) {
            wiring.give_to_heap($name, &HEAP);
        }
    };
}
