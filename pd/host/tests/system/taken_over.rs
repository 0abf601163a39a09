//! Domains that were taken over: they have what their process has, use all of it, and get nothing that is not theirs.
//!
//! What counts is what reaches a device: the bank counts each time that its driver touches a line, the bus tells each address
//! that was spoken to.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use pd_host::node::{Node, Options};
use pd_host::pins::Pins;
use pd_system_description::policy::Policy;
use runner_interfaces::MAX_CELLS;
use runner_interfaces::cell::ContainerState;
use runner_interfaces::grants::CellGrants;
use shared_ring_messages::{ContainerReport, ErrorCode, Request};

use crate::client::{Client, Deploy, blinker};
use crate::{Blinking, TestNode, demo_policy_with, eventually, eventually_within, project, sample};

/// Lines of the bank.
const LINES: u8 = 8;

/// How long every call of a hostile domain may take together: tens of thousands between processes, on a machine that does
/// other things besides.
const EVERY_CALL: Duration = Duration::from_secs(180);

/// What a hostile domain's log says when it has made each of its calls.
const MADE_ALL: &str = "hostile: made all of ";

fn mark(options: &Options, domain: &str, what: &str) {
    let mark = options.run_directory.join(domain).with_extension(what);
    std::fs::write(mark, "").expect("marked");
}

/// Waits until `domain` has made each of its calls; answers how many there were.
fn wait_for_every_call(node: &Node, domain: &str) -> u64 {
    let deadline = Instant::now() + EVERY_CALL;
    loop {
        let log = node.log(domain);
        // The line comes in pieces.
        if let Some((number, _)) = log.split_once(MADE_ALL).and_then(|(_, rest)| rest.split_once(' ')) {
            return number.parse().expect("a number");
        }
        assert!(Instant::now() < deadline, "`{domain}` did not come to the end of its calls: {log}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The lines that were touched, a bit a line.
pub(crate) fn touched(pins: &mut Pins) -> u64 {
    (0..LINES).filter(|line| pins.touches(&line.to_string()).expect("read") > 0).fold(0, |mask, line| mask | 1 << line)
}

/// The addresses that the bus was asked for.
pub(crate) fn spoken_to(node: &Node) -> Vec<String> {
    let log = node.log("i2c");
    log.lines().filter_map(|line| Some(line.strip_prefix("bus: a transfer to ")?.to_owned())).collect()
}

/// Lines of the demo board.
const LED: u8 = 0;
const RELAY: u8 = 1;

/// Which counters of what a hostile cell tries have not moved.
fn not_seen(client: &mut Client) -> Vec<&'static str> {
    let mut counters = vec![
        "gpio_refused",
        "timer_refused",
        "gpio_invalid",
        "i2c_refused",
        "cell_status_invalid",
        "cell_rings_misbehaved",
    ];
    counters.retain(|counter| client.counter(counter) == 0);
    counters
}

#[test]
fn a_cell_that_was_taken_over_harms_nobody() {
    let node = TestNode::start_with(|options| {
        mark(options, "cell1", "hostile");
        // It may say for as long as loading may take that it is at it: here that is not a minute.
        options.policy = Some(demo_policy_with(&options.run_directory, "load = \"60s\"", "load = \"1s\""));
    });
    let told = node.log("launcher");
    assert!(told.contains("atoll: 1 of 17 domains is not well: cell1\n"), "it never says that it is well: {told}");
    let mut client = Client::greeted(&node);
    client.deploy(&blinker("blinker")).expect("in cell 0");
    // With nothing granted, and the LED held by a neighbour.
    let calls = wait_for_every_call(&node, "cell1");
    assert!(calls > 50_000, "{calls}");
    let mut pins = node.gpio().expect("pins");
    assert_eq!(touched(&mut pins), 1 << LED, "a line was touched that nobody was granted");
    assert_eq!(spoken_to(&node), [""; 0], "no address was granted to anybody");
    let mut blinking = Blinking::watch(&node);
    // For some rounds at the least, and for as many as it takes until it has tried everything that is counted.
    while blinking.elapsed() < Duration::from_secs(3) || !not_seen(&mut client).is_empty() {
        assert!(
            blinking.elapsed() < EVERY_CALL,
            "not seen: {:?} of {:?}",
            not_seen(&mut client),
            client.info().counters
        );
        let mut session = Client::greeted(&node);
        session.info();
        assert_eq!(session.list().len(), 1);
        // The same name in each round: what the hostile cell is given never comes to anything, and leaves nothing. The cell may
        // say that it runs; that is an answer, too.
        match session.deploy(&Deploy::new("victim", sample("hello"))) {
            Err((code, detail)) => assert!(!detail.is_empty(), "{code:?}"),
            Ok(report) => {
                assert_eq!(report.cell, 1, "{report:?}");
                if let Err(refusal) = session.container(Request::Kill("victim".into())) {
                    assert_eq!(refusal.0, ErrorCode::WrongState, "it says that it has ended already: {refusal:?}");
                }
                session.ask(Request::Remove("victim".into())).expect("it goes, whatever it says");
            }
        }
    }
    blinking.went_on();
    assert_eq!(touched(&mut pins), 1 << LED, "a line was touched that nobody was granted");
    assert_eq!(spoken_to(&node), [""; 0], "no address was granted to anybody");
    let report = client.inspect("blinker");
    assert_eq!(report.refused_calls, 0, "{report:?}");
    client.container(Request::Stop("blinker".into())).expect("stopped as ever");
}

/// Hands a container over in a session of its own, and does not wait for what comes of it.
fn begin_deploying(node: &Node, container: &Deploy<'_>) -> Client {
    let mut session = Client::greeted(node);
    session.ask(Request::Deploy(container.request())).expect("taken");
    session.ask(Request::Chunk { sequence: 0, bytes: container.module.clone() }).expect("a small module");
    session.begin(Request::Commit);
    session
}

#[test]
fn a_cell_that_was_taken_over_has_its_containers_rights_and_no_more() {
    let node = TestNode::start_with(|options| {
        mark(options, "cell1", "hostile");
    });
    let mut client = Client::greeted(&node);
    client.deploy(&blinker("blinker")).expect("in cell 0");
    wait_for_every_call(&node, "cell1");
    let rights = ["gpio:RELAY:out@1000000/s", "i2c:0x50"];
    // It is given its rights, and never says what would come of it. Nobody waits for the answer here.
    let module = wat::parse_str(r#"(module (func (export "_start")))"#).expect("assembles");
    let victim = Deploy::new("victim", module).granting(&rights);
    let mut deployer = None;
    let mut pins = node.gpio().expect("pins");
    eventually_within(EVERY_CALL, "what it was granted, it moves and speaks to", || {
        // What it writes at random may say that it has come to an end, which takes its rights.
        let found = client.list().into_iter().find(|report| report.name == "victim");
        let is_over =
            |report: &ContainerReport| ContainerState::from_wire(report.state).is_none_or(ContainerState::is_final);
        if deployer.is_none() || found.as_ref().is_none_or(is_over) {
            // Where it never came to run, it goes by itself, perhaps meanwhile.
            let _ = client.ask(Request::Remove("victim".into()));
            deployer = Some(begin_deploying(&node, &victim));
        }
        pins.transitions("RELAY").expect("read") > 10 && spoken_to(&node) == ["0x50"]
    });
    let mut blinking = Blinking::watch(&node);
    // It may have been started anew in between, and begins from the start.
    wait_for_every_call(&node, "cell1");
    thread::sleep(Duration::from_secs(2));
    blinking.went_on();
    assert_eq!(touched(&mut pins), 1 << LED | 1 << RELAY, "a line was touched that nobody was granted");
    assert_eq!(spoken_to(&node), ["0x50"], "one address was granted");
    let report = client.inspect("blinker");
    assert_eq!(report.refused_calls, 0, "the LED is the blinker's: {report:?}");
}

/// What the witness wrote: the number beside `word`.
fn witnessed(node: &Node, word: &str) -> u64 {
    let text = std::fs::read_to_string(node.run_directory().join("witnessed")).unwrap_or_default();
    let found = text.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(' ')?.parse().ok());
    found.unwrap_or(0)
}

#[test]
fn an_admission_that_was_taken_over_gives_nobody_more_than_the_board_allows() {
    let node = TestNode::start_with(|options| {
        mark(options, "admission", "hostile");
        for cell in 0..MAX_CELLS {
            mark(options, &format!("cell{cell}"), "hostile");
        }
        mark(options, "vmm", "witness");
    });
    let policy = Policy::load(Path::new(&project().join("qemu/demo-policy.toml"))).expect("the demo board's");
    let ceiling: CellGrants = policy.limits.ceiling;
    let calls = wait_for_every_call(&node, "admission");
    assert!(calls > 50_000, "{calls}");
    let loads = witnessed(&node, "loads");
    eventually("it has containers loaded", || witnessed(&node, "loads") >= loads + 20);
    let mut pins = node.gpio().expect("pins");
    // Everything that the board allows, somebody had and used: so what was refused was refused by right.
    let allowed = ceiling.output_lines | ceiling.input_lines | ceiling.edge_lines;
    eventually_within(EVERY_CALL, "all that the board allows is used", || {
        let moved = |line: u8| pins.transitions(&line.to_string()).expect("read") > 0;
        [LED, RELAY].into_iter().all(moved) && touched(&mut pins) & allowed == allowed && spoken_to(&node).len() >= 2
    });
    thread::sleep(Duration::from_secs(3));
    for line in (0..LINES).filter(|line| !CellGrants::allows(ceiling.output_lines, *line)) {
        assert_eq!(pins.transitions(&line.to_string()).expect("read"), 0, "line {line} is nobody's output");
    }
    assert_eq!(touched(&mut pins), allowed, "a line was touched that the board gives to nobody");
    let mut addresses = spoken_to(&node);
    addresses.sort();
    assert_eq!(addresses, ["0x48", "0x50"], "an address that the board gives to nobody");

    assert!(witnessed(&node, "looks") > 100, "somebody looked");
    for (word, most) in [
        ("output_lines", ceiling.output_lines),
        ("input_lines", ceiling.input_lines),
        ("edge_lines", ceiling.edge_lines),
        ("i2c_low", ceiling.i2c_addresses[0]),
        ("i2c_high", ceiling.i2c_addresses[1]),
        ("held_outputs", ceiling.output_lines),
        ("held_inputs", ceiling.input_lines | ceiling.edge_lines),
    ] {
        let seen = witnessed(&node, word);
        assert_eq!(seen & !most, 0, "{word}: {seen:#x} where the board allows {most:#x}");
    }
    assert_eq!(witnessed(&node, "output_lines"), ceiling.output_lines, "it asked for all, and got what there is");
    assert!(witnessed(&node, "minimum_period_ns") >= ceiling.minimum_period_ns);
    assert!(witnessed(&node, "timers") <= u64::from(ceiling.timers));
    assert!(witnessed(&node, "gpio_refused") > 0, "the driver refused the rest");
    for domain in ["warden", "gpio", "timer", "i2c", "exchange"] {
        node.domain_pid(domain).expect("it goes on");
    }
}

#[test]
fn a_bridge_that_was_taken_over_harms_nobody() {
    let node = TestNode::start();
    Client::greeted(&node).deploy(&blinker("blinker")).expect("starts");
    Blinking::watch(&node);
    let mark = node.run_directory().join("vmm.hostile");
    let bridge = node.domain_pid("vmm").expect("runs");
    std::fs::write(&mark, "").expect("marked");
    node.kill_domain("vmm").expect("killed");
    eventually("it comes back hostile", || node.domain_pid("vmm").is_ok_and(|process| process != bridge));

    let mut blinking = Blinking::watch(&node);
    wait_for_every_call(&node, "vmm");
    thread::sleep(Duration::from_secs(2));
    blinking.went_on();

    std::fs::remove_file(mark).expect("was there");
    node.kill_domain("vmm").expect("killed");
    eventually("sessions are served again", || std::os::unix::net::UnixStream::connect(node.socket()).is_ok());
    let mut client = Client::greeted(&node);
    assert!(client.counter("link_misbehaved") > 0, "it was seen: {:?}", client.info().counters);
    let report = client.inspect("blinker");
    assert!([ContainerState::Ready, ContainerState::Running].map(ContainerState::to_wire).contains(&report.state));
    client.deploy(&Deploy::new("hello", sample("hello"))).expect("and uploads are taken");
}
