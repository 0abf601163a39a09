//! What a container takes of the heap: never more than was estimated before, and nothing once it is gone.
//!
//! A binary of its own, because it has an allocator that counts.

#![allow(clippy::cast_possible_truncation, reason = "it writes bytes of numbers")]

#[path = "../../container/tests/container/counting_heap.rs"]
mod counting_heap;

use std::{collections::BTreeMap, fs, path::Path};

use counting_heap::peak_of;
use runner_container::{Manifest, embed};
use runner_executor::{
    Options,
    fake::{FakeNode, detail, reason},
};
use runner_interfaces::cell::{CellConfiguration, CellStatus, Command, FailureReason};

fn in_use() -> u64 {
    counting_heap::in_use() as u64
}

/// Sections by number, written in order.
#[derive(Clone, Default)]
struct Module(BTreeMap<u8, Vec<u8>>);

impl Module {
    /// One function of type () -> (), exported as `_start`, with this body behind its locals.
    fn command(body: &[u8]) -> Self {
        Self::default().with(1, 1, &[0x60, 0, 0]).with(3, 1, &[0]).with(7, 1, b"\x06_start\0\0").with(
            10,
            1,
            &[&leb(body.len()), body].concat(),
        )
    }

    fn with(mut self, section: u8, count: usize, entries: &[u8]) -> Self {
        self.0.insert(section, [&leb(count), entries].concat());
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let sections = self.0.iter().flat_map(|(id, body)| [&[*id][..], &leb(body.len()), body].concat());
        b"\0asm\x01\0\0\0".iter().copied().chain(sections).collect()
    }
}

fn leb(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

const NO_LOCALS: &[u8] = &[0];
const ONE_LOCAL: &[u8] = &[1, 1, 0x7f];

/// A command whose body is `parts` in a row.
fn code(locals: &[u8], parts: &[(&[u8], usize)]) -> Module {
    let mut body = locals.to_vec();
    for (unit, count) in parts {
        body.extend(unit.repeat(*count));
    }
    body.push(0x0b);
    Module::command(&body).with(4, 1, &[0x70, 0, 1]).with(5, 1, &[0, 1])
}

/// Conditional branches out of a block of `results` values, which are `operand`s that must be copied each time.
fn branches(results: usize, operand: &[u8], count: usize) -> Module {
    let ty = [&[0x60, 0][..], &leb(results), &[0x7f].repeat(results)].concat();
    let parts: [(&[u8], usize); 5] =
        [(&[0x02, 1], 1), (operand, results), (&[0x20, 0, 0x0d, 0], count), (&[0x0b], 1), (&[0x1a], results)];
    code(ONE_LOCAL, &parts).with(1, 2, &[&[0x60, 0, 0], &ty[..]].concat())
}

/// A `br_table` of `targets` out of a block of `results` values.
fn branch_table(results: usize, targets: usize) -> Module {
    let ty = [&[0x60, 0][..], &leb(results), &[0x7f].repeat(results)].concat();
    let length = leb(targets);
    let parts: [(&[u8], usize); 8] = [
        (&[0x02, 1], 1),
        (&[0x20, 0], results),
        (&[0x20, 0], 1),
        (&[0x0e], 1),
        (&length, 1),
        (&[0], targets + 1),
        (&[0x0b], 1),
        (&[0x1a], results),
    ];
    code(ONE_LOCAL, &parts).with(1, 2, &[&[0x60, 0, 0], &ty[..]].concat())
}

/// Branches back to a loop that takes `parameters` values.
fn loops(parameters: usize, count: usize) -> Module {
    let ty = [&[0x60][..], &leb(parameters), &[0x7f].repeat(parameters), &[0]].concat();
    let parts: [(&[u8], usize); 5] =
        [(&[0x20, 0], parameters), (&[0x03, 1], 1), (&[0x20, 0, 0x0d, 0], count), (&[0x1a], parameters), (&[0x0b], 1)];
    code(ONE_LOCAL, &parts).with(1, 2, &[&[0x60, 0, 0], &ty[..]].concat())
}

/// Constructs that take and give 1,000 values each, within each other or in a row.
fn many_valued(opening: &[u8], closing: &[u8], nested: bool, count: usize) -> Module {
    let values = [0x7f].repeat(1000);
    let ty = [&[0x60][..], &leb(1000), &values, &leb(1000), &values].concat();
    let pair = [opening, closing].concat();
    let (first, second) =
        if nested { ((opening, count), (closing, count)) } else { ((&pair[..], count), (&[][..], 0)) };
    let parts: [(&[u8], usize); 4] = [(&[0x20, 0], 1000), first, second, (&[0x1a], 1000)];
    code(ONE_LOCAL, &parts).with(1, 2, &[&[0x60, 0, 0], &ty[..]].concat())
}

/// Calls of a function that gives 1,000 values, and of one that takes them.
fn many_valued_calls(count: usize) -> Module {
    let values = [0x7f].repeat(1000);
    let gives = [&[0x60, 0][..], &leb(1000), &values].concat();
    let takes = [&[0x60][..], &leb(1000), &values, &[0]].concat();
    let body = [&[0][..], &[0x10, 1, 0x10, 2].repeat(count), &[0x0b]].concat();
    let giving = [&[0][..], &[0x41, 0].repeat(1000), &[0x0b]].concat();
    let bodies = [&leb(body.len())[..], &body, &leb(giving.len()), &giving, &[2, 0, 0x0b]].concat();
    Module::command(&[])
        .with(1, 3, &[&[0x60, 0, 0][..], &gives, &takes].concat())
        .with(3, 3, &[0, 1, 2])
        .with(10, 3, &bodies)
}

fn name(index: usize) -> Vec<u8> {
    let letters = [1, 26, 676, 17576].map(|place| b'a' + (index / place % 26) as u8);
    [&[4][..], &letters].concat()
}

/// The same body in 300 functions: what is kept counts more than what passes.
fn many(parts: &[(&[u8], usize)]) -> Module {
    let body =
        [ONE_LOCAL, &parts.iter().flat_map(|(unit, count)| unit.repeat(*count)).collect::<Vec<u8>>(), &[0x0b]].concat();
    let entry = [&leb(body.len()), &body[..]].concat();
    Module::command(&[]).with(3, 300, &[0].repeat(300)).with(4, 1, &[0x70, 0, 1]).with(5, 1, &[0, 1]).with(
        10,
        300,
        &entry.repeat(300),
    )
}

/// Modules that have much of one thing, and ordinary programs for comparison.
fn dense() -> Vec<(&'static str, Module)> {
    // One more than a power of two: vectors that double have just done so.
    let n = 8193;
    let empty = Module::command(&[0, 0x0b]);
    let types: Vec<u8> = (0..n)
        .flat_map(|index| {
            let letters = (0..8).map(|place| 0x7c + (index >> (2 * place) & 3) as u8);
            [0x60, 8].into_iter().chain(letters).chain([0]).collect::<Vec<u8>>()
        })
        .collect();
    let types = [&[0x60, 0, 0][..], &types].concat();
    let exports: Vec<u8> = (0..n).flat_map(|index| [name(index), vec![0, 0]].concat()).collect();
    let exports = [&b"\x06_start\0\0"[..], &exports].concat();
    let import = b"\x16wasi_snapshot_preview1\x07fd_sync\0\x01";
    let imported = [&b"\x06_start\0"[..], &leb(3000)].concat();
    vec![
        ("types", empty.clone().with(1, n, &[0x60, 0, 0].repeat(n))),
        ("distinct types", empty.clone().with(1, n + 1, &types)),
        (
            "imports",
            empty
                .clone()
                .with(1, 2, &[0x60, 0, 0, 0x60, 1, 0x7f, 1, 0x7f])
                .with(2, 3000, &import.repeat(3000))
                .with(7, 1, &imported),
        ),
        ("functions", empty.clone().with(3, n, &[0].repeat(n)).with(10, n, &[2, 0, 0x0b].repeat(n))),
        ("globals", empty.clone().with(6, n, &[0x7f, 0, 0x41, 0, 0x0b].repeat(n))),
        ("exports", empty.clone().with(7, n + 1, &exports)),
        ("elements", empty.clone().with(9, 1, &[&[1, 0][..], &leb(n), &[0].repeat(n)].concat())),
        ("expressions", empty.clone().with(9, 1, &[&[5, 0x70][..], &leb(n), &[0xd2, 0, 0x0b].repeat(n)].concat())),
        ("element segments", empty.clone().with(9, n, &[1, 0, 0].repeat(n))),
        ("data segments", empty.clone().with(11, n, &[1, 0].repeat(n))),
        ("active data segments", empty.clone().with(5, 1, &[0, 1]).with(11, n, &[0, 0x41, 0, 0x0b, 0].repeat(n))),
        ("data", empty.clone().with(5, 1, &[0, 4]).with(11, 1, &[&[1][..], &leb(n), &[7].repeat(n)].concat())),
        ("nothing", code(NO_LOCALS, &[(&[0x01], n)])),
        ("constants", code(NO_LOCALS, &[(&[0x41, 0, 0x1a], n)])),
        ("operands", code(ONE_LOCAL, &[(&[0x20, 0], n), (&[0x1a], n)])),
        ("constant operands", code(ONE_LOCAL, &[(&[0x41, 0], n), (&[0x1a], n)])),
        ("blocks", code(NO_LOCALS, &[(&[0x02, 0x40], n), (&[0x0b], n)])),
        ("loops", code(NO_LOCALS, &[(&[0x03, 0x40], n), (&[0x0b], n)])),
        ("loops in a row", code(NO_LOCALS, &[(&[0x03, 0x40, 0x0b], n)])),
        ("ifs", code(ONE_LOCAL, &[(&[0x20, 0, 0x04, 0x40], n), (&[0x0b], n)])),
        ("branches", code(ONE_LOCAL, &[(&[0x20, 0, 0x0d, 0], n)])),
        ("returns", code(ONE_LOCAL, &[(&[0x20, 0, 0x04, 0x40, 0x0f, 0x0b], n)])),
        ("locals", code(&[1, 0xd0, 0x86, 3, 0x7f], &[])),
        ("calls", code(NO_LOCALS, &[(&[0x10, 0], n)])),
        ("indirect calls", code(NO_LOCALS, &[(&[0x41, 0, 0x11, 0, 0], n)])),
        ("stores", code(ONE_LOCAL, &[(&[0x20, 0, 0x20, 0, 0x36, 0, 0], n)])),
        ("loads", code(ONE_LOCAL, &[(&[0x20, 0, 0x28, 0, 0, 0x1a], n)])),
        ("local sets", code(ONE_LOCAL, &[(&[0x41, 0, 0x21, 0], n)])),
        ("kept locals", code(ONE_LOCAL, &[(&[0x20, 0, 0x41, 0, 0x21, 0], n), (&[0x1a], n)])),
        ("additions", code(ONE_LOCAL, &[(&[0x20, 0], 1), (&[0x20, 0, 0x6a], n), (&[0x1a], 1)])),
        ("deep additions", code(ONE_LOCAL, &[(&[0x20, 0], n), (&[0x6a], n - 1), (&[0x1a], 1)])),
        ("bulk copies", code(NO_LOCALS, &[(&[0x41, 0, 0x41, 0, 0x41, 0, 0xfc, 10, 0, 0], n)])),
        ("many kept locals", many(&[(&[0x20, 0], 100), (&[0x41, 0, 0x21, 0], 1), (&[0x1a], 100)])),
        ("many kept and changed", many(&[(&[0x20, 0, 0x41, 0, 0x21, 0], 200), (&[0x1a], 200)])),
        ("many constants under a block", many(&[(&[0x41, 5], 200), (&[0x02, 0x40, 0x0b], 1), (&[0x1a], 200)])),
        ("many constants under a loop", many(&[(&[0x42, 5], 200), (&[0x03, 0x40, 0x0b], 1), (&[0x1a], 200)])),
        ("many calls", many(&[(&[0x10, 0], 200)])),
        ("many indirect calls", many(&[(&[0x41, 0, 0x11, 0, 0], 200)])),
        ("many bulk copies", many(&[(&[0x41, 0, 0x41, 0, 0x41, 0, 0xfc, 10, 0, 0], 200)])),
        ("many forks", many(&[(&[0x20, 0, 0x04, 0x40, 0x05, 0x0b], 200)])),
        ("many returns", many(&[(&[0x20, 0, 0x04, 0x40, 0x0f, 0x0b], 200)])),
        ("many loops", many(&[(&[0x03, 0x40, 0x0b], 200)])),
        ("many branches", many(&[(&[0x20, 0, 0x0d, 0], 200)])),
        ("many selections", many(&[(&[0x20, 0, 0x41, 5, 0x20, 0, 0x1b, 0x21, 0], 200)])),
        (
            "many large numbers",
            many(&[(&[0x20, 0, 0xad, 0x42, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x84, 0xa7, 0x21, 0], 200)]),
        ),
        (
            "many stores",
            many(&[(&[0x20, 0, 0x42, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0x37, 0, 0xff, 0xff, 3], 200)]),
        ),
        ("many compared branches", many(&[(&[0x20, 0, 0x41, 9, 0x4c, 0x0d, 0], 200)])),
        ("branches with 1000 values", branches(1000, &[0x20, 0], 3000)),
        ("branches with 16 values", branches(16, &[0x20, 0], n)),
        ("branches with 16 constants", branches(16, &[0x41, 0], n)),
        ("branches with 2 values", branches(2, &[0x20, 0], n)),
        ("loops with 1000 values", loops(1000, 3000)),
        ("blocks of 1000 values", many_valued(&[0x02, 1], &[0x0b], false, 3000)),
        ("nested blocks of 1000 values", many_valued(&[0x02, 1], &[0x0b], true, 300)),
        ("loops of 1000 values", many_valued(&[0x03, 1], &[0x0b], false, 3000)),
        ("ifs of 1000 values", many_valued(&[0x20, 0, 0x04, 1], &[0x0b], false, 3000)),
        ("nested ifs of 1000 values", many_valued(&[0x20, 0, 0x04, 1], &[0x0b], true, 300)),
        ("ifs and elses of 1000 values", many_valued(&[0x20, 0, 0x04, 1, 0x05], &[0x0b], true, 300)),
        ("calls of 1000 values", many_valued_calls(3000)),
        ("branch table", branch_table(0, n)),
        ("branch table with 2 values", branch_table(2, n)),
        ("branch table with 16 values", branch_table(16, n)),
        ("branch table with 1000 values", branch_table(1000, n)),
    ]
}

/// The prebuilt samples, where there are any.
fn samples() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/prebuilt");
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files
        .filter_map(|file| {
            file.path().extension().filter(|kind| *kind == "wasm")?;
            Some((file.file_name().into_string().ok()?, fs::read(file.path()).ok()?))
        })
        .collect()
}

/// What a cell keeps free of its heap whatever a module asks for.
const RESERVED_BYTES: u64 = 1536 * 1024;

/// Loads a module; its status, and the heap that it took at its peak.
fn load(node: &mut FakeNode, wasm: &[u8]) -> (CellStatus, u64) {
    node.load(wasm, &CellConfiguration::default(), Command::Load);
    let (peak, _) = peak_of(|| node.step());
    (node.status(), peak as u64)
}

/// What the cell says it would need, when it has room for the module's bytes and nothing else.
fn estimate(wasm: &[u8]) -> u64 {
    let heap_bytes = RESERVED_BYTES + 2 * wasm.len() as u64;
    let mut node = FakeNode::with_room_for(wasm.len(), Options { heap_in_use: || 0, heap_bytes, ..Options::default() });
    let (status, _) = load(&mut node, wasm);
    let text = detail(&status);
    assert_eq!(reason(&status), FailureReason::CellMemory, "{text}");
    let number = text.strip_prefix("compiling may take ").and_then(|rest| rest.split(' ').next());
    number.and_then(|number| number.parse().ok()).expect("it says how many bytes")
}

#[test]
fn nothing_takes_more_than_was_estimated() {
    let mut node = FakeNode::with_room_for(1024 * 1024, Options { heap_in_use: in_use, ..Options::default() });
    node.control.start_limit_us = u32::MAX;
    node.control.memory_limit_bytes = 4 * 65536;
    node.state().records_calls = false;
    for (name, wasm) in dense().into_iter().map(|(name, module)| (name.into(), module.bytes())).chain(samples()) {
        let estimate = estimate(&wasm);
        let before = in_use();
        let (status, peak) = load(&mut node, &wasm);
        let linear = status.linear_memory_bytes;
        assert!(peak <= estimate + linear, "{name} took {peak} bytes, estimated were {estimate}");
        node.command(Command::Idle);
        node.step();
        let left = in_use().saturating_sub(before);
        assert!(left < 1024, "{name} left {left} bytes behind");
        // Last, since what is printed is kept in memory too.
        let share = peak.saturating_sub(linear) as f64 / estimate as f64;
        println!("{name}: {} bytes, {share:.2} of the estimate of {estimate}", wasm.len());
    }
    assert_files_are_held_once(&mut node);
    drop(node);
    assert_a_large_program_fits();
    assert_two_deep_stacks_fit();
}

/// What a container holds more for the files packed into it is their section, and where in it each lies.
fn assert_files_are_held_once(node: &mut FakeNode) {
    let module = Module::command(&[0, 0x0b]).bytes();
    let content = vec![7; 300_000];
    let manifest = Manifest { name: "test".into(), ..Manifest::default() };
    let packed = embed(&module, &manifest, &[("a", &content), ("b", &content)]).expect("valid files");
    let mut held = |wasm: &[u8]| {
        let before = in_use();
        let (status, peak) = load(node, wasm);
        assert_eq!(reason(&status), FailureReason::None, "{}", detail(&status));
        let held = in_use() - before;
        node.command(Command::Idle);
        node.step();
        assert!(in_use().saturating_sub(before) < 1024);
        (held, peak)
    };
    let ((without, _), (with, peak)) = (held(&module), held(&packed));
    let more = with - without;
    assert!((600_000..601_000).contains(&more), "{more} bytes more");
    assert!(peak < 2 * packed.len() as u64 + estimate(&module), "{peak} bytes at the peak");
}

/// The most that a container's run can take beside what it was loaded with: the stack of a call that waits for the
/// container's allocator, and the allocator's own, both nearly as deep as they may be.
fn assert_two_deep_stacks_fit() {
    let deep = |name: &str, end: &str| {
        format!(
            "(func {name} (param i32) (result i32) (local i64 i64 i64 i64)
                (if (result i32) (local.get 0)
                    (then (i32.add (call {name} (i32.sub (local.get 0) (i32.const 1))) (i32.const 0)))
                    (else {end})))"
        )
    };
    let wasm = wat::parse_str(format!(
        r#"(module
            (import "atoll:node/node@0.1.0" "board" (func $board (param i32)))
            (memory (export "memory") 1)
            {} {}
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (call $inner (i32.const 3900)))
            (func (export "_start") (drop (call $outer (i32.const 3900)))))"#,
        deep("$outer", "(call $board (i32.const 16)) (i32.const 0)"),
        deep("$inner", "(i32.const 1024)"),
    ));
    let mut node = FakeNode::new(Options { heap_in_use: in_use, ..Options::default() });
    node.state().records_calls = false;
    load(&mut node, &wasm.expect("valid text"));
    let (peak, status) = peak_of(|| {
        node.command(Command::Run);
        node.step();
        node.run_to_end()
    });
    let peak = peak as u64;
    println!("two deep stacks: {peak} bytes");
    assert_eq!((reason(&status), status.exit_code), (FailureReason::None, 0), "{}", detail(&status));
    assert!(peak > RESERVED_BYTES / 4, "both were deep: {peak} bytes");
    assert!(peak < RESERVED_BYTES, "{peak} bytes");
}

/// A cell's heap in `system.xml`.
const CELL_HEAP_BYTES: u64 = 16 * 1024 * 1024;

/// 1.4 MB is what a large Rust program has before its debug information is taken away; here all of it is code.
fn assert_a_large_program_fits() {
    let statement: &[u8] = &[0x20, 0, 0x41, 7, 0x6c, 0x21, 0];
    let body = [ONE_LOCAL, &statement.repeat(500), &[0x0b]].concat();
    let entry = [&leb(body.len()), &body[..]].concat();
    let functions = 1_400_000 / entry.len();
    let wasm =
        Module::command(&[]).with(3, functions, &[0].repeat(functions)).with(10, functions, &entry.repeat(functions));
    let before = in_use();
    let mut node = FakeNode::with_room_for(
        2 * 1024 * 1024,
        Options { heap_in_use: || 0, heap_bytes: CELL_HEAP_BYTES, ..Options::default() },
    );
    node.control.start_limit_us = u32::MAX;
    let began = std::time::Instant::now();
    let (status, peak) = load(&mut node, &wasm.bytes());
    println!("1.4 MB of code: {peak} bytes, {:?}", began.elapsed());
    assert_eq!(reason(&status), FailureReason::None, "{}", detail(&status));
    drop(node);
    assert!(in_use() - before < 1024);
}
