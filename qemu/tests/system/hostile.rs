//! Input that means harm: modules from `examples/hostile`, and bytes that no `emit` would send.

use std::path::Path;

use anyhow::{Context, Result};
use runner_container::{
    Channel, ChannelKind, Direction, Lifetime, Manifest, Restart, RestartPolicy, Schedule, Service, embed,
};
use shared_ring_messages::{FromAgent, HELLO_MAGIC, PROTOCOL_MAJOR, frame};

/// Assembles a hostile sample.
pub(crate) fn module(name: &str) -> Result<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/hostile");
    wat::parse_file(folder.join(format!("{name}.wat"))).with_context(|| format!("the hostile sample {name}"))
}

/// `examples/count` or `examples/plot` as `emit pack` would pack it: the one provides what the other needs.
pub(crate) fn end_of_a_channel(name: &str, direction: Direction) -> Result<Vec<u8>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../examples/{name}/{name}.wat"));
    let channel = if direction == Direction::Put { "out" } else { "in" };
    let attributes = vec![("room".into(), "kitchen".into())];
    let services = vec![Service { channel: channel.into(), service: "count".into(), attributes }];
    let none = Vec::new();
    let (provides, needs) = if direction == Direction::Put { (services, none) } else { (none, services) };
    let channel = Channel { name: channel.into(), direction, type_text: "u32".into(), kind: ChannelKind::Latest };
    let manifest = Manifest { channels: vec![channel], provides, needs, ..Manifest::named(name) };
    embed(&wat::parse_file(source)?, &manifest, &[]).context("the manifest is valid")
}

/// A WASI program that writes the file packed into it, `/greeting`, to its output. How much it read becomes the length of what
/// it writes.
pub(crate) fn reader_of_a_file() -> Result<Vec<u8>> {
    let text = r#"(module
        (import "wasi_snapshot_preview1" "path_open"
            (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (data (i32.const 8) "greeting") (data (i32.const 16) "\40\00\00\00\80\00\00\00")
        (func $must (param i32) (if (local.get 0) (then (call $exit (local.get 0)))))
        (func (export "_start")
            (call $must (call $open (i32.const 3) (i32.const 0) (i32.const 8) (i32.const 8) (i32.const 0)
                (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 0)))
            (call $must (call $read (i32.load (i32.const 0)) (i32.const 16) (i32.const 1) (i32.const 20)))
            (call $must (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 0)))))"#;
    embed(&wat::parse_str(text)?, &Manifest::named("reader"), &[("greeting", b"Hello from the reef\n")])
        .context("the manifest is valid")
}

/// `examples/fragile` as `emit pack` would pack it, but for its name and waits.
pub(crate) fn fragile() -> Result<Vec<u8>> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/fragile/fragile.wat");
    let restart =
        Restart { policy: RestartPolicy::OnFailure, first_back_off_ns: 100_000_000, attempts: 2, ..Restart::default() };
    let manifest = Manifest { restart, ..Manifest::named("fragile") };
    embed(&wat::parse_file(source)?, &manifest, &[]).context("the manifest is valid")
}

/// A container that the clock releases, with that in its loop hook.
pub(crate) fn released(name: &str, schedule: Schedule, body: &str) -> Result<Vec<u8>> {
    let text = format!(
        r#"(module
            (func (export "on-start") (result i32) (i32.const 0))
            (func (export "on-loop") (result i32) {body} (i32.const 0))
            (func (export "on-stop")))"#
    );
    let manifest = Manifest { schedule: Some(schedule), ..Manifest::named(name) };
    embed(&wat::parse_str(text)?, &manifest, &[]).context("the manifest is valid")
}

/// A container that the clock releases, and that changes the line SPARE once in each release.
pub(crate) fn punctual(name: &str, schedule: Schedule) -> Result<Vec<u8>> {
    let text = r#"(module
        (import "atoll:node/gpio@0.1.0" "open-output" (func $open (param i32 i32 i32)))
        (import "atoll:node/gpio@0.1.0" "[method]output.toggle" (func $toggle (param i32) (result i32)))
        (memory (export "memory") 1 1)
        (data (i32.const 0) "SPARE")
        (func (export "on-start") (result i32)
            (call $open (i32.const 0) (i32.const 5) (i32.const 16))
            (i32.load8_u (i32.const 16)))
        (func (export "on-loop") (result i32)
            (drop (call $toggle (i32.load (i32.const 20))))
            (i32.const 0))
        (func (export "on-stop")))"#;
    let manifest = Manifest { schedule: Some(schedule), ..Manifest::named(name) };
    embed(&wat::parse_str(text)?, &manifest, &[]).context("the manifest is valid")
}

/// A container that has the writing end of a channel whose values are as long as they may be, and leaves it alone.
pub(crate) fn writer_of_long_values(name: &str) -> Result<Vec<u8>> {
    let channel = Channel {
        name: "out".into(),
        direction: Direction::Put,
        type_text: "list<u8>".into(),
        kind: ChannelKind::Latest,
    };
    let manifest = Manifest { channels: vec![channel], ..Manifest::named(name) };
    embed(&module("sleep-for-ever")?, &manifest, &[]).context("the manifest is valid")
}

/// A container that sleeps 20 ms a loop and lives for so many, but is started again whenever it ends otherwise.
pub(crate) fn mortal(loops: u64) -> Result<Vec<u8>> {
    let text = r#"(module
        (import "atoll:node/timer@0.1.0" "sleep" (func $sleep (param i64) (result i32)))
        (func (export "on-start") (result i32) (i32.const 0))
        (func (export "on-loop") (result i32) (drop (call $sleep (i64.const 20000000))) (i32.const 0))
        (func (export "on-stop")))"#;
    let manifest = Manifest {
        lifetime: Lifetime { loops, time_ns: 0 },
        restart: Restart { policy: RestartPolicy::Always, ..Restart::default() },
        ..Manifest::named("mortal")
    };
    embed(&wat::parse_str(text)?, &manifest, &[]).context("the manifest is valid")
}

/// What [`secret_keeper`] fills its memory with, a word at a time. It stands in no file: the module computes it.
pub(crate) const SECRET: u64 = SECRET_HALVES.0 ^ SECRET_HALVES.1;

/// Numbers without a meaning, so that nothing else in a machine's memory looks like them.
const SECRET_HALVES: (u64, u64) = (0x9e37_79b9_7f4a_7c15, 0xd1b5_4a32_d192_ed03);

/// A reactor that fills four pages with [`SECRET`] and then never comes back from its loop.
pub(crate) fn secret_keeper() -> Result<Vec<u8>> {
    let (first, second) = SECRET_HALVES;
    let text = format!(
        r#"(module
            (memory (export "memory") 4 4)
            (global $half (mut i64) (i64.const {first:#x}))
            (func (export "on-start") (result i32)
                (local $place i32)
                (loop $next
                    (i64.store (local.get $place) (i64.xor (global.get $half) (i64.const {second:#x})))
                    (local.set $place (i32.add (local.get $place) (i32.const 8)))
                    (br_if $next (i32.lt_u (local.get $place) (i32.const 0x40000))))
                (i32.const 0))
            (func (export "on-loop") (result i32)
                (loop $for-ever (br $for-ever))
                (unreachable))
            (func (export "on-stop")))"#
    );
    wat::parse_str(text).context("the keeper of the secret")
}

/// A greeting of the next major version.
pub(crate) fn greeting_of_another_version() -> Result<Vec<u8>> {
    let hello = FromAgent::Hello { magic: HELLO_MAGIC, major: PROTOCOL_MAJOR + 1, minor: 0 };
    frame::encode(&hello).map_err(|error| anyhow::anyhow!("a greeting cannot be framed: {error:?}"))
}
