//! What a node offers, held against the one who serves it and against the WIT file.

use std::collections::BTreeSet;

use runner_container::{
    Manifest, embed,
    offers::{self, DRAFTS, MAX_TABLES, OFFERS, Offer, TINY, WASI, module_of},
};
use runner_executor::{
    Options,
    fake::{FakeNode, detail, reason},
};
use runner_interfaces::{
    cell::{CellConfiguration, FailureReason},
    gpio::Status,
};
use wit_parser::{
    InterfaceId, Resolve, TypeDefKind, WorldItem,
    abi::{AbiVariant, WasmType},
};

#[test]
fn every_interface_is_found_by_the_module_that_it_is_imported_from() {
    for Offer { interface, .. } in OFFERS {
        assert_eq!(offers::interface(&module_of(interface)), Some(*interface));
    }
}

fn types(letters: &str) -> String {
    let name = |letter| match letter {
        'I' => " i64",
        'D' => " f64",
        _ => " i32",
    };
    letters.chars().map(name).collect()
}

/// Why a cell does not load a module with these imports; none where it does.
fn refusal(node: &mut FakeNode, imports: &str) -> Option<(FailureReason, String)> {
    let wasm = wat::parse_str(format!(r#"(module {imports} (memory (export "memory") 1) (func (export "_start")))"#));
    let configuration = CellConfiguration { name: "test".into(), ..CellConfiguration::default() };
    let status = node.run(&wasm.expect("valid text"), &configuration);
    (reason(&status) != FailureReason::None).then(|| (reason(&status), detail(&status)))
}

fn import(offer: &Offer, parameters: &str, results: &str) -> String {
    let (module, name) = (module_of(offer.interface), offer.name);
    format!(r#"(import "{module}" "{name}" (func (param{}) (result{})))"#, types(parameters), types(results))
}

#[test]
fn a_cell_serves_everything_that_is_offered_and_in_that_shape() {
    let mut node = FakeNode::new(Options::default());
    for (draft, named) in DRAFTS.iter().enumerate() {
        let together = OFFERS.iter().filter(|offer| offer.drafts == 0 || offer.drafts & 1 << draft != 0);
        let all: String = together.map(|offer| import(offer, offer.parameters, offer.results)).collect();
        assert_eq!(refusal(&mut node, &all), None, "{named:?}");
    }
    for offer in OFFERS {
        let other = format!("I{}", offer.parameters);
        for wrong in [import(offer, &other, offer.results), import(offer, offer.parameters, "I")] {
            if wrong == import(offer, offer.parameters, offer.results) {
                continue;
            }
            let refused = refusal(&mut node, &wrong).map(|(reason, _)| reason);
            assert_eq!(refused, Some(FailureReason::UnknownImport), "{wrong}");
        }
    }
}

/// What a table and a WIT file are compared by: interface, name, parameters, results.
type Functions = BTreeSet<(String, String, String, String)>;

/// The functions that the world of a folder's WIT files imports, lowered as `wit-bindgen` lowers them.
fn of_the_world(folder: &str, world: &str, named: impl Fn(&Resolve, InterfaceId) -> String) -> Functions {
    let mut resolve = Resolve::default();
    let folder = format!("{}/{folder}", env!("CARGO_MANIFEST_DIR"));
    let (package, _) = resolve.push_dir(folder).expect("the WIT files are valid");
    let world = resolve.select_world(&[package], Some(world)).expect("it has the world");
    let letters = |types: &[WasmType]| -> String {
        types
            .iter()
            .map(|of| match of {
                WasmType::I64 => 'I',
                WasmType::F64 => 'D',
                WasmType::I32 | WasmType::Pointer | WasmType::Length => 'i',
                other => panic!("the table has no letter for {other:?}"),
            })
            .collect()
    };
    let mut found = BTreeSet::new();
    for item in resolve.worlds[world].imports.values() {
        let WorldItem::Interface { id, .. } = item else { continue };
        let interface = &resolve.interfaces[*id];
        let name = named(&resolve, *id);
        for (function_name, function) in &interface.functions {
            let signature = resolve.wasm_signature(AbiVariant::GuestImport, function);
            found.insert((
                name.clone(),
                function_name.clone(),
                letters(&signature.params),
                letters(&signature.results),
            ));
        }
        for (type_name, id) in &interface.types {
            if resolve.types[*id].kind == TypeDefKind::Resource {
                found.insert((name.clone(), format!("[resource-drop]{type_name}"), "i".into(), String::new()));
            }
        }
    }
    found
}

#[test]
fn the_table_and_the_wit_file_are_one() {
    let is_ours = |offer: &&Offer| ![WASI, TINY].contains(&offer.interface) && !offer.interface.contains('/');
    let name = |resolve: &Resolve, id| resolve.interfaces[id].name.clone().expect("ours have names");
    assert_eq!(of_the_table(is_ours), of_the_world("../wit", "reactor", name));
}

fn of_the_table(which: impl Fn(&&Offer) -> bool) -> Functions {
    let functions = OFFERS.iter().filter(which).map(|offer| {
        let [interface, name, parameters, results] = [offer.interface, offer.name, offer.parameters, offer.results];
        (interface.to_owned(), name.to_owned(), parameters.to_owned(), results.to_owned())
    });
    functions.collect()
}

/// `tests/container/adapters` says in WIT what is served of each interface that others wrote.
#[test]
fn the_table_has_the_interfaces_of_others_as_they_are_lowered() {
    let name = |resolve: &Resolve, id| {
        let name = resolve.id_of(id).expect("they have names");
        name.split('@').next().expect("there is always one").to_owned()
    };
    let wasi = |offer: &&Offer| offer.interface.contains('/') && offer.drafts == 0;
    assert_eq!(of_the_table(wasi), of_the_world("tests/container/adapters/wasi", "imports", name));
    for (bit, (package, day)) in DRAFTS.iter().enumerate() {
        let folder = format!("tests/container/adapters/{}-{day}", package.replace(':', "-"));
        let of_draft = |offer: &&Offer| offer.drafts & 1 << bit != 0;
        assert_eq!(of_the_table(of_draft), of_the_world(&folder, "imports", name), "{package} of {day}");
    }
}

#[test]
fn a_module_speaks_one_draft() {
    let mut node = FakeNode::new(Options::default());
    let digital = "wasi:gpio/digital@0.2.0";
    let (march, may, both) = ("get-digital-in", "[static]digital-in-pin.get", "[method]digital-in-pin.read");
    for names in [&[both][..], &[march, both], &[both, may], &["[method]digital-out-pin.toggle", march]] {
        let imports = names.iter().map(|name| (digital, *name));
        assert_eq!(offers::mixed_drafts(imports), None, "{names:?}");
    }
    let mixed = [march, both, may];
    assert_eq!(offers::mixed_drafts(mixed.map(|name| (digital, name))), Some((digital, may)));
    let imports = mixed.map(|name| {
        let offer = offers::find(digital, name).expect("each is offered");
        import(offer, offer.parameters, offer.results)
    });
    let refused = refusal(&mut node, &imports.concat()).expect("no draft has them all");
    assert_eq!(refused, (FailureReason::UnknownImport, format!("{digital}.{may}")));
}

/// As any unknown import is.
#[test]
fn what_is_not_served_of_a_draft_is_refused_by_its_name() {
    let mut node = FakeNode::new(Options::default());
    for (module, name) in [
        ("wasi:gpio/digital@0.2.0", "[method]digital-in-pin.watch-rising-edge"),
        ("wasi:gpio/digital@0.2.0", "get-digital-in-out"),
        ("wasi:gpio/analog@0.2.0", "[method]analog-in-pin.read"),
        ("wasi:gpio/digital@0.3.0", "get-digital-in"),
        ("wasi:gpio/digital", "get-digital-in"),
        ("wasi:i2c/i2c@0.2.0-draft", "[method]i2c.transaction"),
        ("wasi:i2c/delay@0.2.0-draft", "[method]delay.delay-ns"),
        ("wasi:i2c/i2c@0.2.0", "[method]i2c.read"),
        ("wasi:clocks/timezone@0.2.0", "display"),
        ("wasi:clocks/monotonic-clock@0.3.0", "now"),
        ("wasi:io/streams@0.2.0", "[method]input-stream.read"),
        ("wasi:logging/logging@0.2.0", "log"),
    ] {
        assert_eq!(offers::find(module, name), None, "{module} {name}");
        let import = format!(r#"(import "{module}" "{name}" (func))"#);
        assert_eq!(refusal(&mut node, &import), Some((FailureReason::UnknownImport, format!("{module}.{name}"))));
    }
}

#[test]
fn the_table_has_all_of_wasi_preview_1() {
    let specification = include_str!("../../../executor/tests/cell/preview1.txt");
    let theirs: BTreeSet<(String, String)> = specification
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (name, parameters) = line.split_once(' ').unwrap_or((line, ""));
            let letters = parameters.split_whitespace().map(|of| if of == "i64" { 'I' } else { 'i' });
            (name.to_owned(), letters.collect())
        })
        .collect();
    let ours = OFFERS.iter().filter(|offer| offer.interface == WASI);
    assert_eq!(ours.map(|offer| (offer.name.to_owned(), offer.parameters.to_owned())).collect::<BTreeSet<_>>(), theirs);
}

/// What opens a file and lays out what the calls below read: a path, a vector, a subscription.
const SETUP: &str = r#"
    (data (i32.const 64) "a") (data (i32.const 16) "\00\10\00\00\01\00\00\00")
    (data (i32.const 128) "\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\00\01")"#;

/// Calls that succeed in a container with a file `a`, which is open as descriptor 4.
const SUCCESSES: &[(&str, &[i64])] = &[
    ("args_get", &[256, 512]),
    ("args_sizes_get", &[256, 260]),
    ("environ_get", &[256, 512]),
    ("environ_sizes_get", &[256, 260]),
    ("clock_res_get", &[0, 256]),
    ("clock_time_get", &[0, 0, 256]),
    ("fd_advise", &[4, 0, 0, 0]),
    ("fd_close", &[4]),
    ("fd_datasync", &[4]),
    ("fd_fdstat_get", &[4, 256]),
    ("fd_fdstat_set_flags", &[4, 0]),
    ("fd_fdstat_set_rights", &[4, 0, 0]),
    ("fd_filestat_get", &[4, 256]),
    ("fd_pread", &[4, 16, 1, 0, 256]),
    ("fd_prestat_get", &[3, 256]),
    ("fd_prestat_dir_name", &[3, 256, 1]),
    ("fd_read", &[4, 16, 1, 256]),
    ("fd_readdir", &[3, 256, 100, 0, 512]),
    ("fd_renumber", &[4, 3]),
    ("fd_seek", &[4, 1, 0, 256]),
    ("fd_sync", &[4]),
    ("fd_tell", &[4, 256]),
    ("fd_write", &[1, 16, 1, 256]),
    ("path_filestat_get", &[3, 0, 64, 1, 256]),
    ("path_open", &[3, 0, 64, 1, 0, 0, 0, 0, 256]),
    ("poll_oneoff", &[128, 256, 1, 512]),
    ("random_get", &[256, 1]),
    ("sched_yield", &[]),
];

/// What a call of the function with these arguments answers in such a container.
fn answer(node: &mut FakeNode, offer: &Offer, arguments: &[i64]) -> i32 {
    let open = Offer { name: "path_open", parameters: "iiiiiIIii", ..*offer };
    let arguments: String = types(offer.parameters)
        .split_whitespace()
        .zip(arguments)
        .map(|(ty, of)| format!("({ty}.const {of})"))
        .collect();
    let module = format!(
        r#"(module {} {} (import "{WASI}" "proc_exit" (func $exit (param i32)))
            (memory (export "memory") 1) {SETUP}
            (func (export "_start")
                (drop (call $open (i32.const 3) (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 0)
                    (i64.const 0x3fffffbf) (i64.const 0) (i32.const 0) (i32.const 0)))
                (call $exit (call $f {arguments}))))"#,
        import(offer, offer.parameters, offer.results).replace("(func ", "(func $f "),
        import(&open, open.parameters, open.results).replace("(func ", "(func $open "),
    );
    let manifest = Manifest { name: "test".into(), ..Manifest::default() };
    let module = embed(&wat::parse_str(module).expect("valid text"), &manifest, &[("a", b"1")]).expect("valid files");
    let configuration = CellConfiguration { name: "test".into(), ..CellConfiguration::default() };
    let status = node.run(&module, &configuration);
    assert_eq!(reason(&status), FailureReason::None, "{}: {}", offer.name, detail(&status));
    status.exit_code
}

#[test]
fn what_is_said_to_be_served_can_succeed() {
    let mut node = FakeNode::new(Options::default());
    let served = OFFERS.iter().filter(|offer| offer.interface == WASI && offer.results == "i" && offer.served);
    for offer in served.clone() {
        let (_, arguments) = SUCCESSES.iter().find(|(name, _)| *name == offer.name).expect(offer.name);
        assert_eq!(answer(&mut node, offer, arguments), 0, "{}", offer.name);
    }
    assert_eq!(served.count(), SUCCESSES.len());
}

#[test]
fn what_is_said_to_be_unserved_refuses_every_descriptor() {
    let mut node = FakeNode::new(Options::default());
    for offer in OFFERS.iter().filter(|offer| offer.interface == WASI && !offer.served) {
        for descriptor in 0..6 {
            // A path of one byte where one is asked for: what is there, and what is not.
            for address in [64, 65] {
                let arguments: Vec<i64> = match offer.name {
                    "path_symlink" => vec![64, 1, descriptor, address, 1],
                    "path_link" | "path_filestat_set_times" => vec![descriptor, 0, address, 1, descriptor, 66, 1],
                    "path_rename" => vec![descriptor, address, 1, descriptor, 66, 1],
                    name if name.starts_with("path_") => vec![descriptor, address, 1, 256, 1, 512],
                    _ => vec![descriptor, 0, 0, 0, 0, 0],
                };
                let answer = answer(&mut node, offer, &arguments[..offer.parameters.len()]);
                assert_ne!(answer, 0, "{} of descriptor {descriptor}", offer.name);
            }
        }
    }
}

#[test]
fn versions_match_as_semver_does() {
    assert!(offers::find("atoll:node/log@0.1.17", "log").is_some_and(|offer| offer.interface == "log"));
    assert!(offers::find(WASI, "fd_write").is_some_and(|offer| offer.served));
    for (module, name) in [
        ("atoll:node/log", "log"),
        ("atoll:node/log@0.2.0", "log"),
        ("atoll:node/log@0.1.", "log"),
        ("atoll:node/log@0.1.0-x", "log"),
        ("atoll:node/wasi_snapshot_preview1@0.1.0", "log"),
        ("log", "log"),
        (WASI, "fd_fly"),
        ("env", "fd_write"),
    ] {
        assert_eq!(offers::find(module, name), None, "{module} {name}");
    }
}

#[test]
fn the_number_of_tables_is_the_cells() {
    let mut node = FakeNode::new(Options::default());
    let tables = |count| "(table 1 funcref)".repeat(count);
    assert_eq!(refusal(&mut node, &tables(MAX_TABLES)), None);
    assert!(refusal(&mut node, &tables(MAX_TABLES + 1)).is_some());
}

/// A status crosses to the container as its place in the WIT file's enumeration.
#[test]
fn a_status_has_the_number_that_the_wit_file_gives_it() {
    let theirs: Vec<String> = cases_of("status").iter().map(|name| name.replace('-', "")).collect();
    let ours: Vec<String> = Status::ALL.iter().map(|status| format!("{status:?}").to_lowercase()).collect();
    assert_eq!(ours, theirs);
    assert!(Status::ALL.iter().zip(0..).all(|(status, number)| status.to_wire() == number));
}

/// The cases of an enumeration of the WIT file, in its order.
fn cases_of(enumeration: &str) -> Vec<String> {
    let mut resolve = Resolve::default();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../wit");
    resolve.push_dir(folder).expect("the WIT file is valid");
    let found = resolve.types.iter().find_map(|(_, of)| match &of.kind {
        TypeDefKind::Enum(cases) if of.name.as_deref() == Some(enumeration) => Some(cases),
        _ => None,
    });
    found.expect("it is there").cases.iter().map(|case| case.name.clone()).collect()
}

/// The cells count these by hand (`reactor/gpio.rs`, `reactor/log.rs`).
#[test]
fn enumerations_are_counted_as_the_cells_count_them() {
    for (name, cases) in [
        ("state", &["active", "inactive"][..]),
        ("active-level", &["active-high", "active-low"]),
        ("edges", &["rising", "falling", "both"]),
        ("pull", &["float", "up", "down"]),
        ("level", &["error", "warn", "info", "debug", "trace"]),
    ] {
        assert_eq!(cases_of(name), cases, "{name}");
    }
}
