//! A module from bytes: the same bytes, the same module, and any bytes make one.
//!
//! `wasm-smith` makes valid code with imports of a node's table and the hooks of one of its worlds, so that nothing is spent
//! on what a cell refuses at once. Every function counts down a number that traps at its end, because no other engine
//! stops where a cell's fuel does.

use ::arbitrary::Unstructured;
use runner_container::offers::{COMMAND_HOOKS, OFFERS, Offer, REACTOR_HOOKS, TINY_HOOKS, module_of};
use wasm_smith::{Config, Module};

/// Calls and rounds of loops that a module may make in its whole life.
const TURNS: u32 = 2000;

/// The hooks of the worlds.
const WORLDS: [&[(&str, &str)]; 3] = [COMMAND_HOOKS, REACTOR_HOOKS, TINY_HOOKS];

fn types(letters: &str) -> String {
    let name = |letter| match letter {
        'I' => " i64",
        'D' => " f64",
        _ => " i32",
    };
    letters.chars().map(name).collect()
}

/// The functions that may be imported, as a module that imports them.
fn imports(offered: impl Iterator<Item = &'static Offer>) -> Vec<u8> {
    let import = |offer: &Offer| {
        let (module, name) = (module_of(offer.interface), offer.name);
        format!(
            r#"(import "{module}" "{name}" (func (param{}) (result{})))"#,
            types(offer.parameters),
            types(offer.results)
        )
    };
    let imports: String = offered.map(import).collect();
    wat::parse_str(format!("(module {imports})")).expect("names of the table are valid")
}

/// The hooks of a world, a memory and globals of all numbers, as a module that exports them.
fn exports(hooks: &[(&str, &str)], initializes: bool) -> Vec<u8> {
    let mut hooks = hooks.to_vec();
    if initializes {
        hooks.push(("_initialize", ""));
    }
    let hook =
        |(name, results): &(&str, &str)| format!(r#"(func (export "{name}") (result{}) unreachable)"#, types(results));
    let hooks: String = hooks.iter().map(hook).collect();
    let globals: String = ["i32", "i64", "f32", "f64", "i32", "i64"]
        .iter()
        .enumerate()
        .map(|(number, ty)| format!(r#"(global (export "global-{number}") (mut {ty}) ({ty}.const 0))"#))
        .collect();
    wat::parse_str(format!(r#"(module {hooks} {globals} (memory (export "memory") 1 8))"#)).expect("it is valid")
}

/// What is made of bytes.
#[derive(Debug)]
pub(crate) struct RandomModule {
    /// The module.
    pub(crate) wasm: Vec<u8>,
    /// Fuel of a slice of the cell.
    #[allow(dead_code, reason = "who shares this file may have slices of its own")]
    pub(crate) slice_fuel: u64,
    /// It imports only what `may_import` allowed.
    #[allow(dead_code, reason = "not everybody who shares this file compares engines")]
    pub(crate) is_narrow: bool,
}

/// Slices from the shortest to one for all.
const SLICES: [u64; 8] = [1, 2, 7, 33, 100, 1000, 10_000, 100_000_000];

/// Makes a module; none where the bytes are too few for one. Half of the modules import only what `narrow` answers true to,
/// the others anything that one draft has.
pub(crate) fn make(bytes: &[u8], narrow: impl Fn(&Offer) -> bool) -> Option<RandomModule> {
    let mut bytes = Unstructured::new(bytes);
    let choices: u8 = bytes.arbitrary().ok()?;
    let slice_fuel = *bytes.choose(&SLICES).ok()?;
    let hooks = WORLDS[usize::from(choices) % WORLDS.len()];
    let is_narrow = choices & 0x40 == 0;
    // Of two drafts of pins one; another package's stands beside either.
    let drafts = !0b11 | 1 << (choices >> 5 & 1);
    let offered = OFFERS.iter().filter(|offer| match is_narrow {
        true => narrow(offer),
        false => offer.drafts == 0 || offer.drafts & drafts != 0,
    });
    let config = Config {
        available_imports: Some(imports(offered)),
        exports: Some(exports(hooks, choices & 0x80 != 0)),
        max_imports: 12,
        max_funcs: 12,
        max_instructions: 120,
        max_tables: 3,
        max_table_elements: 300,
        // Besides the one that is exported.
        max_memories: 0,
        canonicalize_nans: true,
        // What a cell's engine is set to (`runner-executor`, `engine`).
        tail_call_enabled: false,
        simd_enabled: false,
        relaxed_simd_enabled: false,
        threads_enabled: false,
        shared_everything_threads_enabled: false,
        exceptions_enabled: false,
        gc_enabled: false,
        custom_descriptors_enabled: false,
        custom_page_sizes_enabled: false,
        memory64_enabled: false,
        wide_arithmetic_enabled: false,
        ..Config::default()
    };
    let mut module = Module::new(config, &mut bytes).ok()?;
    module.ensure_termination(TURNS).ok()?;
    Some(RandomModule { wasm: module.to_bytes(), slice_fuel, is_narrow })
}
