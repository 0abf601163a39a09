//! The node as a whole: started once a place, and gone without a trace.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use pd_host::node::{Node, Options};
use pd_host::pins::Pins;
use pd_system_description::Description;
use shared_ring_messages::ErrorCode;

use crate::client::{Client, blinker};
use crate::{TestNode, eventually, project};

const PROGRAM: &str = env!("CARGO_BIN_EXE_atoll-host");

const DOMAINS: [&str; 17] = [
    "grid",
    "tick",
    "timer",
    "gpio",
    "i2c",
    "exchange",
    "warden",
    "cell0",
    "cell1",
    "cell2",
    "cell3",
    "cell4",
    "cell5",
    "cell6",
    "cell7",
    "admission",
    "vmm",
];

fn is_alive(process: u32) -> bool {
    // A process that was ended and not collected yet is a zombie, `Z`.
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[test]
fn a_stopped_node_leaves_no_process_and_no_socket() {
    let node = TestNode::start();
    let processes = DOMAINS.map(|domain| node.domain_pid(domain).expect("runs"));
    assert!(processes.iter().all(|&process| is_alive(process)));
    let TestNode { node, _directory } = node;
    let socket = node.socket();
    node.stop().expect("stopped");
    assert!(!processes.iter().any(|&process| is_alive(process)));
    assert!(!socket.exists());
}

#[test]
fn every_domain_says_how_its_start_went() {
    let node = TestNode::start();
    let log = node.log("launcher");
    let lines: Vec<&str> = log.lines().filter(|line| line.starts_with("atoll: ")).collect();
    let (summary, rows) = lines.split_last().expect("the table");
    assert_eq!(*summary, "atoll: 17 domains, all well", "{log}");
    let told: Vec<Option<&str>> = rows.iter().map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(told, DOMAINS.map(Some), "{log}");
    let row = |domain: &str| rows.iter().find(|line| line.split_whitespace().nth(1) == Some(domain)).expect("told");
    for (domain, words) in [
        ("timer", "the clock runs"),
        ("i2c", "simulated bus"),
        ("exchange", "32 channels"),
        ("warden", "8 cells"),
        ("cell7", "interpreted"),
    ] {
        assert!(row(domain).contains(" ok ") && row(domain).contains(words), "{}", row(domain));
    }
}

#[test]
fn a_damaged_key_table_is_told_and_nothing_is_deployed() {
    let node = TestNode::start_with(|options| {
        std::fs::write(options.run_directory.join("keys.damaged"), "").expect("marked");
    });
    let log = node.log("launcher");
    let rows = log.lines().filter(|line| line.split_whitespace().take(2).eq(["atoll:", "admission"]));
    let row: Vec<&str> = rows.collect();
    assert!(matches!(row[..], [row] if row.contains("FAILED") && row.contains("key table")), "{log}");
    assert!(log.contains("atoll: 1 of 17 domains is not well: admission\n"), "{log}");
    let (code, detail) = Client::greeted(&node).deploy(&blinker("blinker")).expect_err("nobody's word counts");
    assert_eq!(code, ErrorCode::Internal);
    assert!(detail.contains("key table"), "{detail}");
}

#[test]
fn a_launcher_that_is_killed_takes_its_domains_along() {
    let node = TestNode::start();
    let processes = DOMAINS.map(|domain| node.domain_pid(domain).expect("runs"));
    let launcher = std::fs::read_to_string(node.run_directory().join("lock")).expect("the launcher's number");
    let launcher = launcher.trim().parse().ok().and_then(rustix::process::Pid::from_raw).expect("a number");
    rustix::process::kill_process(launcher, rustix::process::Signal::KILL).expect("killed");
    eventually("every domain ends", || !processes.iter().any(|&process| is_alive(process)));
}

#[test]
fn a_second_node_in_the_same_place_is_refused() {
    let node = TestNode::start();
    let error = Node::start(&Options::new(PROGRAM, node.run_directory())).expect_err("one node a place");
    assert!(format!("{error:#}").contains("runs in"), "{error:#}");
    Client::greeted(&node).info();
}

#[test]
fn a_node_without_a_driver_ends_and_says_why() {
    let node = TestNode::start();
    node.kill_domain("gpio").expect("killed");
    eventually("the node says that it cannot go on", || node.log("launcher").contains("cannot go on without `gpio`"));
    let TestNode { node, _directory } = node;
    assert!(node.stop().is_err(), "it had failed");
}

#[test]
fn a_description_that_breaks_a_rule_is_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let text = std::fs::read_to_string(project().join("system.xml")).expect("read");
    let broken = directory.path().join("broken.xml");
    let writable = text.replacen(
        "<map mr=\"grants\" vaddr=\"0x20000000\" perms=\"r\"",
        "<map mr=\"grants\" vaddr=\"0x20000000\" perms=\"rw\"",
        1,
    );
    assert_ne!(text, writable);
    std::fs::write(&broken, writable).expect("written");
    let options = Options { system: Some(broken), ..Options::new(PROGRAM, directory.path().join("run")) };
    let error = format!("{:#}", Node::start(&options).expect_err("a driver may not write grants"));
    assert!(error.contains("region-writers") && error.contains("grants"), "{error}");
}

#[test]
fn a_domain_that_lacks_something_says_what() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let text = std::fs::read_to_string(project().join("system.xml")).expect("read");
    let lacking = text.replacen("setvar_vaddr=\"region_policy\"", "setvar_vaddr=\"region_politics\"", 1);
    assert_ne!(text, lacking);
    let system = directory.path().join("lacking.xml");
    std::fs::write(&system, lacking).expect("written");
    let options = Options { system: Some(system), ..Options::new(PROGRAM, directory.path().join("run")) };
    let error = format!("{:#}", Node::start(&options).expect_err("the warden looks for its policy"));
    assert!(error.contains("`warden`") && error.contains("region_policy"), "{error}");
    assert!(error.contains("warden.log"), "and where to look: {error}");
}

#[test]
fn a_policy_that_is_wrong_is_refused_with_its_line() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let policy = directory.path().join("policy.toml");
    std::fs::write(&policy, "board = \"x\"\nallow-unsinged = true\n").expect("written");
    let options = Options { policy: Some(policy), ..Options::new(PROGRAM, directory.path().join("run")) };
    let error = format!("{:#}", Node::start(&options).expect_err("misspelt"));
    assert!(error.contains("allow-unsinged") && error.contains("line 2"), "{error}");
}

#[test]
fn pins_are_read_from_the_command_line() {
    let node = TestNode::start();
    Client::greeted(&node).deploy(&blinker("blinker")).expect("starts");
    let pins = |request: &[&str]| {
        let mut client = Command::new(PROGRAM);
        client.arg("gpio").arg("--run-directory").arg(node.run_directory()).args(request).output().expect("runs")
    };
    eventually("the LED is seen high", || pins(&["read", "LED"]).stdout == b"1\n");
    assert!(pins(&["pulse", "BUTTON"]).status.success());
    let refused = pins(&["set", "LED", "1"]);
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("is an output"));
}

#[test]
fn a_watcher_of_the_pins_sees_each_blink() {
    let node = TestNode::start();
    let mut changes = node.gpio().and_then(Pins::watch).expect("watched");
    Client::greeted(&node).deploy(&blinker("blinker")).expect("starts");
    let mut before_ns = 0;
    for turn in 0..6 {
        let change = changes.next().expect("it blinks");
        assert_eq!((change.label.as_str(), change.high, change.lost), ("LED", turn % 2 == 0, 0), "{change:?}");
        assert!(change.time_ns > before_ns, "{change:?}");
        before_ns = change.time_ns;
    }
    node.kill_domain("gpio").expect("it runs");
    assert!(changes.count() < 1000, "it ends with the node");
}

#[test]
fn a_throw_away_node_ends_with_its_input_and_leaves_nothing() {
    let place = tempfile::tempdir().expect("a temporary directory");
    let path = place.path().join("node");
    let mut command = Command::new(PROGRAM);
    command.args(["up", "--throw-away", "--run-directory"]).arg(&path).stdin(Stdio::piped()).stdout(Stdio::null());
    let mut launcher = command.spawn().expect("runs");
    let process = |domain: &str| std::fs::read_to_string(path.join(domain).with_extension("pid")).ok();
    eventually("it is ready", || path.join("ready").exists());
    let processes = DOMAINS.map(|domain| process(domain).and_then(|text| text.trim().parse().ok()).expect("runs"));
    assert!(processes.iter().all(|&process| is_alive(process)));

    let again =
        Command::new(PROGRAM).args(["up", "--throw-away", "--run-directory"]).arg(&path).output().expect("runs");
    assert!(!again.status.success() && path.exists(), "somebody else's directory: {again:?}");

    drop(launcher.stdin.take());
    eventually("it has ended", || launcher.try_wait().expect("waited for").is_some());
    assert!(launcher.wait().expect("waited for").success());
    assert!(!processes.iter().any(|&process| is_alive(process)));
    assert!(!path.exists());
}

#[test]
fn domains_that_hold_containers_or_parse_are_confined() {
    let node = TestNode::start();
    if node.log("launcher").contains("seccomp cannot be used here") {
        eprintln!("skipped: this Linux has no seccomp, and the node says so");
        return;
    }
    for domain in ["cell0", "cell7", "admission", "warden", "timer", "tick"] {
        let process = node.domain_pid(domain).expect("runs");
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("readable by anybody");
        for line in ["Seccomp:\t2", "NoNewPrivs:\t1"] {
            assert!(status.contains(line), "{domain}: {status}");
        }
    }
}

#[test]
fn a_process_maps_what_the_description_gives_its_domain_and_no_more() {
    let node = TestNode::start();
    let board = project().join("pd/boards/qemu_virt_aarch64.xml");
    let description = Description::load(&project().join("system.xml"), &board).expect("joins");
    let system = description.system().expect("parses");
    for domain in DOMAINS {
        let process = node.domain_pid(domain).expect("runs");
        let Ok(maps) = std::fs::read_to_string(format!("/proc/{process}/maps")) else {
            eprintln!("skipped: only root may see what a domain's process maps");
            return;
        };
        // `7f00-7f01 rw-s 00000000 00:01 1234  /memfd:grants (deleted)`
        let mapped: BTreeSet<(String, bool)> = maps
            .lines()
            .filter_map(|line| {
                let (head, name) = line.split_once("/memfd:")?;
                Some((name.split_once(' ')?.0.to_owned(), head.split_whitespace().nth(1)?.contains('w')))
            })
            .filter(|(name, _)| name != "call")
            .collect();
        let wiring = system.wiring(domain).expect("wired");
        let described: BTreeSet<(String, bool)> = wiring
            .regions
            .iter()
            .filter(|given| !system.region(&given.region).is_some_and(|region| region.is_device()))
            .filter(|given| !given.region.ends_with("_heap") && !given.region.starts_with("guest_"))
            .map(|given| (given.region.clone(), given.access.write))
            .collect();
        assert_eq!(mapped, described, "{domain}");
    }
}

#[test]
fn a_domain_is_only_started_by_a_launcher() {
    let output = Command::new(PROGRAM).args(["domain", "cell0", "--launcher", "1"]).output().expect("runs");
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("atoll-host up"));
}
