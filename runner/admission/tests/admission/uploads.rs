//! Uploads: the one that works, each that does not, and what is left of those.

use runner_interfaces::{boot_report::Finding, cell::FailureReason, grants::CellGrants};
use shared_ring_messages::{Answer, CHUNK_BYTES, DeployRequest, ErrorCode, MAX_ARGUMENTS, Request};

use crate::node::*;

#[test]
fn a_module_arrives_whole_with_what_it_asked_for() {
    let mut node = Node::new();
    node.greet(0);
    let wasm = reactor();
    let asked = DeployRequest {
        grants: vec!["gpio:LED:out".into(), "timer:2ms".into()],
        arguments: vec!["one".into(), "two words".into()],
        environment: vec![("NAME".into(), "value".into())],
        start: true,
        ..request("blinker", &wasm)
    };
    let report = node.deploy(0, asked, &wasm).expect("deployed");
    assert_eq!((report.name.as_str(), report.cell, report.state_text.as_str()), ("blinker", 0, "ready"));
    let rights: Vec<_> = report.grants.iter().map(|grant| grant.right.as_str()).collect();
    assert_eq!(rights[0], "gpio:LED:out@100/s");
    assert_eq!(rights.last(), Some(&"timer:2ms:7"));
    assert_eq!((report.world.as_str(), report.reason, report.started_ns), ("reactor", 0, 77));
    let (configuration, loaded) = node.cells[0].loaded.clone().expect("loaded");
    assert_eq!(loaded, wasm);
    assert_eq!(
        (configuration.name.as_str(), configuration.arguments),
        ("blinker", vec!["one".into(), "two words".into()])
    );
    assert_eq!(configuration.environment, [("NAME".into(), "value".into())]);
    assert_eq!(configuration.lines[0], ("LED".into(), 0));
    let expected =
        CellGrants { output_lines: 1, minimum_period_ns: 2_000_000, timers: 7, generation: 1, ..CellGrants::default() };
    assert_eq!(node.table().cells[0].grants, expected);
}

#[test]
fn without_start_it_stays_installed() {
    let mut node = Node::new();
    node.greet(0);
    let wasm = reactor();
    assert_eq!(node.deploy(0, request("a", &wasm), &wasm).expect("deployed").state_text, "installed");
}

#[test]
fn a_short_command_is_a_success_whatever_its_exit_code() {
    let mut node = Node::new();
    node.greet(0);
    let wasm = reactor();
    node.cells[0].script = Script::Exits(vec!["out".into()], 3);
    let report = node.deploy(0, DeployRequest { start: true, ..request("a", &wasm) }, &wasm).expect("deployed");
    assert_eq!((report.state_text.as_str(), report.exit_code), ("finalised", 3));
}

#[test]
fn a_command_that_trapped_was_started() {
    let mut node = Node::new();
    node.greet(0);
    let wasm = reactor();
    node.cells[0].script = Script::Traps("_start: unreachable executed");
    let report = node.deploy(0, DeployRequest { start: true, ..request("a", &wasm) }, &wasm).expect("deployed");
    assert_eq!((report.state_text.as_str(), report.reason), ("failed", FailureReason::Trap.to_wire()));
    assert_eq!(report.reason_text, "trap: _start: unreachable executed");
}

/// Announces it, and answers how it was refused; nothing of it may be left.
fn refused_announcement(node: &mut Node, request: DeployRequest) -> Refusal {
    let before = node.list(0).len();
    let refusal = node.refusal(0, Request::Deploy(request));
    assert_eq!(node.list(0).len(), before);
    assert_eq!(node.refusal(0, Request::Commit).0, ErrorCode::Protocol, "no upload is under way");
    refusal
}

#[test]
fn announcements_are_refused_before_a_cell_is_taken() {
    let mut node = Node::new();
    node.greet(0);
    let wasm = reactor();
    let good = || request("a", &wasm);
    let cases = [
        (DeployRequest { name: String::new(), ..good() }, ErrorCode::InvalidName, "empty"),
        (DeployRequest { name: "No".into(), ..good() }, ErrorCode::InvalidName, "`No`"),
        (DeployRequest { name: "x".repeat(41), ..good() }, ErrorCode::InvalidName, "at most 40"),
        (DeployRequest { size: 0, ..good() }, ErrorCode::ModuleSize, "0 bytes"),
        (DeployRequest { size: MODULE_LIMIT + 1, ..good() }, ErrorCode::ModuleSize, "at most 65536"),
        (
            DeployRequest { arguments: vec!["a".into(); MAX_ARGUMENTS + 1], ..good() },
            ErrorCode::TooManyArguments,
            "at most 64",
        ),
        (DeployRequest { arguments: vec!["a".repeat(5000)], ..good() }, ErrorCode::TooManyArguments, "at most 4096"),
        (DeployRequest { arguments: vec!["a\0".into()], ..good() }, ErrorCode::Protocol, "zero byte"),
        (
            DeployRequest { grants: vec!["gpio:VALVE:out".into()], ..good() },
            ErrorCode::NotAllowed,
            "`gpio:VALVE:out`: the board allows nothing",
        ),
        (
            DeployRequest { grants: vec!["gpio:DOOR:in".into()], ..good() },
            ErrorCode::NotAllowed,
            "it has LED (out), BUTTON (in, edge)",
        ),
        (DeployRequest { grants: vec!["timer:10ns".into()], ..good() }, ErrorCode::NotAllowed, "below 1ms"),
    ];
    let count = cases.len() as u64;
    for (request, code, words) in cases {
        let (found, detail) = refused_announcement(&mut node, request);
        assert_eq!(found, code, "{detail}");
        assert!(detail.contains(words), "{detail}");
    }
    assert_eq!(node.counter(0, "uploads_refused"), count);
}

#[test]
fn names_and_cells_are_finite() {
    let mut node = Node::new();
    node.greet(0);
    let wasm = reactor();
    for number in 0..CELLS {
        node.deploy_running(0, &format!("c{number}"));
    }
    assert_eq!(refused_announcement(&mut node, request("c2", &wasm)).0, ErrorCode::NameTaken);
    let (code, detail) = refused_announcement(&mut node, request("more", &wasm));
    assert_eq!((code, detail.as_str()), (ErrorCode::NoFreeCell, "all 4 cells are taken; remove a container"));
    node.ask(0, Request::Kill("c2".into())).expect("runs");
    assert_eq!(node.ask(0, Request::Remove("c2".into())), Ok(Answer::Done));
    assert_eq!(node.deploy_running(0, "more").cell, 2);
}

#[test]
fn without_a_policy_the_node_answers_and_deploys_nothing() {
    let mut node = Node::with_policy(&policy(), false);
    assert!(!node.admission.has_policy());
    assert!(matches!(node.self_test(), Finding::Wrong(_)), "and the console says so");
    assert!(matches!(Node::new().self_test(), Finding::Well(_)));
    node.greet(0);
    let (code, detail) = refused_announcement(&mut node, request("a", &reactor()));
    assert_eq!(code, ErrorCode::Internal);
    assert!(detail.contains("no board policy"), "{detail}");
    assert_eq!(node.info(0).board, "");
}

#[test]
fn one_upload_a_session() {
    let mut node = Node::new();
    node.greet(0);
    node.greet(1);
    let wasm = reactor();
    assert!(matches!(node.ask(0, Request::Deploy(request("a", &wasm))), Ok(Answer::Ready { .. })));
    assert_eq!(node.refusal(0, Request::Deploy(request("b", &wasm))).0, ErrorCode::Protocol);
    assert_eq!(node.refusal(1, Request::Deploy(request("a", &wasm))).0, ErrorCode::NameTaken, "the name is reserved");
    assert_eq!(node.refusal(1, Request::Chunk { sequence: 0, bytes: vec![0] }).0, ErrorCode::Protocol);
    assert_eq!(node.refusal(1, Request::Commit).0, ErrorCode::Protocol, "another session's upload");
    let listed = &node.list(1)[0];
    assert_eq!((listed.name.as_str(), listed.state_text.as_str()), ("a", "provisioned"));
}

/// Begins an upload of `size` bytes, sends what is to be refused, and checks that nothing of the upload is left.
fn refused_upload(wasm: &[u8], spoil: impl FnOnce(&mut Node) -> Refusal) -> Refusal {
    let mut node = Node::new();
    node.greet(0);
    assert!(matches!(node.ask(0, Request::Deploy(request("a", wasm))), Ok(Answer::Ready { .. })));
    let refusal = spoil(&mut node);
    assert_eq!(node.counter(0, "uploads_abandoned"), 1);
    assert_eq!(node.list(0), []);
    assert_eq!(node.refusal(0, Request::Chunk { sequence: 0, bytes: vec![0] }).0, ErrorCode::Protocol);
    node.assert_clean(0);
    assert_eq!(node.deploy_running(0, "a").cell, 0, "name and cell are free again");
    refusal
}

fn chunk(sequence: u32, bytes: &[u8]) -> Request {
    Request::Chunk { sequence, bytes: bytes.to_vec() }
}

#[test]
fn chunks_out_of_order_end_an_upload() {
    let wasm = reactor();
    for sequence in [1, 2, u32::MAX] {
        let (code, _) = refused_upload(&wasm, |node| node.refusal(0, chunk(sequence, &[1])));
        assert_eq!(code, ErrorCode::Protocol);
    }
    let (code, detail) = refused_upload(&wasm, |node| {
        node.ask(0, chunk(0, &wasm[..CHUNK_BYTES])).expect("in order");
        node.refusal(0, chunk(0, &wasm[..CHUNK_BYTES]))
    });
    assert_eq!((code, detail.as_str()), (ErrorCode::Protocol, "chunk 0 came where 1 was due; the upload is abandoned"));
}

#[test]
fn chunks_of_the_wrong_size_end_an_upload() {
    let wasm = reactor();
    for bytes in [vec![], vec![0; CHUNK_BYTES + 1]] {
        assert_eq!(refused_upload(&wasm, |node| node.refusal(0, chunk(0, &bytes))).0, ErrorCode::Protocol);
    }
}

#[test]
fn more_or_fewer_bytes_than_announced_end_an_upload() {
    let (code, detail) = refused_upload(&[0; 10], |node| node.refusal(0, chunk(0, &[0; 11])));
    assert_eq!((code, detail.as_str()), (ErrorCode::DamagedUpload, "more bytes than the 10 that were announced"));
    let (code, detail) = refused_upload(&[0; 10], |node| {
        node.ask(0, chunk(0, &[0; 9])).expect("in order");
        node.refusal(0, Request::Commit)
    });
    assert_eq!((code, detail.as_str()), (ErrorCode::DamagedUpload, "9 of the 10 bytes that were announced arrived"));
}

#[test]
fn other_bytes_than_announced_end_an_upload() {
    let (code, detail) = refused_upload(&[0; 10], |node| {
        node.ask(0, chunk(0, &[1; 10])).expect("in order");
        node.refusal(0, Request::Commit)
    });
    assert_eq!(code, ErrorCode::DamagedUpload);
    assert!(detail.contains("SHA-256"), "{detail}");
}

#[test]
fn modules_that_no_cell_could_run_never_reach_one() {
    let hooks = r#"(func (export "on-start")) (func (export "on-loop")) (func (export "on-stop"))"#;
    let text = |text: &str| wat::parse_str(text).expect("parses");
    let cases = [
        (b"GIF89a".to_vec(), ErrorCode::NotWasm, "do not begin as a WebAssembly module"),
        (reactor()[..2000].to_vec(), ErrorCode::InvalidModule, "at byte"),
        (text(&format!(r#"(module (import "env" "f" (func)) {hooks})"#)), ErrorCode::UnknownImport, "`env.f`"),
        (text("(module)"), ErrorCode::UnknownWorld, "_start"),
        (text(&format!("(module (memory 17) {hooks})")), ErrorCode::ResourceLimit, "1114112 bytes of memory"),
        (text(&format!("(module (table 101 funcref) {hooks})")), ErrorCode::ResourceLimit, "101 table elements"),
    ];
    let mut node = Node::new();
    node.greet(0);
    for (number, (wasm, code, words)) in cases.into_iter().enumerate() {
        let (found, detail) = node.deploy(0, request("a", &wasm), &wasm).expect_err("refused");
        assert_eq!(found, code, "{detail}");
        assert!(detail.contains(words), "{detail}");
        assert_eq!(node.list(0), []);
        node.assert_clean(0);
        assert_eq!(node.counter(0, "modules_refused"), number as u64 + 1);
    }
    assert!(node.cells[0].loaded.is_none());
}

#[test]
fn what_the_cell_refuses_comes_back_by_its_kind_and_leaves_nothing() {
    let cases = [
        (FailureReason::NotWasm, ErrorCode::NotWasm),
        (FailureReason::InvalidModule, ErrorCode::InvalidModule),
        (FailureReason::UnknownImport, ErrorCode::UnknownImport),
        (FailureReason::UnknownWorld, ErrorCode::UnknownWorld),
        (FailureReason::MemoryLimit, ErrorCode::ResourceLimit),
        (FailureReason::TableLimit, ErrorCode::ResourceLimit),
        (FailureReason::CellMemory, ErrorCode::LoadFailed),
        (FailureReason::LoadLimit, ErrorCode::LoadFailed),
        (FailureReason::Trap, ErrorCode::LoadFailed),
        (FailureReason::Configuration, ErrorCode::Internal),
    ];
    let mut node = Node::new();
    node.greet(0);
    let wasm = reactor();
    for (reason, code) in cases {
        for start in [false, true] {
            node.cells[0].script = Script::FailsToLoad(reason, "the detail");
            let (found, detail) =
                node.deploy(0, DeployRequest { start, ..request("a", &wasm) }, &wasm).expect_err("failed");
            assert_eq!((found, detail), (code, format!("{reason}: the detail")));
            node.run();
            assert_eq!(node.list(0), []);
            node.assert_clean(0);
        }
    }
    assert_eq!(node.counter(0, "loads_failed"), 20);
}

#[test]
fn a_start_hook_that_fails_is_a_failed_deploy() {
    let mut node = Node::new();
    node.greet(0);
    let wasm = reactor();
    for reason in [FailureReason::StartRefused, FailureReason::StartLimit, FailureReason::Trap] {
        node.cells[0].script = Script::FailsToStart(reason, "on-start");
        let started = DeployRequest { start: true, ..request("a", &wasm) };
        let (code, detail) = node.deploy(0, started, &wasm).expect_err("failed");
        assert_eq!((code, detail), (ErrorCode::LoadFailed, format!("{reason}: on-start")));
        node.run();
        node.assert_clean(0);
    }
}

#[test]
fn a_load_that_never_ends_is_answered_at_the_limit() {
    let mut node = Node::new();
    node.greet(0);
    let wasm = reactor();
    node.cells[0].script = Script::LoadsForEver;
    node.upload(0, request("a", &wasm), &wasm).expect("whole");
    let number = node.begin(0, Request::Commit);
    node.run();
    assert_eq!(node.answer(0, number), None);
    // Compiling and the start function, each at its limit.
    node.pass(3 * HOOK_NS);
    let (code, detail) = node.answer(0, number).expect("bounded").expect_err("failed");
    assert_eq!((code, detail.as_str()), (ErrorCode::LoadFailed, "loading took too long"));
    node.run();
    node.assert_clean(0);
}

#[test]
fn a_cell_that_faults_while_it_loads_is_a_failed_deploy() {
    let mut node = Node::new();
    node.greet(0);
    let wasm = reactor();
    node.cells[0].script = Script::LoadsForEver;
    node.upload(0, request("a", &wasm), &wasm).expect("whole");
    let number = node.begin(0, Request::Commit);
    node.run();
    node.fault(0);
    let (code, detail) = node.answer(0, number).expect("answered").expect_err("failed");
    assert_eq!(code, ErrorCode::LoadFailed);
    assert!(detail.starts_with("the cell faulted: fault 6 (VM fault) at instruction 0x1234"), "{detail}");
    node.assert_clean(0);
    node.cells[0].script = Script::Runs(Vec::new());
    assert_eq!(node.deploy_running(0, "a").cell, 0);
}

#[test]
fn an_upload_cut_off_leaves_nothing() {
    let mut node = Node::new();
    let wasm = reactor();
    for chunks in 0..=3 {
        node.greet(0);
        node.ask(0, Request::Deploy(request("a", &wasm))).expect("free");
        for (sequence, bytes) in (0..).zip(wasm.chunks(CHUNK_BYTES)).take(chunks) {
            node.ask(0, chunk(sequence, bytes)).expect("in order");
        }
        node.hang_up(0);
        node.assert_clean(0);
    }
    node.greet(0);
    assert_eq!(node.list(0), []);
    assert_eq!(node.counter(0, "uploads_abandoned"), 4);
}

#[test]
fn a_port_opened_anew_without_a_close_is_another_session() {
    let mut node = Node::new();
    let wasm = reactor();
    node.greet(0);
    node.ask(0, Request::Deploy(request("a", &wasm))).expect("free");
    node.greet(0);
    assert_eq!(node.list(0), []);
    // Not even the opening was seen: the greeting says it.
    node.ask(0, Request::Deploy(request("a", &wasm))).expect("free");
    node.send(0, &hello(shared_ring_messages::PROTOCOL_MAJOR));
    node.run();
    node.take_messages(0);
    assert_eq!(node.list(0), []);
}

#[test]
fn two_uploads_at_once_do_not_mix() {
    let mut node = Node::new();
    let first = reactor();
    let mut second = reactor();
    let last = second.iter().rposition(|byte| *byte == b'a').expect("data");
    second[last] = b'b';
    node.greet(0);
    node.greet(1);
    node.ask(0, Request::Deploy(request("a", &first))).expect("free");
    node.ask(1, Request::Deploy(request("b", &second))).expect("free");
    for (sequence, (one, two)) in (0..).zip(first.chunks(CHUNK_BYTES).zip(second.chunks(CHUNK_BYTES))) {
        let numbers = [node.begin(0, chunk(sequence, one)), node.begin(1, chunk(sequence, two))];
        node.run();
        for (session, number) in numbers.into_iter().enumerate() {
            assert!(matches!(node.answer(session, number), Some(Ok(Answer::Acknowledged { .. }))));
        }
    }
    let numbers = [node.begin(0, Request::Commit), node.begin(1, Request::Commit)];
    node.run();
    for (session, number) in numbers.into_iter().enumerate() {
        assert!(matches!(node.answer(session, number), Some(Ok(Answer::Container(_)))));
    }
    assert_eq!(node.cells[0].loaded.as_ref().expect("loaded").1, first);
    assert_eq!(node.cells[1].loaded.as_ref().expect("loaded").1, second);
}

#[test]
fn a_whole_upload_may_be_sent_without_waiting() {
    let mut node = Node::new();
    node.greet(0);
    let wasm = reactor();
    let mut numbers = vec![node.begin(0, Request::Deploy(request("a", &wasm)))];
    for (sequence, bytes) in (0..).zip(wasm.chunks(CHUNK_BYTES)) {
        numbers.push(node.begin(0, chunk(sequence, bytes)));
    }
    numbers.push(node.begin(0, Request::Commit));
    node.run();
    assert!(numbers.into_iter().all(|number| matches!(node.answer(0, number), Some(Ok(_)))));
}

#[test]
fn a_warden_that_is_gone_is_a_fault_of_the_node() {
    let mut node = Node::new();
    node.greet(0);
    let wasm = reactor();
    node.lose_warden();
    let (code, detail) = node.deploy(0, request("a", &wasm), &wasm).expect_err("nobody loads it");
    assert_eq!(code, ErrorCode::Internal);
    assert!(detail.contains("warden"), "{detail}");
    assert_eq!(node.list(0), []);
}
