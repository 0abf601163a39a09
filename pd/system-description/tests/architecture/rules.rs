//! One broken description a rule.

use std::collections::BTreeSet;
use std::path::Path;

use pd_system_description::rules::{Rule, check};
use pd_system_description::{CORES, Role, System};

use crate::{BOARDS, fixture, on_cores, project};

#[test]
fn the_project_keeps_every_rule() {
    for board in BOARDS {
        let system = project(board);
        assert_eq!(check(&system), [], "{board}");
        assert!(system.domains.len() >= 10, "the description has its domains");
    }
}

#[test]
fn the_project_keeps_every_rule_on_several_cores() {
    for board in BOARDS {
        assert!(!project(board).is_multi_core(), "the description itself names no core");
        let system = on_cores(board);
        assert_eq!(check(&system), [], "{board}");
        let on = |core: u8, is_one: fn(&Role) -> bool| {
            let roles = system.domains.iter().filter(move |domain| domain.core == core);
            roles.filter_map(|domain| Role::of(&domain.name)).filter(is_one).count()
        };
        let runs_containers = |role: &Role| matches!(role, Role::Cell(_) | Role::Class(_));
        assert_eq!(on(0, runs_containers), 0, "{board}: Linux, `admission` and the drivers are among themselves");
        for core in 1..CORES {
            assert_eq!(on(core, |_| true), on(core, runs_containers), "{board}: core {core} is the containers'");
            assert!(on(core, |role| matches!(role, Role::Cell(_))) >= 2, "{board}: core {core} has its cells");
            assert!(on(core, |role| matches!(role, Role::Class(_))) >= 9, "{board}: core {core} has its classes");
        }
    }
}

/// What is too much for one core is not for two.
#[test]
fn each_core_has_a_utilisation_of_its_own() {
    let refused = |cells: [&str; 2]| {
        let mut system = on_cores(BOARDS[0]);
        for domain in system.domains.iter_mut().filter(|domain| cells.contains(&domain.name.as_str())) {
            domain.budget_us = Some(6000);
        }
        let problems = check(&system).into_iter().map(|violation| (violation.rule, violation.problem));
        problems.collect::<Vec<_>>()
    };
    let problem = "real-time domains may use 127 % of core 1 together".to_owned();
    assert_eq!(refused(["cell0", "cell3"]), [(Rule::Utilisation, problem)]);
    assert_eq!(refused(["cell0", "cell1"]), []);
}

#[test]
fn the_sound_fixture_keeps_every_rule() {
    assert_eq!(check(&fixture("sound")), []);
}

#[test]
fn each_broken_fixture_breaks_exactly_the_rule_that_it_is_named_for() {
    for &rule in Rule::ALL {
        let violations = check(&fixture(rule.name()));
        let broken: BTreeSet<Rule> = violations.iter().map(|violation| violation.rule).collect();
        assert_eq!(broken, BTreeSet::from([rule]), "{}: {violations:#?}", rule.name());
    }
}

#[test]
fn a_violation_names_its_line() {
    let system = fixture("call-upwards");
    let violations = check(&system);
    let text = std::fs::read_to_string(&system.file).expect("the fixture is there");
    let lines: Vec<&str> = text.lines().collect();
    for violation in &violations {
        let line = lines[usize::try_from(violation.line).expect("small") - 1];
        assert!(line.contains("pp=\"true\""), "{violation}: {line}");
    }
    assert_eq!(violations.len(), 1);
}

#[test]
fn every_reader_too_many_is_found() {
    let violations = check(&fixture("region-readers"));
    assert_eq!(violations.len(), 2, "what the warden tells a cell, and the cell's heap: {violations:#?}");
}

#[test]
fn each_way_to_a_silent_domain_is_found() {
    let problems: Vec<String> = check(&fixture("boot-reports")).iter().map(ToString::to_string).collect();
    assert_eq!(problems.len(), 2, "{problems:#?}");
    for silent in ["`admission`", "`warden`"] {
        assert!(problems.iter().any(|problem| problem.contains(silent)), "{silent}: {problems:#?}");
    }
}

/// The sound fixture with one thing replaced, for the variants of a rule that its fixture does not show.
fn broken_by(old: &str, new: &str) -> Vec<Rule> {
    let text = std::fs::read_to_string(fixture("sound").file).expect("the fixture is there");
    assert_eq!(text.matches(old).count(), 1, "{old}");
    let system = System::parse(Path::new("variant.xml"), &text.replace(old, new)).expect("parses");
    check(&system).into_iter().map(|violation| violation.rule).collect()
}

/// The end of a description, with a class in it.
fn class(budget: &str, priority: u8, program: &str) -> String {
    let image = format!("<program_image path=\"{program}.elf\" />");
    format!("<protection_domain name=\"class0\" priority=\"{priority}\" {budget}>{image}</protection_domain></system>")
}

#[test]
fn a_class_that_the_warden_holds_is_sound_and_counts_for_nothing() {
    let caps = "<cspace><cap_sc slot=\"1\" pd=\"class0\" />";
    let text = std::fs::read_to_string(fixture("sound").file).expect("the fixture is there");
    let text =
        text.replace("<cspace>", caps).replace("</system>", &class("budget=\"990\" period=\"1000\"", 0, "class"));
    let system = System::parse(Path::new("variant.xml"), &text).expect("parses");
    assert_eq!(check(&system), [], "99 % beside all others: it counts where a cell is under it");
}

#[test]
fn variants_of_the_rules_are_found() {
    let unused = class("budget=\"100\" period=\"1000\"", 0, "class");
    let unthrottled = class("budget=\"1000\" period=\"1000\"", 0, "class");
    let unstated = class("budget=\"100\"", 0, "class");
    let above = class("budget=\"100\" period=\"1000\"", 1, "class");
    let foreign = class("budget=\"100\" period=\"1000\"", 0, "cell");
    let cases: &[(&str, &str, Rule)] = &[
        // A region that its writer cannot write, one that the image fills, one whose name says nothing.
        (
            "<map mr=\"gpio_status\" vaddr=\"0x20010000\" perms=\"rw\"",
            "<map mr=\"gpio_status\" vaddr=\"0x20010000\" perms=\"r\"",
            Rule::RegionWriters,
        ),
        (
            "<map mr=\"policy\" vaddr=\"0x20000000\" perms=\"r\" setvar_vaddr=\"region_policy\" />\n        <map mr=\"grants\"",
            "<map mr=\"policy\" vaddr=\"0x20000000\" perms=\"rw\" setvar_vaddr=\"region_policy\" />\n        <map mr=\"grants\"",
            Rule::RegionWriters,
        ),
        (
            "<memory_region name=\"grants\"",
            "<memory_region name=\"scratch\" size=\"0x1000\" />\n<memory_region name=\"grants\"",
            Rule::RegionWriters,
        ),
        // The consumer's head, written by the producer too.
        (
            "<map mr=\"cell0_to_admission_head\" vaddr=\"0x20040000\" perms=\"r\"",
            "<map mr=\"cell0_to_admission_head\" vaddr=\"0x20040000\" perms=\"rw\"",
            Rule::RegionWriters,
        ),
        // A heap that its owner does not map.
        (
            "<memory_region name=\"grants\" size=\"0x1000\" />",
            "<memory_region name=\"grants\" size=\"0x1000\" />\n<memory_region name=\"warden_heap\" size=\"0x1000\" />",
            Rule::RegionWriters,
        ),
        // Not throttled at all; no period.
        ("priority=\"240\" budget=\"500\"", "priority=\"240\" budget=\"10000\"", Rule::Throttled),
        ("priority=\"1\" budget=\"10000\" period=\"10000\"", "priority=\"1\" budget=\"10000\"", Rule::BudgetStated),
        // A machine beside the domain around it, and a cell on another's core.
        ("<vcpu id=\"0\"", "<vcpu id=\"0\" cpu=\"1\"", Rule::Cores),
        ("<protection_domain name=\"cell0\"", "<protection_domain name=\"cell0\" cpu=\"2\"", Rule::Cores),
        // A cell above the warden's cells; a name without a role.
        ("priority=\"110\"", "priority=\"201\"", Rule::Priorities),
        (
            "id=\"0\" setvar_id=\"child_cell0\"",
            "id=\"0\" smc=\"true\" setvar_id=\"child_cell0\"",
            Rule::NoSecureMonitor,
        ),
        // The image fills what nobody has a use for.
        (
            "<memory_region name=\"grants\"",
            "<memory_region name=\"secrets\" size=\"0x1000\" prefill_path=\"secrets.bin\" />\n<memory_region name=\"grants\"",
            Rule::RegionWriters,
        ),
        // Nobody but the owner of a device reads it, be it another driver's; nobody reads another cell's.
        (
            "<map mr=\"grants\" vaddr=\"0x20010000\" perms=\"rw\"",
            "<map mr=\"gpio_registers\" vaddr=\"0x30000000\" perms=\"r\" /><map mr=\"grants\" vaddr=\"0x20010000\" perms=\"rw\"",
            Rule::Devices,
        ),
        // The same for ports and capabilities, and a machine's name for a domain.
        ("<irq irq=\"39\"", "<ioport id=\"0\" addr=\"0\" size=\"8\" /><irq irq=\"39\"", Rule::NoCapabilities),
        ("<protection_domain name=\"gpio\"", "<protection_domain name=\"linux\"", Rule::Names),
        // The warden with less than it schedules by, with the wrong thing in its place, and with more; and somebody else with the like.
        ("<cap_sc slot=\"33\" pd=\"cell0\" />", "", Rule::NoCapabilities),
        ("<cap_tcb slot=\"63\" pd=\"warden\" />", "", Rule::NoCapabilities),
        ("<cap_sc slot=\"33\"", "<cap_sc slot=\"34\"", Rule::NoCapabilities),
        ("<cap_sc slot=\"33\" pd=\"cell0\" />", "<cap_sc slot=\"33\" pd=\"gpio\" />", Rule::NoCapabilities),
        ("<cap_tcb slot=\"63\" pd=\"warden\" />", "<cap_tcb slot=\"63\" pd=\"gpio\" />", Rule::NoCapabilities),
        ("<cspace>", "<cspace><cap_vspace slot=\"5\" pd=\"cell0\" />", Rule::NoCapabilities),
        ("<cspace>", "<cspace><cap_sc slot=\"33\" pd=\"cell0\" />", Rule::NoCapabilities),
        (
            "<irq irq=\"39\"",
            "<cspace><cap_sc slot=\"33\" pd=\"cell0\" /></cspace><irq irq=\"39\"",
            Rule::NoCapabilities,
        ),
        // A class that the warden cannot use, one that is no limit, one above somebody, and one with a program of another's.
        ("</system>", &unused, Rule::NoCapabilities),
        ("</system>", &unthrottled, Rule::Throttled),
        ("</system>", &unstated, Rule::BudgetStated),
        ("</system>", &above, Rule::Priorities),
        ("</system>", &foreign, Rule::Programs),
        // A second channel to the driver would be a second identity there.
        (
            "</system>",
            "<channel><end pd=\"cell0\" id=\"7\" pp=\"true\" notify=\"false\" /><end pd=\"gpio\" id=\"7\" /></channel></system>",
            Rule::ChannelRights,
        ),
        // The warden, mistaken about whom it starts and whom it tells.
        ("setvar_id=\"child_cell0\"", "setvar_id=\"child_cell1\"", Rule::Identity),
        ("setvar_vaddr=\"region_cell0_control\"", "setvar_vaddr=\"region_cell1_control\"", Rule::Identity),
        ("setvar_vaddr=\"region_cell0_control\"", "setvar_vaddr=\"region_control\"", Rule::Identity),
        // A channel to itself, and one to a virtual machine.
        ("<end pd=\"warden\" id=\"0\"", "<end pd=\"cell0\" id=\"5\"", Rule::ChannelEnds),
        ("<end pd=\"warden\" id=\"0\"", "<end pd=\"linux\" id=\"5\"", Rule::ChannelEnds),
    ];
    for (old, new, rule) in cases {
        let found = broken_by(old, new);
        assert!(found.contains(rule), "{new}: {found:?}");
    }
}

#[test]
fn a_domain_without_a_role_is_found() {
    let found = broken_by(
        "<protection_domain name=\"vmm\"",
        "<protection_domain name=\"logger\" priority=\"50\" budget=\"100\" period=\"1000\"><program_image path=\"x\" /></protection_domain>\n<protection_domain name=\"vmm\"",
    );
    assert!(found.contains(&Rule::Names), "{found:?}");
}
