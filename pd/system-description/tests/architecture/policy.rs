//! The board policy: what is written arrives, and what is wrong is refused.

use std::collections::HashSet;
use std::path::Path;

use pd_system_description::policy::Policy;
use runner_interfaces::policy::{
    BoardActivity, BoardChannel, BoardLimits, BoardPolicy, POLICY_MAGIC, POLICY_NAMES_OFFSET_BYTES,
};
use runner_interfaces::scheduling::Share;
use zerocopy::FromBytes;

use crate::{BOARDS, fixture, on_cores, project};

const SOUND: &str = r#"
board = "test"
allow-unsigned = false
node = "asked"
[limits]
module = "1MiB"
memory = "64KiB"
table = 100
hook = "250ms"
load = "2s"
log = "200/s"
rate = "1000/s"
default-memory = "16KiB"
default-rate = "50/s"
cpu = "40%"
priority = "high"
[timer]
minimum-period = "2ms"
timers = 3
default-minimum-period = "20ms"
default-timers = 1
[[gpio]]
label = "LED"
line = 63
allow = ["out"]
[[gpio]]
label = "KEY"
line = 0
allow = ["in", "edge"]
active = "low"
rate = "20/s"
[[i2c]]
label = "sensors"
address = 0x3e
to = 0x41
allow = true
[[i2c]]
label = "clock"
address = 0x68
allow = false
[[channel]]
name = "temperature"
allow = ["get"]
[time]
tick = "1ms"
tick-jitter = "130us"
event-jitter = "500us"
switch = "10us"
blocking = "20us"
calls = 4
[time.call]
gpio = "50us"
i2c = "51us"
timer = "52us"
exchange = "53us"
[[time.system]]
name = "gpio"
budget = "40us"
period = "3ms"
jitter = "5us"
[[time.system]]
name = "interrupts"
budget = "60us"
period = "1ms"
[[time.system]]
name = "timer"
budget = "70us"
period = "1ms"
"#;

fn parse(text: &str) -> Result<Policy, String> {
    Policy::parse(Path::new("policy.toml"), text).map_err(|error| error.to_string())
}

#[test]
fn the_region_says_what_the_file_says() {
    let bytes = parse(SOUND).expect("sound").region_bytes(&fixture("sound")).expect("fits");
    assert_eq!(bytes.len(), 0x4000);
    let (limits, _) = BoardLimits::read_from_prefix(&bytes).expect("long enough");
    assert_eq!(limits.magic, POLICY_MAGIC);
    assert_eq!((limits.module_limit_bytes, limits.memory_limit_bytes), (1 << 20, 1 << 16));
    assert_eq!((limits.table_limit_elements, limits.hook_limit_us, limits.load_limit_us), (100, 250_000, 2_000_000));
    assert_eq!(limits.ceiling.output_lines, 1 << 63);
    assert_eq!((limits.ceiling.input_lines, limits.ceiling.edge_lines), (1, 1));
    assert_eq!(limits.ceiling.active_low_lines, 1);
    assert_eq!(limits.ceiling.i2c_addresses, [0b11 << 62, 0b11]);
    assert_eq!((limits.ceiling.minimum_period_ns, limits.ceiling.timers), (2_000_000, 3));

    // The domains' order is the kernel's: gpio, warden, cell0.
    let own = Share { budget_us: 1500, period_us: 10_000, badge: 0x102, priority: 110, core: 0 };
    assert_eq!((limits.shares.cells[0], limits.shares.cells[1]), (own, Share::default()));
    assert!(limits.shares.classes.iter().all(|class| !class.is_present()), "the fixture has none");

    let names = &bytes[POLICY_NAMES_OFFSET_BYTES..][..usize::try_from(limits.names_bytes).expect("small")];
    let board: BoardPolicy = postcard::from_bytes(names).expect("decodes");
    assert_eq!((board.board.as_str(), board.allow_unsigned), ("test", false));
    assert_eq!((board.default_minimum_period_ns, board.default_timers), (20_000_000, 1));
    assert_eq!((board.lines[0].label.as_str(), board.lines[0].line), ("LED", 63));
    let devices = board.devices.iter().map(|device| (device.label.as_str(), device.first, device.last, device.allowed));
    assert_eq!(devices.collect::<Vec<_>>(), [("sensors", 0x3e, 0x41, true), ("clock", 0x68, 0x68, false)]);
    let rates = board.lines.iter().map(|line| (line.most_per_second, line.default_per_second));
    assert_eq!(rates.collect::<Vec<_>>(), [(1000, 50), (20, 20)]);
    assert_eq!((limits.rates.transitions[63], limits.rates.edges[63]), (1000, 0));
    assert_eq!((limits.rates.transitions[0], limits.rates.edges[0], limits.rates.edges[1]), (0, 20, 0));
    assert_eq!((limits.log_limit_per_second, board.default_log_per_second), (200, 200));
    assert_eq!((board.most_cpu_percent, board.most_urgency), (40, 1));
    let without = SOUND.replace("cpu = \"40%\"\npriority = \"high\"\n", "");
    let any = parse(&without).expect("sound").board;
    assert_eq!((any.most_cpu_percent, any.most_urgency), (100, 2), "no limit");
    assert_eq!((board.default_memory_bytes, board.default_module_bytes), (16 << 10, 1 << 20));
    assert!(board.node_allowed && !board.node_by_default);
    let channels = board.channels.expect("listed");
    assert_eq!(channels, [BoardChannel { name: "temperature".into(), put: false, get: true }]);
    assert!(board.lines[0].output && !board.lines[0].input && !board.lines[0].edges);
    assert!(!board.lines[1].output && board.lines[1].input && board.lines[1].edges);
}

#[test]
fn what_the_node_costs_is_the_files_word_and_the_systems_where_that_says_nothing() {
    let policy = parse(SOUND).expect("sound");
    let bytes = policy.region_bytes(&fixture("sound")).expect("fits");
    let (limits, _) = BoardLimits::read_from_prefix(&bytes).expect("long enough");
    let names = &bytes[POLICY_NAMES_OFFSET_BYTES..][..usize::try_from(limits.names_bytes).expect("small")];
    let time = postcard::from_bytes::<BoardPolicy>(names).expect("decodes").time.expect("stated");
    assert_eq!((time.tick_ns, time.tick_jitter_ns, time.event_jitter_ns), (1_000_000, 130_000, 500_000));
    assert_eq!((time.switch_ns, time.blocking_ns, time.default_calls), (10_000, 20_000, 4));
    assert_eq!(time.call_ns, [50_000, 51_000, 52_000, 53_000]);
    let of = |activity: &BoardActivity| (activity.budget_ns, activity.period_ns, activity.jitter_ns);
    let found: Vec<_> = time.system.iter().map(|activity| (activity.name.as_str(), of(activity))).collect();
    // The kernel holds the fixture's `gpio` to nothing, so the file says it; nobody speaks of its `warden`, with 0.5 ms in 10 ms.
    let expected = [
        ("gpio", (40_000, 3_000_000, 5_000)),
        ("interrupts", (60_000, 1_000_000, 0)),
        ("timer", (70_000, 1_000_000, 0)),
        ("warden", (500_000, 10_000_000, 0)),
    ];
    assert_eq!(found, expected);
    assert_eq!(time.taken_ppm, 13_334 + 50_000, "gpio as stated, warden by its budget; nobody below the cells");
    // Somebody notifies it, and nobody says what it does then.
    let silent = SOUND.replace("name = \"gpio\"", "name = \"tick\"");
    let problem = parse(&silent).expect("sound").region_bytes(&fixture("sound")).expect_err("gpio has an interrupt");
    assert!(problem.to_string().contains("nobody holds `gpio` to a budget"), "{problem}");
    let without = SOUND.split_once("[time]").expect("is there").0;
    assert_eq!(parse(without).expect("sound").board.time, None);
}

#[test]
fn what_fuel_costs_is_a_part_of_a_slice() {
    let stated = |lines: &str| parse(&SOUND.replace("switch = \"10us\"", &format!("switch = \"10us\"\n{lines}")));
    let costs = |lines: &str| {
        let time = stated(lines).expect("sound").board.time.expect("stated");
        (time.slice_ns, time.fuel_ns, time.turn_ns)
    };
    assert_eq!(costs(""), (0, 0, 0));
    assert_eq!(costs("slice = \"20us\""), (20_000, 20_000, 0), "nobody says more");
    assert_eq!(costs("slice = \"20us\"\nfuel = \"2us\"\nturn = \"18us\""), (20_000, 2_000, 18_000));
    for lines in ["fuel = \"1us\"", "slice = \"20us\"\nfuel = \"2us\"\nturn = \"19us\""] {
        let problem = stated(lines).expect_err("they are parts of it").to_string();
        assert!(problem.contains("`fuel` and `turn` are parts of `slice`"), "{problem}");
    }
}

#[test]
fn the_projects_boards_state_what_they_cost() {
    for (board, file) in BOARDS.iter().zip(["demo-policy.toml", "demo-policy-rpi4b.toml"]) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../qemu").join(file);
        let bytes = Policy::load(&file).expect("sound").region_bytes(&project(board)).expect("fits");
        let (limits, _) = BoardLimits::read_from_prefix(&bytes).expect("long enough");
        let names = &bytes[POLICY_NAMES_OFFSET_BYTES..][..usize::try_from(limits.names_bytes).expect("small")];
        let time = postcard::from_bytes::<BoardPolicy>(names).expect("decodes").time.expect("stated");
        let mut found: Vec<_> = time.system.iter().map(|activity| activity.name.as_str()).collect();
        found.sort_unstable();
        assert_eq!(found, ["gpio", "grid", "interrupts", "tick", "timer", "warden"], "{board}");
    }
}

#[test]
fn each_share_tells_its_core() {
    let policy = parse(SOUND).expect("sound");
    let bytes = policy.region_bytes(&on_cores("qemu_virt_aarch64")).expect("fits");
    let (limits, _) = BoardLimits::read_from_prefix(&bytes).expect("long enough");
    assert_eq!(limits.shares.cells.map(|share| share.core), [1, 2, 3, 1, 2, 3, 1, 2]);
    assert_eq!(limits.shares.classes[..4].iter().map(|share| share.core).collect::<Vec<_>>(), [1, 2, 3, 1]);
}

#[test]
fn the_demo_board_is_sound() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../qemu/demo-policy.toml");
    let policy = Policy::load(&file).expect("the demo policy is sound");
    let system = project("qemu_virt_aarch64");
    policy.region_bytes(&system).expect("it fits the project's own regions");
    let valve = policy.board.lines.iter().find(|line| line.label == "VALVE").expect("the demo names it");
    assert!(!valve.output && !valve.input && !valve.edges, "and grants it to nobody");
}

#[test]
fn what_is_wrong_is_refused_in_words() {
    let cases: &[(&str, &str, &str)] = &[
        ("table = 100", "table = 100\ntabel = 3", "unknown field `tabel`"),
        ("table = 100", "", "missing field `table`"),
        ("allow-unsigned = false", "", "missing field `allow-unsigned`"),
        ("\"1MiB\"", "\"1MB\"", "limits.module: \"1MB\" is no size"),
        ("\"1MiB\"", "\"0B\"", "must not be 0"),
        ("\"250ms\"", "\"250\"", "limits.hook: \"250\" is no duration"),
        ("\"2ms\"", "\"0ms\"", "timer.minimum-period must not be 0"),
        ("default-minimum-period = \"20ms\"", "default-minimum-period = \"1ms\"", "shorter than timer.minimum-period"),
        ("\ntimers = 3", "\ntimers = 8", "timer.timers is 8; there are 7"),
        ("default-timers = 1", "default-timers = 4", "timer.default-timers is 4; there are 3"),
        ("line = 63", "line = 64", "line 64 is not within 0 to 63"),
        ("line = 63", "line = 0", "line 0 has another label"),
        ("label = \"KEY\"", "label = \"LED\"", "the label is there twice"),
        ("label = \"KEY\"", "label = \"3\"", "gpio.label \"3\""),
        ("label = \"KEY\"", "label = \"a b\"", "gpio.label \"a b\""),
        ("[\"out\"]", "[\"out\", \"out\"]", "says something twice"),
        ("to = 0x41", "to = 0x3d", "0x3e to 0x3d is no range within 0x00 to 0x7f"),
        ("to = 0x41", "to = 0x80", "0x3e to 0x80 is no range"),
        ("0x68", "0x40", "i2c `clock`: address 0x40 has another label"),
        ("\"clock\"", "\"sensors\"", "i2c `sensors`: the label is there twice"),
        ("\"clock\"", "\"68\"", "i2c.label \"68\""),
        ("\"200/s\"", "\"200\"", "limits.log: \"200\" is no rate"),
        ("\"40%\"", "\"0%\"", "limits.cpu: `0%` is no share from `1%` to `100%`"),
        ("\"40%\"", "\"40\"", "limits.cpu: `40` is no share from `1%` to `100%`"),
        ("\"high\"", "\"urgent\"", "limits.priority: `urgent` is none of `normal`, `high` and `critical`"),
        ("\"1000/s\"", "\"0/s\"", "limits.rate: \"0/s\" is no rate"),
        ("rate = \"1000/s\"", "", "missing field `rate`"),
        ("\"50/s\"", "\"1001/s\"", "limits.default-rate is more than limits.rate"),
        ("\"16KiB\"", "\"65KiB\"", "limits.default-memory is more than limits.memory"),
        ("\"20/s\"", "\"20\"", "gpio `KEY`: rate: \"20\" is no rate"),
        ("\"20/s\"", "\"20/s\"\ndefault-rate = \"21/s\"", "gpio `KEY`: default-rate is higher"),
        ("\"temperature\"", "\"Temperature\"", "channel.name \"Temperature\""),
        ("[\"get\"]", "[\"get\", \"get\"]", "channel `temperature`: `allow` says something twice"),
        ("\"asked\"", "\"sometimes\"", "unknown variant `sometimes`"),
        ("[\"out\"]", "[\"output\"]", "unknown variant `output`"),
        ("tick = \"1ms\"", "", "missing field `tick`"),
        ("tick = \"1ms\"", "tick = \"0ms\"", "time: `tick` and `calls` must not be 0"),
        ("calls = 4", "calls = 0", "time: `tick` and `calls` must not be 0"),
        ("calls = 4", "calls = 256", "invalid value"),
        ("\"130us\"", "\"1001ms\"", "time.tick-jitter is over a second"),
        ("\"53us\"", "\"53\"", "time.call.exchange: \"53\" is no duration"),
        ("exchange = \"53us\"", "", "missing field `exchange`"),
        ("\"3ms\"", "\"999ns\"", "time.system `gpio`: period is below a microsecond"),
        ("\"60us\"", "\"2s\"", "time.system `interrupts`: budget is over a second"),
        ("\"interrupts\"", "\"gpio\"", "time.system `gpio`: the name is there twice"),
        ("\"interrupts\"", "\"a b\"", "time.system.name \"a b\""),
    ];
    for (old, new, expected) in cases {
        assert!(SOUND.contains(old), "{old}");
        let found = parse(&SOUND.replacen(old, new, 1)).expect_err(new);
        assert!(found.contains("policy.toml") && found.contains(expected), "{new}: {found}");
    }
}

#[test]
fn an_unknown_key_is_shown_with_its_line() {
    let found = parse(&SOUND.replace("table = 100", "tabel = 100")).expect_err("misspelt");
    assert!(found.contains("line 8"), "{found}");
}

#[test]
fn modules_that_fit_no_cell_are_refused() {
    let policy = parse(&SOUND.replace("\"1MiB\"", "\"4MiB\"")).expect("the file alone is sound");
    let found = policy.region_bytes(&fixture("sound")).expect_err("4 MiB and the configuration are over 4 MiB");
    assert!(found.contains("cell0_module"), "{found}");
}

#[test]
fn without_a_list_any_channel_may_be_asked_for() {
    let (head, _) = SOUND.split_once("[[channel]]").expect("it has one");
    assert_eq!(parse(head).expect("sound").board.channels, None);
    assert_eq!(parse(&format!("channel = []\n{head}")).expect("sound").board.channels, Some(Vec::new()));
}

#[test]
fn the_project_says_what_its_classes_are() {
    for board in BOARDS {
        let system = project(board);
        let bytes = parse(SOUND).expect("sound").region_bytes(&system).expect("fits");
        let (limits, _) = BoardLimits::read_from_prefix(&bytes).expect("long enough");
        let shares = limits.shares;
        assert!(shares.cells.iter().all(|cell| (cell.budget_us, cell.period_us) == (700, 10_000)), "{shares:?}");
        // For eight containers at 1 kHz: of each a larger one, as each is done later than the one before and its budget is
        // back as much later.
        let mut taken = Vec::new();
        for number in 1..=8 {
            let least_us = 110 * number + 20;
            let class = shares.smallest_class(|class, share| {
                share.period_us == 1_000 && share.budget_us >= least_us && !taken.contains(&class)
            });
            taken.push(class.expect("there are enough"));
        }
        let present = || shares.classes.iter().chain(&shares.cells).filter(|share| share.is_present());
        let badges: HashSet<u32> = present().map(|share| share.badge).collect();
        assert_eq!(badges.len(), present().count(), "each has a badge of its own");
        assert!(system.protection_domains().count() <= 63, "Microkit has room for no more");
    }
}
