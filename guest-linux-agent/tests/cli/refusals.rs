//! Bad files and bad requests: a clear word for whoever sends them, a counter on the node, no effect on anybody else.

use std::fs;

use crate::{
    hostile::Hostile,
    node::{Blinker, TestNode},
    sample,
};

#[test]
fn bad_files_are_refused_and_counted() {
    let node = TestNode::start();
    let files = Hostile::new();
    let blinker = Blinker::deploy(&node);
    let hello = fs::read(sample("hello")).expect("read");
    // A custom section that `emit` must keep, of 3 MiB: the padding is what makes it too large.
    let padding = [&[9][..], b"atoll.pad", &vec![0; 3 << 20]].concat();
    let mut large = hello.clone();
    large.push(0);
    large.extend(leb128(padding.len()));
    large.extend(padding);
    for (name, bytes, counter, words) in [
        ("empty.wasm", &b""[..], "uploads_refused", &["0 bytes", "2097152"][..]),
        ("large.wasm", &large, "uploads_refused", &["size is not allowed", "at most 2097152", "emit info"]),
        ("script.wasm", b"#!/bin/sh\necho hello\n", "modules_refused", &["not a WebAssembly module", "hint: "]),
        ("magic.wasm", &hello[..4], "modules_refused", &["the module is invalid"]),
        ("version.wasm", b"\0asm\x02\0\0\0", "modules_refused", &["the module is invalid"]),
        ("cut.wasm", &hello[..hello.len() / 2], "modules_refused", &["the module is invalid", "cut off"]),
    ] {
        let path = files.file(name, bytes);
        let before = node.counter(counter);
        let output = node.emit(&["deploy", &path]);
        output.fails(7, words);
        assert!(output.stderr.contains(&format!("{name}: ")), "it says which file: {output:?}");
        assert_eq!(node.counter(counter), before + 1, "{name} is counted");
        node.emit(&["run", &path]).fails(126, words);
        assert_eq!(node.names(), ["blinker"], "nothing of {name} is left");
    }
    blinker.lost_nothing();
}

/// Wherever a good module is cut, somebody says no.
#[test]
fn no_beginning_of_a_module_passes_for_one() {
    let node = TestNode::start();
    let files = Hostile::new();
    let button = fs::read(sample("button")).expect("read");
    for length in (1..button.len()).step_by(button.len() / 40) {
        let path = files.file("cut.wasm", &button[..length]);
        let output = node.emit(&["deploy", "--no-start", &path]);
        assert_eq!(output.code, Some(7), "{length} bytes: {output:?}");
    }
    assert!(node.names().is_empty());
}

fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let seven = u8::try_from(number & 0x7f).expect("seven bits");
        number >>= 7;
        bytes.push(if number == 0 { seven } else { seven | 0x80 });
        if number == 0 {
            return bytes;
        }
    }
}

#[test]
fn bad_requests_are_refused_and_counted() {
    let node = TestNode::start();
    let blinker = Blinker::deploy(&node);
    let hello = sample("hello");
    let many: Vec<String> = (0..65).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let long = "x".repeat(5000);
    let refused: [(&[&str], i32, &[&str]); 11] = [
        (&["--name", "blinker"], 8, &["there is a container `blinker`", "--name", "emit rm"]),
        (&["--name", "Not/A/Name"], 8, &["`Not/A/Name`", "a letter a to z", "--name"]),
        (&["--name", ""], 8, &["the name is empty"]),
        (&["--name", &long[..41]], 8, &["41 bytes", "at most 40"]),
        (&["--grant", "gpio:VALVE:out"], 7, &["board policy", "`gpio:VALVE:out`"]),
        (&["--grant", "gpio:NOWHERE:in"], 7, &["NOWHERE", "no such line", "LED (out)"]),
        (&["--grant", "gpio:BUTTON:out"], 7, &["gpio:BUTTON:out", "in, edge"]),
        (&["--grant", "timer:1us"], 7, &["timer:1us", "no period below 1ms"]),
        (&many, 8, &["65 arguments", "at most 64"]),
        (&[&long], 8, &["5000 bytes of arguments", "at most 4096"]),
        (&["--env", "A=1", &long[..4096]], 8, &["at most 4096"]),
    ];
    for (arguments, code, words) in refused {
        let before = node.counter("uploads_refused");
        let options: Vec<_> = [&["deploy"], arguments].concat();
        // The file stands in front of what it is given, where that is no option.
        let position = options.iter().rposition(|word| word.starts_with("--")).map_or(1, |option| option + 2);
        let line = [&options[..position], &[hello.as_str()], &options[position..]].concat();
        node.emit(&line).fails(code, words);
        assert_eq!(node.counter("uploads_refused"), before + 1, "{arguments:?}");
    }
    let huge = "x".repeat(10_000);
    node.emit(&["deploy", &hello, &huge]).fails(2, &["too long"]);
    blinker.lost_nothing();
}

#[test]
fn the_cells_are_given_out_once() {
    let node = TestNode::start();
    let blinker = Blinker::deploy(&node);
    let hello = sample("hello");
    for name in ["one", "two", "three", "four", "five", "six", "seven"] {
        node.emit(&["deploy", "--no-start", "--name", name, &hello]).succeeds();
    }
    let before = node.counter("uploads_refused");
    node.emit(&["deploy", &hello]).fails(8, &["all 8 cells are taken", "emit rm NAME"]);
    node.emit(&["run", &hello]).fails(125, &["all 8 cells are taken"]);
    assert_eq!(node.counter("uploads_refused"), before + 2);
    node.emit(&["rm", "two"]).succeeds();
    assert!(node.emit(&[&hello]).succeeds().starts_with("Hello"));
    blinker.lost_nothing();
}

#[test]
fn a_right_that_was_not_asked_for_is_named_with_its_remedy() {
    let node = TestNode::start();
    let before = node.counter("gpio_refused");
    node.emit(&["deploy", &sample("greedy")])
        .fails(7, &["greedy.wasm: ", "not granted", "hint: ask for what it needs"]);
    assert_eq!(node.counter("gpio_refused"), before + 1);
    node.emit(&["deploy", &sample("blinker")]).fails(7, &["not granted", "--grant gpio:LED:out"]);
}
