//! Every right that there is, written out once more, and every right more than that refused.
//!
//! The rules tell a region's writers by its name; here the project's own description is held to a list that names them all, so
//! that a wrong rule and a wrong description cannot agree with each other. Then the description is given one right more, each
//! that can be given, one at a time: a rule must refuse each.

use std::collections::BTreeSet;

use pd_system_description::rules::{Rule, check};
use pd_system_description::{
    Access, Capability, CapabilityKind, Channel, Domain, DomainKind, End, Interrupt, Map, System,
};

use crate::{BOARDS, project};

/// A region, who writes it, and who only reads it. `cellN` stands for each cell.
type Row = (&'static str, &'static [&'static str], &'static [&'static str]);

const REGIONS: &[Row] = &[
    ("policy", &[], &["warden", "admission"]),
    ("keys", &[], &["admission"]),
    ("guest_kernel", &[], &["vmm"]),
    ("guest_initramfs", &[], &["vmm"]),
    ("guest_device_tree", &[], &["vmm"]),
    ("grants", &["warden"], &["timer", "gpio", "i2c", "exchange"]),
    ("tick_status", &["tick"], &["vmm"]),
    ("grid_status", &["grid"], &["vmm"]),
    ("timer_status", &["timer"], &["admission", "vmm", "warden"]),
    ("gpio_status", &["gpio"], &["admission", "vmm", "warden"]),
    ("i2c_status", &["i2c"], &["admission", "vmm", "warden"]),
    ("exchange_status", &["exchange"], &["admission", "vmm", "warden"]),
    ("exchange_heap", &["exchange"], &[]),
    ("warden_status", &["warden"], &["admission", "vmm"]),
    ("admission_status", &["admission"], &["vmm"]),
    ("admission_heap", &["admission"], &[]),
    ("admission_to_warden", &["admission"], &["warden"]),
    ("warden_to_cellN", &["warden"], &["cellN"]),
    ("cellN_status", &["cellN"], &["warden", "admission", "vmm"]),
    ("cellN_module", &["admission"], &["cellN"]),
    ("cellN_to_admission", &["cellN"], &["admission"]),
    ("cellN_to_admission_head", &["admission"], &["cellN"]),
    ("cellN_to_exchange", &["cellN"], &["exchange"]),
    ("exchange_to_cellN", &["exchange"], &["cellN"]),
    ("cellN_heap", &["cellN"], &[]),
    ("vmm_to_admission", &["vmm"], &["admission"]),
    ("vmm_to_admission_head", &["admission"], &["vmm"]),
    ("admission_to_vmm", &["admission"], &["vmm"]),
    ("admission_to_vmm_head", &["vmm"], &["admission"]),
    ("guest_memory", &["vmm", "linux"], &[]),
    // Devices.
    ("gpio_registers", &["gpio"], &[]),
    ("timer_registers", &["timer"], &[]),
    ("uart_registers", &["vmm"], &[]),
    ("guest_interrupt_interface", &["linux"], &[]),
];

/// Devices that only one of the boards has a region for.
const NOT_EVERYWHERE: [&str; 1] = ["timer_registers"];

/// Who calls whom.
const CALLS: &[(&str, &str)] = &[
    ("cellN", "gpio"),
    ("cellN", "timer"),
    ("cellN", "i2c"),
    ("cellN", "exchange"),
    ("warden", "gpio"),
    ("warden", "timer"),
    ("warden", "exchange"),
    ("admission", "warden"),
    ("admission", "exchange"),
];

/// Who notifies whom.
const NOTIFICATIONS: &[(&str, &str)] = &[
    ("tick", "grid"),
    ("grid", "timer"),
    ("timer", "warden"),
    ("timer", "cellN"),
    ("gpio", "cellN"),
    ("exchange", "cellN"),
    ("warden", "cellN"),
    ("warden", "admission"),
    ("cellN", "warden"),
    ("cellN", "admission"),
    ("admission", "cellN"),
    ("admission", "vmm"),
    ("vmm", "admission"),
];

const CELLS: usize = 8;

/// `names` for each cell, where they tell of one.
fn for_each_cell<const N: usize>(names: [&str; N]) -> Vec<[String; N]> {
    let cells = if names.iter().any(|name| name.contains("cellN")) { CELLS } else { 1 };
    (0..cells).map(|cell| names.map(|name| name.replace("cellN", &format!("cell{cell}")))).collect()
}

#[test]
fn every_region_is_written_and_read_by_those_who_are_listed_and_nobody_else() {
    for board in BOARDS {
        let system = project(board);
        let mut listed = BTreeSet::new();
        for &(region, writers, readers) in REGIONS {
            for (cell, [region]) in for_each_cell([region]).into_iter().enumerate() {
                let Some(found) = system.region(&region) else {
                    assert!(NOT_EVERYWHERE.contains(&region.as_str()), "{board} has no `{region}`");
                    continue;
                };
                let sharing = |write: bool| -> BTreeSet<&str> {
                    let maps = system.maps_of(&found.name).filter(|(_, map)| map.access.write == write);
                    maps.map(|(domain, _)| domain.name.as_str()).collect()
                };
                let expected = |names: &[&str]| -> BTreeSet<String> {
                    names.iter().map(|name| name.replace("cellN", &format!("cell{cell}"))).collect()
                };
                let owned = |names: BTreeSet<&str>| names.into_iter().map(str::to_owned).collect::<BTreeSet<String>>();
                assert_eq!(owned(sharing(true)), expected(writers), "who writes `{region}` on {board}");
                assert_eq!(owned(sharing(false)), expected(readers), "who reads `{region}` on {board}");
                assert_eq!(found.prefill.is_some(), writers.is_empty(), "`{region}` is filled by the image");
                listed.insert(region);
            }
        }
        for region in &system.regions {
            assert!(listed.contains(&region.name), "`{}` of {board} is not listed", region.name);
        }
    }
}

#[test]
fn everybody_calls_and_notifies_those_who_are_listed_and_nobody_else() {
    let pairs = |list: &[(&str, &str)]| -> BTreeSet<[String; 2]> {
        list.iter().flat_map(|&(from, to)| for_each_cell([from, to])).collect()
    };
    for board in BOARDS {
        let system = project(board);
        let (mut calls, mut notifications) = (BTreeSet::new(), BTreeSet::new());
        for Channel { ends: [first, second], .. } in &system.channels {
            for (here, there) in [(first, second), (second, first)] {
                let pair = [here.domain.clone(), there.domain.clone()];
                if here.may_call {
                    calls.insert(pair.clone());
                }
                if here.may_notify {
                    notifications.insert(pair);
                }
            }
        }
        assert_eq!(calls, pairs(CALLS), "{board}");
        assert_eq!(notifications, pairs(NOTIFICATIONS), "{board}");
    }
}

#[test]
fn only_what_drives_a_device_is_reached_by_one() {
    for (board, expected) in BOARDS.into_iter().zip([vec!["gpio", "vmm"], vec!["timer", "gpio", "vmm"]]) {
        let system = project(board);
        let found = |has: fn(&Domain) -> bool| -> Vec<&str> {
            system.domains.iter().filter(|domain| has(domain)).map(|domain| domain.name.as_str()).collect()
        };
        assert_eq!(found(|domain| !domain.interrupts.is_empty()), expected, "{board}");
        let maps_device = |domain: &&Domain| {
            domain.maps.iter().any(|map| system.region(&map.region).is_some_and(|region| region.is_device()))
        };
        let drivers: Vec<&str> = system.domains.iter().filter(maps_device).map(|domain| domain.name.as_str()).collect();
        assert_eq!(drivers, [expected, vec!["linux"]].concat(), "{board}");
    }
}

/// A description with one right too many, `what`, which breaks these rules (at least one) and no others.
fn assert_refused(system: &System, rules: &[Rule], what: &str) {
    let broken: Vec<Rule> = check(system).into_iter().map(|violation| violation.rule).collect();
    assert!(!broken.is_empty(), "no rule refuses this: {what}");
    assert!(broken.iter().all(|rule| rules.contains(rule)), "refused for {broken:?}: {what}");
}

#[test]
fn nobody_may_be_given_another_region() {
    let mut tried = 0;
    for board in BOARDS {
        let sound = project(board);
        for (number, domain) in sound.domains.iter().enumerate() {
            // What is not a device is the same on every board.
            for region in sound.regions.iter().filter(|region| board == BOARDS[0] || region.is_device()) {
                for write in [false, true] {
                    let has = |map: &Map| map.region == region.name && (map.access.write || !write);
                    if domain.maps.iter().any(has) {
                        continue;
                    }
                    let mut system = sound.clone();
                    let access = Access { read: true, write, execute: false };
                    // With a symbol that no rule has a quarrel with, so that what is refused is the map.
                    let map = Map {
                        region: region.name.clone(),
                        address: 0x7000_0000,
                        access,
                        address_symbol: None,
                        size_symbol: None,
                        line: 1,
                    };
                    system.domains[number].maps.push(map);
                    let what = format!("`{}` maps `{}` {access:?}", domain.name, region.name);
                    assert_refused(&system, &[Rule::RegionWriters, Rule::RegionReaders, Rule::Devices], &what);
                    tried += 1;
                }
            }
        }
    }
    assert!(tried > 1000, "{tried}");
}

#[test]
fn no_map_may_allow_more() {
    for board in BOARDS {
        let sound = project(board);
        for (number, domain) in sound.domains.iter().enumerate() {
            for (place, map) in domain.maps.iter().enumerate() {
                let Access { write, execute, .. } = map.access;
                // Linux executes its own memory; which of its pages, it decides itself.
                let is_machine = domain.kind == DomainKind::VirtualMachine;
                for access in [
                    (!write).then_some(Access { write: true, ..map.access }),
                    (!execute && !is_machine).then_some(Access { execute: true, ..map.access }),
                ]
                .into_iter()
                .flatten()
                {
                    let mut system = sound.clone();
                    system.domains[number].maps[place].access = access;
                    let what = format!("`{}` maps `{}` {access:?}", domain.name, map.region);
                    assert_refused(&system, &[Rule::RegionWriters, Rule::WriteExecute], &what);
                }
            }
        }
    }
}

fn end(domain: &str, may_call: bool, may_notify: bool) -> End {
    End { domain: domain.to_owned(), id: 59, may_call, may_notify, symbol: None, line: 1 }
}

#[test]
fn nobody_may_be_given_another_channel() {
    let sound = project(BOARDS[0]);
    for from in &sound.domains {
        for to in &sound.domains {
            for (may_call, may_notify) in [(true, false), (false, true), (false, false)] {
                let is_there = |channel: &Channel| {
                    [from, to].iter().all(|one| channel.ends.iter().any(|end| end.domain == one.name))
                };
                if !may_call && !may_notify && !sound.channels.iter().any(is_there) && from.name != to.name {
                    // A channel that is good for nothing is none.
                    continue;
                }
                let mut system = sound.clone();
                let ends = [end(&from.name, may_call, may_notify), end(&to.name, false, false)];
                // Numbers that nobody has, so that what is refused is the channel.
                system.channels.push(Channel { ends, line: 1 });
                let what = format!("`{}` to `{}`: {may_call} {may_notify}", from.name, to.name);
                let rules = [Rule::ChannelRights, Rule::CallUpwards, Rule::ChannelEnds];
                // A channel to itself has one number at both ends.
                let itself = [Rule::ChannelEnds, Rule::IdsUnique, Rule::CallUpwards, Rule::ChannelRights];
                assert_refused(&system, if from.name == to.name { &itself } else { &rules }, &what);
            }
        }
    }
}

#[test]
fn no_end_of_a_channel_may_allow_more() {
    let sound = project(BOARDS[0]);
    for (number, channel) in sound.channels.iter().enumerate() {
        for side in [0, 1] {
            let End { may_call, may_notify, .. } = channel.ends[side];
            for (call, notify) in [(true, may_notify), (may_call, true)] {
                if (call, notify) == (may_call, may_notify) {
                    continue;
                }
                let mut system = sound.clone();
                let end = &mut system.channels[number].ends[side];
                (end.may_call, end.may_notify) = (call, notify);
                let what = format!("{end:?}");
                assert_refused(&system, &[Rule::ChannelRights, Rule::CallUpwards], &what);
            }
        }
    }
}

#[test]
fn nobody_may_be_taken_for_somebody_else() {
    let sound = project(BOARDS[0]);
    let symbols: BTreeSet<&String> =
        sound.channels.iter().flat_map(|channel| &channel.ends).filter_map(|end| end.symbol.as_ref()).collect();
    for (number, channel) in sound.channels.iter().enumerate() {
        for side in [0, 1] {
            for &symbol in symbols.iter().filter(|&&symbol| Some(symbol) != channel.ends[side].symbol.as_ref()) {
                let mut system = sound.clone();
                // As one who exchanges two cells would do it: no symbol is there twice.
                let domain = channel.ends[side].domain.clone();
                for end in system.channels.iter_mut().flat_map(|channel| &mut channel.ends) {
                    if end.domain == domain && end.symbol.as_ref() == Some(symbol) {
                        end.symbol.clone_from(&channel.ends[side].symbol);
                    }
                }
                system.channels[number].ends[side].symbol = Some(symbol.clone());
                assert_refused(&system, &[Rule::Identity], &format!("`{symbol}` in {:?}", channel.ends));
            }
        }
    }
    for (number, domain) in sound.domains.iter().enumerate() {
        for (place, map) in domain.maps.iter().enumerate() {
            let Some((symbol, cell)) = map.address_symbol.as_ref().and_then(|symbol| {
                let digit = symbol.find("cell")? + "cell".len();
                Some((symbol, symbol.get(digit..=digit)?.to_owned()))
            }) else {
                continue;
            };
            let other = if cell == "0" { "1" } else { "0" };
            let renamed = symbol.replacen(&format!("cell{cell}"), &format!("cell{other}"), 1);
            let mut system = sound.clone();
            for map in &mut system.domains[number].maps {
                if map.address_symbol.as_ref() == Some(&renamed) {
                    map.address_symbol = Some(symbol.clone());
                }
            }
            system.domains[number].maps[place].address_symbol = Some(renamed.clone());
            // The shells and the VMM's table find a status by its name, too.
            let what = format!("`{}` knows `{}` as `{renamed}`", domain.name, map.region);
            assert_refused(&system, &[Rule::Identity, Rule::BootReports], &what);
        }
    }
}

/// A change of a domain: what it is, what refuses it, and itself, which answers whether it gives this domain anything.
type Change = (&'static str, &'static [Rule], fn(&mut Domain) -> bool);

#[test]
fn nobody_may_be_more_than_its_role() {
    let sound = project(BOARDS[0]);
    let changes: &[Change] = &[
        ("holds capabilities", &[Rule::NoCapabilities], |domain| {
            domain.capabilities.push(Capability {
                kind: CapabilityKind::Thread,
                domain: "gpio".to_owned(),
                slot: 1,
                line: 1,
            });
            domain.kind == DomainKind::Protection
        }),
        ("calls the secure monitor", &[Rule::NoSecureMonitor], |domain| {
            domain.secure_monitor_calls = true;
            true
        }),
        ("is passive", &[Rule::NoPassive], |domain| {
            domain.passive = true;
            true
        }),
        ("takes an interrupt", &[Rule::Interrupts], |domain| {
            domain.interrupts.push(Interrupt { number: 77, id: 58, symbol: None, line: 1 });
            // A driver may have one more: what it drives is the board's to say.
            !["timer", "gpio", "vmm"].contains(&domain.name.as_str())
        }),
        ("takes another's interrupt", &[Rule::Interrupts], |domain| {
            domain.interrupts = vec![Interrupt { number: 39, id: 58, symbol: None, line: 1 }];
            domain.name != "gpio"
        }),
        ("runs a program of tests", &[Rule::Programs], |domain| {
            domain.image = Some("hostile-cell.elf".to_owned());
            domain.kind == DomainKind::Protection
        }),
        ("is a child of a driver", &[Rule::Parents, Rule::Priorities], |domain| {
            domain.parent = Some("gpio".to_owned());
            true
        }),
        ("has the highest priority", &[Rule::Priorities, Rule::CallUpwards], |domain| {
            let before = std::mem::replace(&mut domain.priority, 254);
            before != 254
        }),
        ("has no budget", &[Rule::BudgetStated], |domain| domain.budget_us.take().is_some()),
    ];
    for number in 0..sound.domains.len() {
        for (what, rules, change) in changes {
            let mut system = sound.clone();
            if change(&mut system.domains[number]) {
                assert_refused(&system, rules, &format!("`{}` {what}", system.domains[number].name));
            }
        }
    }
}
