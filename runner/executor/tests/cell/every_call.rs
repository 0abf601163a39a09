//! Every function that a cell offers, called with what a hostile container would call it with.
//!
//! The table of `runner-container` says which functions there are; nobody has to remember to add one here. Each is called
//! with addresses around the end of the memory, lengths that wrap, handles of others and numbers of no meaning, mixed with
//! arguments that bring it far: open lines, ends, pollables and files. Whatever it makes of them, the container ends by
//! itself, by stop or with a trap that names the host call, the regions of others keep their bytes, a line that was
//! not granted is never driven, and the cell takes the next container.

use runner_container::{
    Manifest, embed,
    offers::{DRAFTS, OFFERS, Offer, TINY, WASI, module_of},
};
use runner_executor::{
    Options,
    fake::{FakeDevice, FakeNode, FakeSlot, FakeWiring, detail, reason},
};
use runner_interfaces::{
    cell::{CellConfiguration, CellStatus, ChannelName, Command, ContainerState, FailureReason},
    exchange::Direction,
    gpio::Status,
    kernel::Wiring,
};
use shared_ring::SharedMemory;

use crate::support::*;

/// Bytes of the container's memory: one page.
const END: u64 = 65536;

/// What an attacker tries first.
const EDGES: [u64; 16] = [
    0,
    1,
    7,
    16,
    END - 9,
    END - 8,
    END - 4,
    END - 1,
    END,
    END + 1,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_fff0,
    u32::MAX as u64,
    u64::MAX >> 1,
    u64::MAX,
];

/// What brings a call far: small numbers that are handles, descriptors, counts and lengths, and addresses of [`MEMORY`].
const PLAUSIBLE: [u64; 18] = [0, 1, 2, 3, 4, 5, 6, 8, 9, 16, 32, 48, 52, 64, 80, 96, 1024, 1 << 20];

/// What lies in the memory. At 0 and at its end are pairs of address and length that leave it; the rest can be used.
const MEMORY: &str = r#"
    (data (i32.const 0) "\f0\ff\ff\ff\20\00\00\00\00\00\01\00\ff\ff\ff\ff")
    (data (i32.const 16) "LED") (data (i32.const 32) "BUTTON") (data (i32.const 48) "out") (data (i32.const 52) "in")
    (data (i32.const 64) "hello.txt") (data (i32.const 80) "\01\00\00\00\02\00\00\00") (data (i32.const 88) "VALVE")
    (data (i32.const 96) "\00\10\00\00\08\00\00\00\f8\ff\00\00\08\00\00\00")
    (data (i32.const 65528) "\fc\ff\00\00\08\00\00\00")"#;

/// Where the arguments lie, eight bytes each; the last one is what the container's allocator answers.
const ARGUMENTS_AT: usize = 2048;

/// Parameters of the function that has most of them, and the allocator's answer.
const ARGUMENTS: usize = 10;

/// What stands in a module in place of its arguments.
const MARK: [u8; 8] = *b"argument";

/// Cases of one function beside those where all arguments are alike.
const MIXED_CASES: u32 = 24;

/// When a container that waits is told to stop.
const STOP_AFTER_NS: u64 = 20_000_000;

/// What is opened before the call, so that small numbers are handles.
const OPENED: &[(&str, &str, &str)] = &[
    ("gpio", "open-output", "(i32.const 16) (i32.const 3) (i32.const 1024)"),
    ("gpio", "open-input", "(i32.const 32) (i32.const 6) (i32.const 1024)"),
    ("i2c", "open", "(i32.const 16) (i32.const 1024)"),
    ("channel", "open-writer", "(i32.const 48) (i32.const 3) (i32.const 1024)"),
    ("channel", "open-reader", "(i32.const 52) (i32.const 2) (i32.const 1024)"),
    ("channel", "[method]reader.next", "(i32.const 2)"),
    ("wasi:clocks/monotonic-clock", "subscribe-duration", "(i64.const 1000)"),
    ("wasi:clocks/monotonic-clock", "subscribe-instant", "(i64.const 1000000000000)"),
    (TINY, "open", "(i32.const 3)"),
    (TINY, "open", "(i32.const 4)"),
    (
        WASI,
        "path_open",
        "(i32.const 3) (i32.const 0) (i32.const 64) (i32.const 9) (i32.const 0)
         (i64.const 1069547198) (i64.const 1069547198) (i32.const 0) (i32.const 1024)",
    ),
];

/// The same for the drafts of pins: the labels, the flags `active-high` at 80.
const PINS: [&str; 2] = [
    "(i32.const 16) (i32.const 3) (i32.const 80) (i32.const 1) (i32.const 1024)",
    "(i32.const 32) (i32.const 6) (i32.const 80) (i32.const 1) (i32.const 1024)",
];

/// Good arguments of every function that takes addresses, and which of them are addresses that it must look at. An offer is
/// named by the end of its interface's name and its own.
const POINTERS: &[(&str, &[u64], &[usize])] = &[
    ("args_get", &[4096, 4200], &[0, 1]),
    ("args_sizes_get", &[1024, 1028], &[0, 1]),
    ("environ_get", &[4096, 4200], &[0, 1]),
    ("environ_sizes_get", &[1024, 1028], &[0, 1]),
    ("clock_res_get", &[0, 1024], &[1]),
    ("clock_time_get", &[0, 0, 1024], &[2]),
    ("fd_fdstat_get", &[1, 1024], &[1]),
    ("fd_prestat_get", &[3, 1024], &[1]),
    ("fd_prestat_dir_name", &[3, 1024, 1], &[1]),
    ("fd_read", &[4, 96, 1, 1024], &[1, 3]),
    ("fd_seek", &[4, 0, 0, 1024], &[3]),
    ("fd_write", &[1, 96, 1, 1024], &[1, 3]),
    ("poll_oneoff", &[8192, 8300, 1, 1024], &[0, 1, 3]),
    ("random_get", &[1024, 8], &[0]),
    ("fd_filestat_get", &[4, 1024], &[1]),
    ("fd_pread", &[4, 96, 1, 0, 1024], &[1, 4]),
    ("fd_readdir", &[3, 1024, 64, 0, 1100], &[1, 4]),
    ("fd_tell", &[4, 1024], &[1]),
    ("path_filestat_get", &[3, 0, 64, 9, 1024], &[2, 4]),
    ("path_open", &[3, 0, 64, 9, 0, 2, 2, 0, 1024], &[2, 8]),
    ("path_create_directory", &[3, 64, 8], &[1]),
    ("path_filestat_set_times", &[3, 0, 64, 9, 0, 0, 0], &[2]),
    ("path_link", &[3, 0, 64, 9, 3, 64, 8], &[2, 5]),
    ("path_readlink", &[3, 64, 9, 1024, 8, 1040], &[1]),
    ("path_remove_directory", &[3, 64, 8], &[1]),
    ("path_rename", &[3, 64, 9, 3, 64, 8], &[1, 4]),
    ("path_symlink", &[64, 9, 3, 64, 8], &[3]),
    ("path_unlink_file", &[3, 64, 9], &[1]),
    ("log/log", &[2, 64, 9], &[1]),
    ("logging/log", &[2, 64, 9, 16, 3], &[1, 3]),
    ("open-output", &[16, 3, 1024], &[0, 2]),
    ("open-input", &[32, 6, 1024], &[0, 2]),
    ("board", &[1024], &[0]),
    ("version", &[1024], &[0]),
    ("substrate", &[1024], &[0]),
    ("container-name", &[1024], &[0]),
    ("container-version", &[1024], &[0]),
    ("open-writer", &[48, 3, 1024], &[0, 2]),
    ("open-reader", &[52, 2, 1024], &[0, 2]),
    ("writer.put-bytes", &[1, 64, 5], &[1]),
    ("reader.value-block", &[2, 0, 1024], &[2]),
    ("reader.value-bytes", &[2, 1024], &[1]),
    ("wall-clock/now", &[1024], &[0]),
    ("wall-clock/resolution", &[1024], &[0]),
    ("poll/poll", &[80, 2, 1024], &[0, 2]),
    ("get-digital-out", &[16, 3, 80, 1, 1024], &[0, 2, 4]),
    ("get-digital-in", &[32, 6, 80, 1, 1024], &[0, 2, 4]),
    ("out-pin.get", &[16, 3, 80, 1, 1024], &[0, 2, 4]),
    ("in-pin.get", &[32, 6, 80, 1, 1024], &[0, 2, 4]),
    ("out-pin.set-state", &[1, 0, 1024], &[2]),
    ("out-pin.get-config", &[1, 1024], &[1]),
    ("out-pin.set-active", &[1, 1024], &[1]),
    ("out-pin.set-inactive", &[1, 1024], &[1]),
    ("out-pin.toggle", &[1, 1024], &[1]),
    ("out-pin.is-set-active", &[1, 1024], &[1]),
    ("out-pin.is-set-inactive", &[1, 1024], &[1]),
    ("out-pin.get-state", &[1, 1024], &[1]),
    ("in-pin.get-config", &[2, 1024], &[1]),
    ("in-pin.read", &[2, 1024], &[1]),
    ("in-pin.is-active", &[2, 1024], &[1]),
    ("in-pin.is-inactive", &[2, 1024], &[1]),
    ("i2c/open", &[16, 1024], &[1]),
    ("i2c.read", &[1, 16, 2, 1024], &[3]),
    ("i2c.write", &[1, 16, 1024, 1, 1024], &[2, 4]),
    ("i2c.write-read", &[1, 16, 1024, 1, 2, 1024], &[2, 5]),
    ("env/logger", &[64], &[0]),
    ("env/read", &[0, 1024, 4], &[1]),
    ("env/write", &[0, 1024, 4], &[1]),
];

fn types(letters: &str) -> String {
    letters.chars().map(|letter| format!(" {}", type_of(letter))).collect()
}

fn type_of(letter: char) -> &'static str {
    match letter {
        'I' => "i64",
        'D' => "f64",
        'i' => "i32",
        other => panic!("no type has the letter {other}"),
    }
}

fn import(offer: &Offer, id: &str) -> String {
    let Offer { name, parameters, results, interface, .. } = offer;
    format!(
        r#"(import "{}" "{name}" (func ${id} (param{}) (result{})))"#,
        module_of(interface),
        types(parameters),
        types(results)
    )
}

/// Whether the two belong to one draft, or to none.
fn go_together(one: &Offer, other: &Offer) -> bool {
    one.drafts == 0 || other.drafts == 0 || one.drafts & other.drafts != 0
}

/// What is opened for `offer`: imports and calls. Only of its own package, so that no line is taken twice.
fn openings(offer: &Offer) -> (String, String) {
    let (mut imports, mut calls) = (String::new(), String::new());
    let package = |interface: &str| interface.split(['/', '@']).next().unwrap_or_default().to_owned();
    let mut open = |other: &Offer, arguments: &str| {
        let id = format!("open{}", imports.matches("(import").count());
        imports += &import(other, &id);
        calls += &format!("(call ${id} {arguments}) {}", "(drop)".repeat(other.results.len()));
    };
    for (interface, name, arguments) in OPENED {
        let of_time = interface.starts_with("wasi:clocks") && offer.interface.starts_with("wasi:io");
        if package(interface) == package(offer.interface) || of_time {
            let other = OFFERS.iter().find(|other| other.interface == *interface && other.name == *name);
            open(other.expect("it is offered"), arguments);
        }
    }
    if offer.interface == "wasi:gpio/digital" {
        let stateful = if offer.name.contains("stateful") { "stateful-" } else { "" };
        let named = |direction: &str| {
            let kind = if direction == "out" { stateful } else { "" };
            let get = [format!("get-digital-{direction}"), format!("[static]{kind}digital-{direction}-pin.get")];
            OFFERS.iter().find(|other| get.contains(&other.name.to_owned()) && go_together(offer, other))
        };
        for (direction, arguments) in ["out", "in"].into_iter().zip(PINS) {
            open(named(direction).expect("each draft has pins"), arguments);
        }
    }
    (imports, calls)
}

/// A container that calls `offer` with the arguments that [`with_arguments`] gives it, and ends with what it answered.
fn caller_of(offer: &Offer) -> Vec<u8> {
    let (imports, opened) = openings(offer);
    let argument = |number: usize, ty: &str| format!("({ty}.load (i32.const {}))", ARGUMENTS_AT + 8 * number);
    let arguments: String =
        offer.parameters.chars().enumerate().map(|(number, letter)| argument(number, type_of(letter))).collect();
    let called = format!("(call $called {arguments})");
    let called = match offer.results {
        "" => called,
        "i" => format!("(call $exit {called})"),
        _ => format!("(drop {called})"),
    };
    let body = format!("{opened} {called}");
    let hooks = match offer.interface {
        WASI => format!(r#"(func (export "_start") {body})"#),
        TINY => format!(
            r#"(func (export "start")) (func (export "loop") (result i32) {body} (i32.const 1)) (func (export "stop"))"#
        ),
        _ => format!(
            r#"(func (export "on-start") (result i32) (i32.const 0))
               (func (export "on-loop") (result i32) {body} (i32.const 1)) (func (export "on-stop"))"#
        ),
    };
    let marks = String::from_utf8_lossy(&MARK).repeat(ARGUMENTS);
    let mut wasm = wat(&format!(
        r#"(module {imports} {}
            (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1) {MEMORY} (data (i32.const {ARGUMENTS_AT}) "{marks}")
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) {})
            {hooks})"#,
        import(offer, "called"),
        argument(ARGUMENTS - 1, "i32"),
    ));
    if offer.interface == WASI {
        wasm = embed(&wasm, &Manifest::named("test"), &[("hello.txt", b"Hello, reef!")]).expect("a valid container");
    }
    wasm
}

fn with_arguments(wasm: &[u8], arguments: &[u64; ARGUMENTS]) -> Vec<u8> {
    let marks = MARK.repeat(ARGUMENTS);
    let at = wasm.windows(marks.len()).position(|bytes| bytes == marks).expect("the module has its mark");
    let bytes: Vec<u8> = arguments.iter().flat_map(|argument| argument.to_le_bytes()).collect();
    [&wasm[..at], &bytes, &wasm[at + marks.len()..]].concat()
}

/// All alike, then mixed: about two plausible ones for an edge. The same ones in each run.
fn cases(offer: &Offer) -> Vec<[u64; ARGUMENTS]> {
    let mut random = fastrand::Rng::with_seed(offer.name.bytes().map(u64::from).sum());
    let alike = EDGES.into_iter().map(|edge| {
        let mut arguments = [edge; ARGUMENTS];
        arguments[ARGUMENTS - 1] = 8192;
        arguments
    });
    let mut cases: Vec<_> = alike.collect();
    if offer.name == "poll" {
        // The list of both pollables, which chance does not find.
        cases.push(core::array::from_fn(|number| [80, 2, 1024].get(number).copied().unwrap_or(8192)));
    }
    let count = if offer.parameters.is_empty() { 1 } else { MIXED_CASES };
    cases.extend((0..u64::from(count)).map(|case| {
        let mut arguments = core::array::from_fn(|_| match random.u8(0..3) {
            0 => EDGES[random.usize(0..EDGES.len())],
            _ => PLAUSIBLE[random.usize(0..PLAUSIBLE.len())],
        });
        // What was opened has these numbers, whatever it is.
        if case % 2 == 0 {
            arguments[0] = 1 + case / 2 % 4;
            // And these are a value of every enumeration and a place for every result.
            if case / 8 % 2 == 0 {
                arguments[1] = case / 16;
                arguments[2..].fill(1024);
            }
        }
        arguments
    }));
    cases
}

fn channels() -> CellConfiguration {
    let channel = |name: &str, direction| ChannelName { name: name.into(), direction, value_type: "list<u8>".into() };
    CellConfiguration {
        channels: vec![channel("out", Direction::Put), channel("in", Direction::Get)],
        ..configuration(&["one", "two"])
    }
}

/// Regions that a cell reads and others write: module, and values of the exchange.
const OF_OTHERS: [&str; 2] = ["region_module", "region_from_exchange"];

fn bytes_of(wiring: &FakeWiring, symbol: &str) -> Vec<u8> {
    let region = wiring.region(symbol).expect("a node has all regions");
    let mut bytes = vec![0; region.size_bytes()];
    region.read(0, &mut bytes).expect("its whole size");
    bytes
}

fn bound_node() -> FakeNode {
    let node = furnished(FakeNode::with_room_for(16 * 1024, Options::default()));
    node.state().records_calls = false;
    for (address, may_use) in [(16, true), (32, false)] {
        node.state().devices.insert(address, FakeDevice { may_use, bytes: [7; 256], pointer: 0 });
    }
    node.state().exchange.ends = [(0, 0), (1, 1)].into();
    let kept = FakeSlot { depth: 4, values: [vec![7; 5]].into(), ..FakeSlot::default() };
    node.state().exchange.slots = [(0, FakeSlot { depth: 4, ..FakeSlot::default() }), (1, kept)].into();
    node
}

/// Whether `answer` is one that the function's description has.
fn is_documented(offer: &Offer, answer: i32) -> bool {
    const LAST_ERRNO: i32 = 76;
    let is = |names: &[&str]| names.iter().any(|name| offer.name == *name || offer.name.ends_with(&format!(".{name}")));
    match offer.interface {
        _ if offer.results != "i" => answer == 0,
        WASI if !offer.served => (1..=LAST_ERRNO).contains(&answer),
        WASI => (0..=LAST_ERRNO).contains(&answer),
        TINY => answer >= -1,
        _ if is(&["get", "state", "active-level", "ready", "is-ready"]) => (0..=1).contains(&answer),
        // Counts, masks and handles.
        _ if is(&["wait", "take-edges", "value-length", "subscribe-instant", "subscribe-duration"]) => true,
        _ => Status::from_wire(answer.cast_unsigned()).is_some(),
    }
}

/// How a call came out; says what is wrong where that is no way for it to.
fn judge(offer: &Offer, status: &CellStatus) -> Result<Outcome, String> {
    let text = detail(status);
    match (state(status), reason(status)) {
        (ContainerState::Failed, FailureReason::Trap)
            if text.contains("host call") || text.contains("cabi_realloc") =>
        {
            Ok(Outcome::Trapped)
        }
        (ContainerState::Finalised, _) if status.ended_ns >= status.started_ns + STOP_AFTER_NS => Ok(Outcome::Waited),
        // The exit code is a parameter there.
        (ContainerState::Finalised, _) if offer.name == "proc_exit" => Ok(Outcome::Answered),
        (ContainerState::Finalised, _) if is_documented(offer, status.exit_code) => Ok(Outcome::Answered),
        (state, reason) => Err(format!("{state} {reason} {} `{text}`", status.exit_code)),
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Outcome {
    Answered,
    Trapped,
    Waited,
}

/// Each case of one function in one cell; how many came out how.
fn try_all(offer: &Offer, after: &[u8]) -> [usize; 3] {
    let mut node = bound_node();
    let wasm = caller_of(offer);
    let mut counts = [0; 3];
    for arguments in cases(offer) {
        let what = format!("{}.{} {arguments:x?}", offer.interface, offer.name);
        node.load(&with_arguments(&wasm, &arguments), &channels(), Command::Run);
        node.command_in(STOP_AFTER_NS + 1_000_000, Command::Stop);
        let before = OF_OTHERS.map(|symbol| bytes_of(&node.wiring, symbol));
        let outcome = judge(offer, &node.run_to_end());
        counts[outcome.unwrap_or_else(|why| panic!("{what}: {why}")) as usize] += 1;
        assert!(before == OF_OTHERS.map(|symbol| bytes_of(&node.wiring, symbol)), "{what}: wrote into others' regions");
        // What was not delivered of the stop belongs to this one.
        while node.step() {}
        assert_eq!(state(&node.run(after, &configuration(&[]))), ContainerState::Finalised, "after {what}");
        let state = node.state();
        assert!(state.timers.iter().all(Option::is_none), "{what}: {:?}", state.timers);
        assert!(state.lines.values().all(|line| !line.is_output && !line.is_input), "{what}: a line is left open");
        assert_eq!(state.lines[&VALVE.1].transitions, 0, "{what}: a line that was not granted was driven");
    }
    counts
}

#[test]
fn hostile_arguments_of_every_function_end_the_container_at_most() {
    let after = reactor("", "(i32.const 0)", "(i32.const 1)", "");
    let mut all = [0; 3];
    let mut never_served = Vec::new();
    let mut never_trapped = Vec::new();
    for offer in OFFERS {
        let counts = try_all(offer, &after);
        for (sum, count) in all.iter_mut().zip(counts) {
            *sum += count;
        }
        if counts[Outcome::Trapped as usize] == cases(offer).len() {
            never_served.push((offer.interface, offer.name));
        }
        if counts[Outcome::Trapped as usize] == 0 {
            never_trapped.push(offer.name);
        }
    }
    assert!(all.iter().all(|count| *count > 0), "some outcome was never seen: {all:?}");
    assert_eq!(never_served, [], "what never gets further than its arguments is not tested");
    println!("never trapped: {never_trapped:?}");
    println!("{} functions of {} drafts, answered, trapped, waited: {all:?}", OFFERS.len(), DRAFTS.len());
}

/// [`POINTERS`]' line of a function.
fn pointers_of(offer: &Offer) -> Option<&'static (&'static str, &'static [u64], &'static [usize])> {
    let name = format!("{}/{}", offer.interface, offer.name);
    POINTERS.iter().find(|(end, ..)| name.ends_with(&format!("/{end}")) || name == *end || is_method(&name, end))
}

/// `…/[method]stateful-digital-out-pin.toggle` is `out-pin.toggle`.
fn is_method(name: &str, end: &str) -> bool {
    end.contains('.') && ["-", "]"].iter().any(|before| name.ends_with(&format!("{before}{end}")))
}

fn call(node: &mut FakeNode, wasm: &[u8], arguments: &[u64]) -> CellStatus {
    let all = core::array::from_fn(|number| arguments.get(number).copied().unwrap_or(8192));
    node.load(&with_arguments(wasm, &all), &channels(), Command::Run);
    node.command_in(STOP_AFTER_NS, Command::Stop);
    let status = node.run_to_end();
    while node.step() {}
    status
}

#[test]
fn an_address_outside_the_memory_traps_in_every_function_that_takes_one() {
    for offer in OFFERS {
        let Some(&(_, arguments, pointers)) = pointers_of(offer) else { continue };
        assert_eq!(arguments.len(), offer.parameters.len(), "{}", offer.name);
        let wasm = caller_of(offer);
        let good = call(&mut bound_node(), &wasm, arguments);
        assert_eq!(state(&good), ContainerState::Finalised, "{}: {}", offer.name, detail(&good));
        for pointer in pointers {
            // Of 8 bytes aligned, and of those that begin within the memory, none ends within it.
            for address in [END, 1 << 31, 0xffff_fff8] {
                let mut arguments = arguments.to_vec();
                arguments[*pointer] = address;
                let status = call(&mut bound_node(), &wasm, &arguments);
                let what = format!("{}.{} with {arguments:x?}", offer.interface, offer.name);
                assert_eq!(reason(&status), FailureReason::Trap, "{what} answered {}", status.exit_code);
                assert!(detail(&status).contains("outside the memory"), "{what}: {}", detail(&status));
            }
        }
    }
}

#[test]
fn every_function_that_takes_addresses_is_listed() {
    // Of the others, a parameter of 32 bits is a number, a handle, a descriptor or a flag.
    const WITHOUT: [&str; 18] = [
        "fd_close",
        "fd_fdstat_set_flags",
        "proc_exit",
        "fd_datasync",
        "fd_sync",
        "fd_renumber",
        "fd_advise",
        "fd_filestat_set_times",
        "fd_pwrite",
        "proc_raise",
        "sock_accept",
        "sock_recv",
        "sock_send",
        "sock_shutdown",
        "fd_fdstat_set_rights",
        "fd_allocate",
        "fd_filestat_set_size",
        "[method]reader.value-word",
    ];
    for offer in OFFERS.iter().filter(|offer| pointers_of(offer).is_none()) {
        let is_number = WITHOUT.contains(&offer.name);
        // A handle or a number, and for methods that answer a status one argument more.
        let has_no_room = offer.parameters.matches('i').count() <= 1 || ["gpio", "i2c"].contains(&offer.interface);
        assert!(is_number || has_no_room, "{}.{} takes addresses, or none: say which", offer.interface, offer.name);
    }
    for (end, ..) in POINTERS {
        let named = OFFERS.iter().filter_map(pointers_of).filter(|line| line.0 == *end).count();
        assert!(named > 0, "{end} is no function");
    }
}
