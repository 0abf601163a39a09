//! What the node tells about itself.

use runner_admission::{COUNTER_NAMES, StartError};
use runner_interfaces::gpio::GpioStatus;
use shared_ring_messages::{DeployRequest, Request};
use zerocopy::FromZeros;

use crate::node::*;

#[test]
fn the_node_names_itself_and_its_limits() {
    let mut node = Node::new();
    node.greet(0);
    node.deploy_running(0, "a");
    let info = node.info(0);
    assert_eq!((info.substrate.as_str(), info.board.as_str()), ("test node", "test board"));
    assert_eq!(info.version, env!("CARGO_PKG_VERSION"));
    assert_eq!((info.cells, info.cells_free, info.uptime_ns), (4, 3, node.now_ns()));
    assert_eq!((info.module_limit_bytes, info.memory_limit_bytes), (MODULE_LIMIT, 1024 * 1024));
    for name in COUNTER_NAMES {
        assert!(info.counters.iter().any(|(found, value)| found == name && *value == 0), "{name}");
    }
}

#[test]
fn lines_are_shown_as_their_owner_shows_them() {
    let mut node = Node::new();
    node.greet(0);
    let mut status = GpioStatus::new_zeroed();
    status.levels = 0b1001;
    status.outputs = 0b0001;
    status.inputs = 0b1000;
    status.refused = 5;
    node.show_gpio(&status);
    let counts = node.line_counts();
    (0..42).for_each(|_| counts.add_transition(0));
    counts.add_edges(3, 7);
    let lines = node.info(0).lines;
    let line = |label: &str| lines.iter().find(|line| line.label == label).expect("there");
    let led = line("LED");
    assert_eq!((led.line, led.held_as.as_str(), led.high, led.transitions), (0, "output", true, 42));
    assert_eq!(led.allowed, ["out"]);
    let button = line("BUTTON");
    assert_eq!((button.held_as.as_str(), button.edges, button.allowed.join(" ").as_str()), ("input", 7, "in edge"));
    assert_eq!((line("VALVE").held_as.as_str(), line("VALVE").allowed.len()), ("", 0));
    assert_eq!(node.counter(0, "gpio_refused"), 5);
}

#[test]
fn a_list_of_containers_with_long_arguments_still_comes() {
    let mut node = Node::new();
    node.greet(0);
    let wasm = reactor();
    for name in ["a", "b", "c", "d"] {
        let long = DeployRequest { arguments: vec!["x".repeat(4000)], ..request(name, &wasm) };
        node.deploy(0, long, &wasm).expect("deployed");
    }
    assert_eq!(node.list(0).len(), 4);
    assert_eq!(node.report(0, Request::Inspect("c".into())).arguments, ["x".repeat(4000)]);
}

#[test]
fn a_system_without_what_admission_needs_is_named() {
    for (region, symbol) in [
        ("policy", "region_policy"),
        ("keys", "region_keys"),
        ("admission_to_warden", "region_requests"),
        ("warden_status", "region_warden_status"),
        ("vmm_to_admission_head", "region_link_in_head"),
        ("cell2_module", "region_cell2_module"),
        ("cell0_to_admission_head", "region_cell0_output_head"),
    ] {
        let error = start_without(region).to_string();
        assert!(error.contains(symbol), "{error}");
    }
    for region in ["vmm_to_admission", "gpio_status", "cell1_module", "cell3_to_admission"] {
        assert!(matches!(start_with_tiny(region), StartError::RegionTooSmall(_)), "{region}");
    }
}
