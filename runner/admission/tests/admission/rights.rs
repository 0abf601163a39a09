//! What a container may use: asked for, held to, and shown.

use runner_container::{Channel, ChannelKind, Direction, Manifest, embed};
use runner_interfaces::{
    exchange::put,
    gpio::GPIO_USAGE_OFFSET_BYTES,
    grants::{LineRates, MAX_LINES, RateOf},
    i2c::{ADDRESSES, I2C_USAGE_OFFSET_BYTES},
    policy::{BoardChannel, BoardPolicy},
    timer::{TIMER_USAGE_OFFSET_BYTES, TIMERS_PER_CLIENT},
    usage::{Count, UsageTable},
};
use shared_ring::HeapMemory;
use shared_ring_messages::{Answer, ContainerReport, DeployRequest, ErrorCode, GrantReport, LogRecord, Request};

use crate::node::*;

fn deploy(node: &mut Node, name: &str, grants: &[&str]) -> Result<ContainerReport, Refusal> {
    let wasm = reactor();
    let grants = grants.iter().map(|right| (*right).into()).collect();
    node.deploy(0, DeployRequest { start: true, grants, ..request(name, &wasm) }, &wasm)
}

fn node() -> Node {
    let mut node = Node::new();
    node.greet(0);
    node
}

fn texts(report: &ContainerReport) -> Vec<&str> {
    report.grants.iter().map(|grant| grant.right.as_str()).collect()
}

/// What was counted for a right of the container `a`.
fn used(node: &mut Node, right: &str) -> (u64, u64, u64, u64) {
    let report = node.report(0, Request::Inspect("a".into()));
    let grant = report.grants.iter().find(|grant| grant.right == right).expect("granted");
    (grant.calls, grant.refused, grant.limited, grant.coalesced)
}

/// A driver's table, which here the test writes.
fn table(node: &Node, region: &str, offset: usize, things: usize) -> UsageTable<HeapMemory> {
    UsageTable::new(node.regions[region].clone(), offset, things).expect("fits")
}

#[test]
fn each_right_shows_what_was_done_with_it_since_the_container_came() {
    let mut node = node();
    let lines = table(&node, "gpio_status", GPIO_USAGE_OFFSET_BYTES, usize::from(MAX_LINES));
    let addresses = table(&node, "i2c_status", I2C_USAGE_OFFSET_BYTES, usize::from(ADDRESSES));
    let timers = table(&node, "timer_status", TIMER_USAGE_OFFSET_BYTES, usize::from(TIMERS_PER_CLIENT));
    // Another container was in the cell before.
    lines.add(0, 0, Count::Calls, 1000);
    addresses.add(0, 0x48, Count::Refused, 1000);
    deploy(&mut node, "a", &["gpio:LED:out@5/s", "gpio:BUTTON:edge", "i2c:0x48-0x49", "timer:2ms:3"]).expect("allowed");
    lines.add(0, 0, Count::Calls, 7);
    lines.add(0, 0, Count::Limited, 2);
    lines.add(0, 3, Count::Coalesced, 9);
    addresses.add(0, 0x48, Count::Calls, 1);
    addresses.add(0, 0x49, Count::Calls, 2);
    // The executor's own timer is nobody's right.
    timers.add(0, 0, Count::Calls, 100);
    timers.add(0, 1, Count::Calls, 4);
    timers.add(0, 7, Count::Refused, 3);
    // And another cell's calls are not this one's.
    lines.add(1, 0, Count::Calls, 5);
    assert_eq!(used(&mut node, "gpio:LED:out@5/s"), (7, 0, 2, 0));
    assert_eq!(used(&mut node, "gpio:BUTTON:edge@100/s"), (0, 0, 0, 9));
    assert_eq!(used(&mut node, "i2c:0x48-0x49"), (3, 0, 0, 0));
    assert_eq!(used(&mut node, "timer:2ms:3"), (4, 3, 0, 0));
    assert_eq!(node.report(0, Request::Inspect("a".into())).refused, []);
}

#[test]
fn what_was_called_without_a_right_is_named() {
    let mut node = node();
    deploy(&mut node, "a", &["gpio:LED:out"]).expect("allowed");
    let lines = table(&node, "gpio_status", GPIO_USAGE_OFFSET_BYTES, usize::from(MAX_LINES));
    let addresses = table(&node, "i2c_status", I2C_USAGE_OFFSET_BYTES, usize::from(ADDRESSES));
    for (line, count) in
        [(6, Count::Calls), (6, Count::Refused), (9, Count::Calls), (9, Count::Refused), (3, Count::Calls)]
    {
        lines.add(0, line, count, 1);
    }
    addresses.add(0, 0x6b, Count::Refused, 2);
    let refused = node.report(0, Request::Inspect("a".into())).refused;
    let named: Vec<_> = refused.iter().map(|report| (report.right.as_str(), report.refused)).collect();
    assert_eq!(named, [("gpio:VALVE", 1), ("gpio:line 9", 1), ("i2c:0x6b", 2)]);
    // However much a hostile cell tries, the report stays short and the sum right.
    for address in 0..usize::from(ADDRESSES) {
        addresses.add(0, address, Count::Refused, 1);
    }
    let refused = node.report(0, Request::Inspect("a".into())).refused;
    assert_eq!((refused.len(), refused.last().map(|report| report.right.as_str())), (17, Some("others")));
    assert_eq!(refused.iter().map(|report| report.refused).sum::<u64>(), 2 + 2 + 128);
}

#[test]
fn the_warden_gets_the_rates_that_were_resolved() {
    let mut node = node();
    deploy(&mut node, "a", &["gpio:LED:out@5/s", "gpio:BUTTON:edge"]).expect("allowed");
    let rate = |node: &Node, line, of| LineRates::read(&node.regions["grants"], 0, line, of);
    assert_eq!((rate(&node, 0, RateOf::Transitions), rate(&node, 0, RateOf::Edges)), (5, 0));
    assert_eq!((rate(&node, 3, RateOf::Transitions), rate(&node, 3, RateOf::Edges)), (0, 100));
}

#[test]
fn memory_and_module_are_rights() {
    let mut node = node();
    let report = deploy(&mut node, "a", &["memory:128KiB"]).expect("allowed");
    assert!(texts(&report).contains(&"memory:128KiB"));
    assert_eq!(node.control(0).memory_limit_bytes, 128 << 10);
    let (code, detail) = deploy(&mut node, "b", &["memory:32KiB"]).expect_err("it begins with a page of 64 KiB");
    assert_eq!(code, ErrorCode::ResourceLimit);
    assert_eq!(detail, "it wants 65536 bytes of memory from the start; it may have 32768");
    let (code, detail) = deploy(&mut node, "b", &["module:1KiB"]).expect_err("it is longer");
    assert_eq!(code, ErrorCode::ModuleSize);
    assert!(detail.ends_with("its right is `module:1KiB`"), "{detail}");
    node.assert_clean(1);
}

#[test]
fn what_is_no_right_is_refused_with_what_would_be_one() {
    let mut node = node();
    let (code, detail) = deploy(&mut node, "a", &["gpio:LED:blink"]).expect_err("no right");
    assert_eq!(
        (code, detail.as_str()),
        (ErrorCode::NotAllowed, "`gpio:LED:blink`: a line is asked for as `out`, `in` or `edge`")
    );
}

#[test]
fn a_cell_is_told_of_the_node_what_its_container_may_know() {
    let board = BoardPolicy { node_by_default: false, ..policy() };
    let mut node = Node::with_policy(&board, true);
    node.greet(0);
    deploy(&mut node, "asks", &["node"]).expect("allowed");
    deploy(&mut node, "not", &[]).expect("allowed");
    let told = |node: &Node, cell: usize| node.cells[cell].loaded.clone().expect("loaded").0;
    let identity = told(&node, 0).node;
    assert_eq!((identity.board.as_str(), identity.substrate.as_str()), ("test board", "test node"));
    assert_eq!(told(&node, 1).node, runner_interfaces::cell::NodeIdentity::default());
    assert_eq!(told(&node, 1).name, "not", "who it is itself it is told");
}

fn declares(name: &str, channel: &str, direction: Direction) -> Vec<u8> {
    let channel = Channel { name: channel.into(), direction, type_text: "u32".into(), kind: ChannelKind::Latest };
    let manifest = Manifest { channels: vec![channel], ..Manifest::named(name) };
    embed(&reactor(), &manifest, &[]).expect("a valid manifest")
}

#[test]
fn a_channel_is_a_right_that_the_board_may_keep() {
    let level = BoardChannel { name: "level".into(), put: true, get: false };
    let mut node = Node::with_policy(&BoardPolicy { channels: Some(vec![level]), ..policy() }, true);
    node.greet(0);
    let wasm = declares("a", "level", Direction::Put);
    let report = node.deploy(0, DeployRequest { start: true, ..request("a", &wasm) }, &wasm).expect("allowed");
    assert_eq!(texts(&report)[0], "channel:level:put:u32");
    for _ in 0..3 {
        node.exchange(0, put(0, 4, &[0; 16]));
    }
    assert_eq!(used(&mut node, "channel:level:put:u32"), (3, 0, 0, 0), "the real exchange counts");
    let wasm = declares("b", "level", Direction::Get);
    let refused = node.deploy(0, DeployRequest { start: true, ..request("b", &wasm) }, &wasm).expect_err("not allowed");
    let detail = "`channel:level:get:u32`: the board does not allow it; it allows level (put)";
    assert_eq!(refused, (ErrorCode::NotAllowed, detail.to_owned()));
    node.assert_clean(1);
}

fn logs(node: &mut Node, cursor: u64) -> (Vec<LogRecord>, u64, u64, bool) {
    match node.ask(0, Request::Logs { name: "a".into(), cursor }) {
        Ok(Answer::Logs { records, next, lost, ended }) => (records, next, lost, ended),
        other => panic!("expected logs, got {other:?}"),
    }
}

#[test]
fn what_is_written_beyond_the_rate_is_dropped_counted_and_told() {
    let mut node = node();
    node.cells[0].script = Script::Runs(Vec::new());
    deploy(&mut node, "a", &["log:10/s"]).expect("allowed");
    for line in 0..30 {
        assert!(node.cells[0].print(&format!("line {line}")));
    }
    node.wake_everybody();
    node.run();
    let (records, next, lost, _) = logs(&mut node, 0);
    let text = |record: &LogRecord| String::from_utf8(record.bytes.clone()).expect("text");
    // A second's worth, and why there is no more.
    assert_eq!((records.len(), lost), (11, 0));
    assert_eq!(text(&records[9]), "line 9");
    assert_eq!(text(&records[10]), "it writes more than its right, log:10/s, allows; what is beyond is dropped");
    assert_eq!(logs(&mut node, next).2, 20, "and the gap is where it is");
    assert_eq!(used(&mut node, "log:10/s"), (10, 0, 20, 0));
    assert_eq!(node.counter(0, "output_limited"), 20);
    // A second later there is room again.
    node.pass(1_000_000_000);
    assert!(node.cells[0].print("later"));
    node.wake_everybody();
    node.run();
    assert_eq!(text(&logs(&mut node, next).0[0]), "later");
}

#[test]
fn who_runs_it_attached_waits_for_the_rate_and_misses_nothing() {
    let mut node = node();
    node.cells[0].script = Script::Runs(Vec::new());
    let wasm = reactor();
    let asked = DeployRequest { start: true, attached: true, grants: vec!["log:10/s".into()], ..request("a", &wasm) };
    node.deploy(0, asked, &wasm).expect("allowed");
    for line in 0..30 {
        assert!(node.cells[0].print(&format!("line {line}")));
    }
    node.wake_everybody();
    node.run();
    let mut cursor = 0;
    let mut seen = Vec::new();
    for looks in 0..25 {
        let (records, next, lost, ended) = logs(&mut node, cursor);
        assert_eq!((lost, ended), (0, false));
        cursor = next;
        seen.extend(records.into_iter().map(|record| String::from_utf8(record.bytes).expect("text")));
        // A second's worth was saved up; then there is one each tenth of a second.
        assert_eq!(seen.len(), (10 + looks).min(30));
        node.pass(100_000_000);
    }
    assert_eq!(seen, (0..30).map(|line| format!("line {line}")).collect::<Vec<_>>());
    assert_eq!(node.counter(0, "output_limited"), 0);
}

#[test]
fn a_nodes_limits_and_defaults_are_rights_too() {
    let mut node = node();
    let Ok(Answer::Info(info)) = node.ask(0, Request::Info) else { panic!("expected the node") };
    assert_eq!(info.defaults, ["log:1000000/s", "memory:1MiB", "module:64KiB", "node", "timer:10ms:7"]);
    assert_eq!(
        info.most,
        ["cpu:60%", "log:1000000/s", "memory:1MiB", "module:64KiB", "node", "priority:critical", "timer:1ms:7"]
    );
    assert_eq!(info.lines[0].most_per_second, 1000);
    let report = deploy(&mut node, "a", &[]).expect("allowed");
    assert_eq!(texts(&report), info.defaults);
    assert_eq!(report.grants[0], GrantReport { right: "log:1000000/s".into(), ..GrantReport::default() });
}
