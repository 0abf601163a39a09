//! What a node promised to containers with a schedule, as a table, as JSON, and as a timeline.
//!
//! The bounds are the node's. The timeline is made here, from the numbers that the node computed with: by the simulator that its
//! admission test is held to. A node's report may say anything, so the numbers are looked at before anything is played.

use std::fmt::Write as _;

use runner_schedule::{
    DRIVERS, Driver, FEWEST_REFILLS, LONGEST_PERIOD_NS, Platform, Release, Server, SystemTask, Task, TaskParameters,
    Trust,
    simulate::{CriticalInstant, OnOverrun, Scenario, TimelineNames, simulate, svg},
};
use serde_json::{Value, json};
use shared_ring_messages::{
    AdmissionReport, Answer, ContainerReport, PlatformReport, Request, ScheduleRow, ScheduleTable,
};

use crate::{
    command::unexpected,
    exit::Failure,
    jitter::{schedule_json, time},
    session::{Error, Result, Session},
    show::table,
};

/// The first minor version of the protocol that tells of schedules.
const SINCE_MINOR: u16 = 3;

/// The longest stretch that is drawn: a thousand ticks are more than a picture shows.
const LONGEST_PICTURE_NS: u64 = 200_000_000;

/// No cost is longer, and nothing above the cells comes more often; else playing it would take for ever.
const LONGEST_COST_NS: u64 = 1_000_000_000;
const SHORTEST_PERIOD_NS: u64 = 1_000;

/// Refused where the node cannot be asked.
pub(crate) fn check_version(session: &Session) -> Result<()> {
    if session.minor() < SINCE_MINOR {
        return Err(Error::new(Failure::Version, "the node is older than this emit and promises no deadlines"));
    }
    Ok(())
}

/// What that container was promised, if the node can be asked and it was promised anything.
pub(crate) fn row_of(session: &mut Session, report: &ContainerReport) -> Result<Option<ScheduleRow>> {
    if session.minor() < SINCE_MINOR {
        return Ok(None);
    }
    match session.ask(Request::Schedule)? {
        Answer::Schedule(table) => {
            Ok(table.rows.into_iter().find(|row| row.cell == report.cell && row.name == report.name))
        }
        other => Err(unexpected(&other)),
    }
}

/// `emit schedule` for a person.
pub(crate) fn text(told: &ScheduleTable) -> String {
    if told.rows.is_empty() {
        return "nobody has a schedule\n".into();
    }
    let header = [
        "NAME",
        "PRIORITY",
        "RELEASE",
        "PERIOD",
        "DEADLINE",
        "BUDGET",
        "RESPONSE",
        "SLACK",
        "CLASS",
        "KERNEL",
        "EXHAUSTED",
    ];
    let rows = told.rows.iter().map(|row| {
        let schedule = &row.schedule;
        [
            row.name.clone(),
            row.priority.to_string(),
            schedule.release.clone(),
            time(schedule.period_ns),
            time(schedule.deadline_ns),
            time(schedule.budget_ns),
            time(row.response_ns),
            time(row.slack_ns),
            class(row),
            kernel(row),
            row.exhausted.to_string(),
        ]
    });
    let mut text = table(&std::iter::once(header.map(String::from)).chain(rows).collect::<Vec<_>>());
    let promised = told.promised_ppm / 1_000;
    let _ = writeln!(
        text,
        "\n{}.{} % of the processor is promised, to these and to the domains above them",
        promised / 10,
        promised % 10
    );
    text
}

fn class(row: &ScheduleRow) -> String {
    let name = format!("class{}", row.class.number);
    if row.in_force { name } else { format!("({name})") }
}

fn kernel(row: &ScheduleRow) -> String {
    let nanoseconds = |microseconds: u32| time(u64::from(microseconds) * 1_000);
    format!("{} in {}", nanoseconds(row.class.budget_us), nanoseconds(row.class.period_us))
}

/// The lines of `emit inspect` about it.
pub(crate) fn inspect_text(row: &ScheduleRow) -> String {
    let schedule = &row.schedule;
    let state = if row.in_force { "" } else { " once it runs" };
    format!(
        "schedule: {} every {}, done within {}, budget {}\n\
         promised: done {} after its release at the latest, {} before its deadline\n\
         held by the kernel: {} of {}{state}, at priority {}; used up {} times\n",
        schedule.release,
        time(schedule.period_ns),
        time(schedule.deadline_ns),
        time(schedule.budget_ns),
        time(row.response_ns),
        time(row.slack_ns),
        kernel(row),
        class(row),
        row.priority,
        row.exhausted,
    )
}

/// `emit schedule --format json`.
pub(crate) fn json(told: &ScheduleTable) -> Value {
    json!({
        "containers": told.rows.iter().map(row_json).collect::<Vec<_>>(),
        "promised_ppm": told.promised_ppm,
        "platform": platform_json(&told.platform),
    })
}

/// A container with what it was promised.
pub(crate) fn row_json(row: &ScheduleRow) -> Value {
    json!({
        "name": row.name,
        "cell": row.cell,
        "schedule": schedule_json(&row.schedule),
        "calls": row.calls,
        "response_ns": row.response_ns,
        "slack_ns": row.slack_ns,
        "priority": row.priority,
        "class": { "number": row.class.number, "budget_us": row.class.budget_us, "period_us": row.class.period_us },
        "in_force": row.in_force,
        "exhausted": row.exhausted,
    })
}

fn platform_json(platform: &PlatformReport) -> Value {
    let calls = platform.calls.iter().map(|(name, call_ns)| (name.clone(), json!(call_ns)));
    let system = platform.system.iter().map(|of| {
        json!({ "name": of.name, "budget_ns": of.budget_ns, "period_ns": of.period_ns, "jitter_ns": of.jitter_ns })
    });
    json!({
        "tick_ns": platform.tick_ns,
        "tick_jitter_ns": platform.tick_jitter_ns,
        "event_jitter_ns": platform.event_jitter_ns,
        "switch_ns": platform.switch_ns,
        "blocking_ns": platform.blocking_ns,
        "least_budget_ns": platform.least_budget_ns,
        "refills": platform.refills,
        "calls_ns": Value::Object(calls.collect()),
        "system": system.collect::<Vec<_>>(),
    })
}

/// `emit deploy --dry-run` for a person.
pub(crate) fn admission_text(report: &AdmissionReport) -> String {
    let mut text = format!("{}: the node would take it; nothing was deployed\n", report.name);
    if !report.version.is_empty() {
        let _ = writeln!(text, "version: {}", report.version);
    }
    let _ = writeln!(text, "rights: {}", report.rights.join(", "));
    for signer in &report.signers {
        let key: String = signer.key.iter().map(|byte| format!("{byte:02x}")).collect();
        let _ = writeln!(text, "signed: {} by {key}, sequence {}", signer.token, signer.sequence);
    }
    if let Some(schedule) = &report.schedule {
        let _ = write!(text, "\n{}", self::text(schedule));
    }
    text
}

/// The same for a machine.
pub(crate) fn admission_json(report: &AdmissionReport) -> Value {
    let signers = report.signers.iter().map(|signer| {
        let key: String = signer.key.iter().map(|byte| format!("{byte:02x}")).collect();
        json!({ "token": signer.token, "key": key, "sequence": signer.sequence })
    });
    json!({
        "name": report.name,
        "deployed": false,
        "version": report.version,
        "rights": report.rights,
        "signers": signers.collect::<Vec<_>>(),
        "schedule": report.schedule.as_ref().map(json),
    })
}

/// The worst moment of the schedule, drawn: everything ready at once, and taking all that it may.
///
/// # Errors
/// The node's numbers make no schedule.
pub(crate) fn picture(told: &ScheduleTable) -> std::result::Result<String, String> {
    let of = &told.platform;
    let costs = [of.tick_jitter_ns, of.event_jitter_ns, of.switch_ns, of.blocking_ns, of.least_budget_ns, of.tick_ns];
    let system = of.system.iter().map(|of| (of.budget_ns, of.period_ns, of.jitter_ns));
    let is_sound = costs.iter().chain(of.calls.iter().map(|(_, call_ns)| call_ns)).all(|cost| *cost <= LONGEST_COST_NS)
        && system.clone().all(|(budget_ns, period_ns, jitter_ns)| {
            budget_ns <= LONGEST_COST_NS
                && jitter_ns <= LONGEST_COST_NS
                && (SHORTEST_PERIOD_NS..=LONGEST_PERIOD_NS).contains(&period_ns)
        })
        && of.calls.len() <= DRIVERS
        && of.refills >= FEWEST_REFILLS;
    if !is_sound {
        return Err("the node's costs are none that can be drawn".into());
    }
    let system: Vec<_> = of
        .system
        .iter()
        .map(|of| SystemTask {
            name: &of.name,
            budget_ns: of.budget_ns,
            period_ns: of.period_ns,
            jitter_ns: of.jitter_ns,
        })
        .collect();
    let drivers: Vec<_> = of
        .calls
        .iter()
        .map(|(name, call_ns)| Driver { name, call_ns: *call_ns, server: None, reserved_calls: 0 })
        .collect();
    let platform = Platform {
        tick_period_ns: of.tick_ns,
        tick_jitter_ns: of.tick_jitter_ns,
        event_jitter_ns: of.event_jitter_ns,
        switch_ns: of.switch_ns,
        slice_ns: 0,
        blocking_ns: of.blocking_ns,
        minimum_budget_ns: of.least_budget_ns,
        refills: of.refills,
        trust: Trust::Kernel,
        system: &system,
        drivers: &drivers,
    };
    let tasks: Vec<_> = told.rows.iter().map(task).collect::<std::result::Result<_, _>>()?;
    let names: Vec<_> = told.rows.iter().map(|row| row.name.as_str()).collect();
    let mut worst = CriticalInstant::new(&tasks, &platform);
    let longest_ns = told.rows.iter().map(|row| row.schedule.period_ns).max().unwrap_or(of.tick_ns);
    let from_ns = worst.instant_ns();
    let record = from_ns..from_ns + longest_ns.clamp(1, LONGEST_PICTURE_NS);
    let horizon_ns = record.end;
    let scenario = Scenario { tasks: &tasks, platform: &platform, on_overrun: OnOverrun::Skip, horizon_ns, record };
    let outcome = simulate(&scenario, &mut worst);
    let drivers: Vec<_> = drivers.iter().map(|driver| driver.name).collect();
    let system: Vec<_> = system.iter().map(|system| system.name).collect();
    Ok(svg(&outcome.timeline, &TimelineNames { tasks: &names, drivers: &drivers, system: &system }))
}

fn task(row: &ScheduleRow) -> std::result::Result<Task, String> {
    let schedule = &row.schedule;
    let server = Server::new(u64::from(row.class.budget_us) * 1_000, u64::from(row.class.period_us) * 1_000);
    let mut calls = [0; DRIVERS];
    for (calls, told) in calls.iter_mut().zip(&row.calls) {
        *calls = *told;
    }
    let parameters = TaskParameters {
        release: match schedule.release.as_str() {
            "events" => Release::Sporadic,
            _ => Release::Periodic { offset_ns: schedule.offset_ns },
        },
        calls,
        server: Some(server.map_err(|error| error.to_string())?),
        ..TaskParameters::new(schedule.period_ns, schedule.deadline_ns, schedule.budget_ns)
    };
    let level = u8::try_from(row.priority).unwrap_or(u8::MAX);
    Task::new(parameters).map(|task| task.at_level(level)).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use shared_ring_messages::{ActivityReport, ScheduleReport, ScheduledClass, SignerReport};

    use super::*;

    fn row(name: &str, priority: u32, in_force: bool) -> ScheduleRow {
        ScheduleRow {
            name: name.into(),
            cell: 1,
            schedule: ScheduleReport {
                release: "periodic".into(),
                period_ns: 20_000_000,
                deadline_ns: 10_000_000,
                budget_ns: 1_000_000,
                ..ScheduleReport::default()
            },
            calls: vec![1, 0, 2, 0],
            response_ns: 3_000_000,
            slack_ns: 7_000_000,
            class: ScheduledClass { number: 26, budget_us: 2000, period_us: 10_000 },
            priority,
            in_force,
            exhausted: 4,
        }
    }

    fn told() -> ScheduleTable {
        let activity = ActivityReport { name: "tick".into(), budget_ns: 50_000, period_ns: 1_000_000, jitter_ns: 0 };
        let calls = ["gpio", "i2c", "timer", "exchange"].map(|name| (name.to_owned(), 50_000));
        ScheduleTable {
            rows: vec![row("fast", 178, true), row("slow", 155, false)],
            promised_ppm: 536_700,
            platform: PlatformReport {
                tick_ns: 1_000_000,
                switch_ns: 10_000,
                least_budget_ns: 20_000,
                refills: 2,
                calls: calls.into(),
                system: vec![activity],
                ..PlatformReport::default()
            },
        }
    }

    #[test]
    fn a_table_tells_who_was_promised_what() {
        let text = text(&told());
        let lines: Vec<_> = text.lines().collect();
        let words = |line: &str| {
            line.split("  ").map(str::trim).filter(|word| !word.is_empty()).map(String::from).collect::<Vec<_>>()
        };
        let expected = [
            "fast",
            "178",
            "periodic",
            "20.0 ms",
            "10.0 ms",
            "1.00 ms",
            "3.00 ms",
            "7.00 ms",
            "class26",
            "2.00 ms in 10.0 ms",
            "4",
        ];
        assert_eq!(words(lines[1]), expected);
        assert!(words(lines[2]).contains(&"(class26)".to_owned()), "not under it yet: {text}");
        assert!(
            text.ends_with("\n53.6 % of the processor is promised, to these and to the domains above them\n"),
            "{text}"
        );
        assert_eq!(self::text(&ScheduleTable::default()), "nobody has a schedule\n");
    }

    #[test]
    fn a_machine_reads_the_same() {
        let value = json(&told());
        let row = &value["containers"][0];
        assert_eq!(
            (&row["response_ns"], &row["slack_ns"], &row["in_force"]),
            (&3_000_000.into(), &7_000_000.into(), &true.into())
        );
        assert_eq!((&row["class"]["number"], &row["schedule"]["deadline_ns"]), (&26.into(), &10_000_000.into()));
        assert_eq!(
            (&value["platform"]["calls_ns"]["timer"], &value["promised_ppm"]),
            (&50_000.into(), &536_700.into())
        );
        assert_eq!(value["platform"]["system"][0]["name"], "tick");
    }

    #[test]
    fn a_dry_run_says_that_nothing_was_deployed() {
        let signer = SignerReport { token: "code".into(), key: [0xab; 8], sequence: 7 };
        let report = AdmissionReport {
            name: "a".into(),
            version: "1.0.0".into(),
            rights: vec!["node".into(), "gpio:LED:out".into()],
            signers: vec![signer],
            schedule: Some(told()),
        };
        let text = admission_text(&report);
        assert!(text.starts_with("a: the node would take it; nothing was deployed\nversion: 1.0.0\n"), "{text}");
        assert!(text.contains("rights: node, gpio:LED:out\nsigned: code by abababababababab, sequence 7\n"), "{text}");
        assert!(text.contains("class26"), "{text}");
        let value = admission_json(&report);
        assert_eq!((&value["deployed"], &value["signers"][0]["sequence"]), (&false.into(), &7.into()));
    }

    #[test]
    fn the_picture_shows_everybody_by_name_and_misses_nothing() {
        let svg = picture(&told()).expect("drawn");
        assert!(
            svg.starts_with("<svg") && svg.contains("fast") && svg.contains("slow") && svg.contains("tick"),
            "{svg}"
        );
        assert!(!svg.contains("missed by"), "{svg}");
    }

    #[test]
    fn numbers_that_make_no_schedule_are_no_picture() {
        let spoil: [fn(&mut ScheduleTable); 8] = [
            |told| told.platform.system[0].period_ns = 0,
            |told| told.platform.system[0].budget_ns = u64::MAX,
            |told| told.platform.switch_ns = u64::MAX,
            |told| told.platform.calls.extend(told.platform.calls.clone().into_iter().chain([("x".into(), 1)])),
            |told| told.platform.refills = 0,
            |told| told.rows[0].schedule.period_ns = 0,
            |told| told.rows[0].class.period_us = 0,
            |told| told.rows[1].schedule.budget_ns = u64::MAX,
        ];
        for (number, spoil) in spoil.into_iter().enumerate() {
            let mut told = told();
            spoil(&mut told);
            assert!(picture(&told).is_err(), "{number}");
        }
    }
}
