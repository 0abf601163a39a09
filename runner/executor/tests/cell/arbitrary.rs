//! Whatever is uploaded, the cell comes to an end with it and takes the next container.

use proptest::{collection::vec, prelude::*};
use runner_executor::{
    Options,
    fake::{FakeNode, FakeWiring},
};
use runner_interfaces::{
    cell::{CellControl, Command, ContainerState, MODULE_OFFSET_BYTES},
    kernel::{ChannelSet, Domain, Wiring},
    schedule::Schedule,
};
use shared_ring::{SequencedCell, SharedMemory};

use crate::support::*;

/// A cell with a heap as a domain has one, short slices and short limits.
fn small_node() -> FakeNode {
    let options = Options { slice_fuel: 2000, heap_bytes: 32 * 1024 * 1024, ..Options::default() };
    let mut node = furnished(FakeNode::with_room_for(128 * 1024, options));
    (node.control.start_limit_us, node.control.stop_limit_us) = (3_000, 3_000);
    node.control.memory_limit_bytes = 4 * 65536;
    node
}

/// Runs whatever it is for a while, then stops it; it must come to an end, and leave the cell usable.
fn assert_survives(wasm: &[u8]) {
    let mut node = small_node();
    node.load(wasm, &configuration(&["x"]), Command::Run);
    node.command_in(8_000_000, Command::Stop);
    let status = node.run_to_end();
    assert!(state(&status).is_final(), "{status:?}");
    while node.step() {}
    let again = reactor("", "(i32.const 0)", "(i32.const 1)", "");
    assert_eq!(state(&node.run(&again, &configuration(&[]))), ContainerState::Finalised);
}

/// Modules to change bytes of: the samples, and one that uses many instructions.
fn seeds() -> Vec<Vec<u8>> {
    let names = ["hello", "echo", "clock", "blinker", "button", "greedy", "spin"];
    let samples = names.iter().filter_map(|name| sample(&format!("{name}.wasm")));
    let own = reactor(
        r#"(import "atoll:node/log@0.1.0" "log" (func $log (param i32 i32 i32)))
           (import "atoll:node/timer@0.1.0" "wait" (func $wait (param i32) (result i32)))
           (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
           (table 4 funcref) (elem (i32.const 0) $f $f) (global $g (mut i64) (i64.const 9))
           (memory (export "memory") 1) (data (i32.const 8) "some text")
           (func $f (param i32) (result i32) (call $log (i32.const 2) (i32.const 8) (local.get 0)) (local.get 0))
           (func $s (global.set $g (i64.mul (global.get $g) (i64.const 3)))) (start $s)"#,
        "(drop (call_indirect (param i32) (result i32) (i32.const 9) (i32.const 1)))
         (drop (memory.grow (i32.const 1))) (memory.fill (i32.const 0) (i32.const 1) (i32.const 99))
         (call $write (i32.const 1) (i32.const 8) (i32.const 0) (i32.const 64))",
        "(local f64) (local.set 0 (f64.convert_i64_s (global.get $g)))
         (br_table 0 0 (i32.const 1) (i32.trunc_sat_f64_u (local.get 0)))",
        "",
    );
    samples.chain([own]).collect()
}

proptest! {
    #[test]
    fn any_bytes_come_to_an_end(bytes in vec(any::<u8>(), 0..400)) {
        assert_survives(&bytes);
        assert_survives(&[&b"\0asm\x01\0\0\0"[..], &bytes].concat());
    }

    #[test]
    fn a_changed_module_comes_to_an_end(
        which in any::<prop::sample::Index>(),
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let seeds = seeds();
        let mut wasm = which.get(&seeds).clone();
        for (place, value) in changes {
            let place = place.index(wasm.len());
            wasm[place] = value;
        }
        if let Some(cut) = cut {
            wasm.truncate(cut.index(wasm.len()));
        }
        assert_survives(&wasm);
    }

    #[test]
    fn any_control_word_and_configuration_are_borne(
        words in vec((any::<u32>(), 0..6u32, any::<[u32; 6]>()), 1..8),
        head in vec(any::<u8>(), 0..200),
        channels in any::<u64>(),
    ) {
        let mut node = small_node();
        let region = |symbol| FakeWiring::region(&node.wiring, symbol).unwrap();
        let (control, module) = (region("region_control"), region("region_module"));
        module.write(0, &head).unwrap();
        module.write(MODULE_OFFSET_BYTES, &reactor("", "(i32.const 0)", "(i32.const 1)", "")).unwrap();
        let mut block = SequencedCell::new(control, 0).unwrap();
        for (generation, command, [a, b, c, d, e, f]) in words {
            let small = |number: u32| if number.is_multiple_of(2) { number % 300 } else { number };
            block.write(&CellControl {
                generation,
                command,
                configuration_bytes: small(a),
                module_bytes: small(b),
                memory_limit_bytes: c,
                table_limit_elements: d,
                // The clock moves by 100 us a slice: no more than a hundred slices a hook.
                start_limit_us: e % 10_000,
                stop_limit_us: e % 10_000,
                load_limit_us: f,
                loop_limit_us: a % 20_000,
                loops_limit: u64::from(b % 5),
                stop_cause: c % 7,
                hold: d % 4,
                schedule: Schedule {
                    period_ns: u64::from(a),
                    deadline_ns: u64::from(b) << (c % 33),
                    budget_ns: u64::from(d),
                    offset_ns: u64::from(e) << (f % 33),
                    slice_ns: u64::from(b) >> (e % 33),
                    fuel_ns: u64::from(c) >> (f % 33),
                    turn_ns: u64::from(d) >> (f % 33),
                    release: c % 4,
                    on_overrun: d % 4,
                    urgency: e,
                    calls: f,
                },
            });
            node.cell.notified(&mut node.kernel, ChannelSet::from_bits(channels | 4));
        }
        node.command(Command::Idle);
        node.step();
        prop_assert_eq!(state(&node.status()), ContainerState::Empty);
    }
}
