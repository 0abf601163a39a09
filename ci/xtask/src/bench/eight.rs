//! `cargo xtask bench --eight SECONDS`: eight containers at 1 kHz under all attacks in turn, and not one release lost.
//!
//! Each container works for a while and drives its output once a release. It counts its releases, those that it saw none of, and the
//! deadlines that it was not done by, on the clock; its cell counts the same without asking it; and `gpio` counts the changes of
//! its line. The three must agree. The guest's script is the shell (see `time`), so that two runs are the same; the reboot
//! loop comes last of Linux' attacks, as nothing of Linux outlives it, and behind it neighbours that misbehave, in the place of the
//! first container, under its schedule and before all others: whoever overruns there delays everybody.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, ensure};
use qemu::{
    attacks::{Attack, FOLDER},
    guest::Overlay,
};
use runner_container::{Manifest, OnOverrun, Restart, RestartPolicy, Schedule, Urgency};
use serde::Deserialize;
use serde_json::Value;

use super::{
    MS,
    time::{
        containers::{self, CLOCK_AND_LOG, OUTPUTS},
        script,
    },
};
use crate::{boards, process::step};

/// One in each cell.
const CELLS: usize = 8;

/// Processor time of each container in a millisecond, beside its call of `gpio`.
const BUDGET_NS: u64 = 64_000;

/// And for that call and for coming and going, as the policy states them.
const CALL_AND_SWITCHES_NS: u64 = 8_000 + 2 * 1_600;

/// By how much a job may overrun its budget, as the policy states it.
const SLICE_NS: u64 = 14_000;

/// Rounds of the container's work. With more, what comes between a job could use its budget up (docs/measurements-time.md).
const ROUNDS: u32 = 640;

/// What runs in the first one's place at last: what it does in a release.
const NEIGHBOURS: [(&str, &str); 3] = [
    ("loops", "(loop $l (br $l)) (unreachable)"),
    ("traps", "(unreachable)"),
    ("floods", "(loop $l (call $drive) (br $l)) (unreachable)"),
];

/// The least that the book tells of, in seconds.
const SHORTEST_IN_BOOK: u64 = 60;

/// Seconds of the host's time for each of virtual time, at the worst, and for the boot.
const PATIENCE: u64 = 20;
const BOOT_LIMIT: Duration = Duration::from_secs(300);

/// What was counted and measured of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Counted {
    /// By itself: releases, those that it saw none of, and deadlines that had passed before it was done.
    own: [u64; 3],
    /// By its cell: releases that work began for and was done for, deadlines missed, releases skipped.
    cell: [u64; 4],
    /// By `gpio`: changes of its line.
    transitions: u64,
    /// By its cell, in nanoseconds after the release: when work began and when it was done.
    began: Distribution,
    done: Distribution,
    /// The latter up to when the first one's place was given to a neighbour, and as each of [`NEIGHBOURS`] began and ended there;
    /// nothing of the one whose place it was.
    done_until: Vec<Distribution>,
    /// What admission promised: done so many nanoseconds after the release.
    promised_ns: u64,
}

/// In nanoseconds; percentiles as the node has them, to an eighth.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Distribution {
    count: u64,
    sum_ns: u64,
    most_ns: u64,
    percentiles_ns: BTreeMap<String, u64>,
}

impl Distribution {
    fn mean_ns(&self) -> u64 {
        self.sum_ns.checked_div(self.count).unwrap_or(0)
    }
}

impl Counted {
    /// Whether all three who count say that no release was lost and no deadline missed.
    fn check(&self) -> Result<()> {
        let &Self { own: [releases, lost, late], cell: [released, completed, missed, skipped], transitions, .. } = self;
        ensure!(releases > 0, "it was never released");
        ensure!((lost, late, missed, skipped) == (0, 0, 0, 0), "releases were lost or deadlines missed");
        // It may have been told to stop when its cell had taken up a release already.
        ensure!(
            completed == releases && (releases..=releases + 1).contains(&released),
            "container and cell do not agree"
        );
        // Its line goes low at its end, where it was high.
        ensure!(transitions == releases + releases % 2, "container and `gpio` do not agree");
        ensure!(self.done.most_ns <= self.promised_ns, "it was done later than promised");
        Ok(())
    }

    /// How much later it was done in the mean beside each of [`NEIGHBOURS`], in nanoseconds.
    fn delays_ns(&self) -> Result<Vec<i64>> {
        let (before, beside) = self.done_until.split_first().context("no times of before")?;
        let delay_ns = |turn: &[Distribution]| {
            let [count, sum_ns] =
                [turn[1].count.checked_sub(turn[0].count)?, turn[1].sum_ns.checked_sub(turn[0].sum_ns)?];
            Some(sum_ns.checked_div(count)?.cast_signed() - before.mean_ns().cast_signed())
        };
        beside.chunks_exact(2).map(|turn| delay_ns(turn).context("it was not released beside a neighbour")).collect()
    }

    /// How long its jobs were in the mean, in nanoseconds, with their calls and whatever came between.
    fn job_ns(&self) -> u64 {
        self.done.mean_ns().saturating_sub(self.began.mean_ns())
    }

    fn row(&self, name: &str) -> [String; 9] {
        let us = |ns: u64| format!("{:.1}", ns as f64 / 1000.0);
        let of = |distribution: &Distribution, which| distribution.percentiles_ns.get(which).copied().unwrap_or(0);
        let [releases, lost, late] = self.own;
        let [_, _, missed, skipped] = self.cell;
        [
            name.to_owned(),
            releases.to_string(),
            format!("{lost} / {skipped} / {}", (releases + releases % 2).saturating_sub(self.transitions)),
            format!("{late} / {missed}"),
            us(of(&self.began, "p50")),
            us(self.began.most_ns),
            us(of(&self.done, "p50")),
            us(self.done.most_ns),
            us(self.promised_ns),
        ]
    }
}

/// Plays it for about so many seconds of virtual time, shows what was found, and writes it into the book where it is a figure for it.
pub(crate) fn run(seconds: u64) -> Result<()> {
    let table = play(seconds)?;
    if seconds < SHORTEST_IN_BOOK {
        println!("nothing is written: the book has {SHORTEST_IN_BOOK} s or more");
        return Ok(());
    }
    super::write(super::time::PAGE, "eight", &format!("{seconds} s of the machine's time:\n\n{table}"))
}

/// A minute of it: a part of `cargo xtask test`.
pub(crate) fn hold() -> Result<()> {
    play(SHORTEST_IN_BOOK).map(drop)
}

/// Fails where a release was lost or a deadline missed, and answers what was measured as a table.
fn play(seconds: u64) -> Result<String> {
    step(&format!("eight containers at 1 kHz under all attacks in turn, {seconds} s"));
    let image = boards::image_for_eight(overlay(seconds)?)?;
    let mut machine = super::start_for_eight(&image)?;
    let limit = BOOT_LIMIT + Duration::from_secs(seconds * PATIENCE);
    let mut shown = String::new();
    let log = super::listen(&mut machine, "eight", limit, |said| {
        // Something of another's may stand before it in its line.
        let mut turns =
            said.lines().filter_map(|line| line.split_once(script::SAYS).map(|(_, words)| words.trim_end()));
        let is_turn = |words: &&str| ["under ", "beside "].iter().any(|what| words.starts_with(what));
        if let Some(turn) = turns.rfind(is_turn).filter(|turn| *turn != shown) {
            eprintln!("    {turn}");
            turn.clone_into(&mut shown);
        }
    })?;
    let counted: Vec<Counted> = (0..CELLS)
        .map(|number| counted(&log, number).with_context(|| format!("of kilo{number}")))
        .collect::<Result<_>>()?;
    let delays_ns: Vec<Vec<i64>> = counted.iter().skip(1).map(Counted::delays_ns).collect::<Result<_>>()?;
    let table = table(&counted, &delays_ns);
    println!("{table}");
    for (number, counted) in counted.iter().enumerate() {
        counted.check().with_context(|| format!("kilo{number}: {counted:?}"))?;
    }
    let overrun_ns = overrun_ns(&counted);
    for (turn, (name, _)) in NEIGHBOURS.iter().enumerate() {
        let latest_ns = delays_ns.iter().map(|delays| delays[turn]).max().context("somebody is beside it")?;
        ensure!(
            latest_ns <= overrun_ns,
            "beside `{name}` others were done {latest_ns} ns later, where an overrun costs {overrun_ns} ns"
        );
    }
    Ok(table)
}

/// What a neighbour that overruns in the first one's place takes more of everybody's time than that one took, at the most.
fn overrun_ns(counted: &[Counted]) -> i64 {
    let took_ns = counted.first().map_or(0, Counted::job_ns);
    (BUDGET_NS + SLICE_NS + CALL_AND_SWITCHES_NS).cast_signed() - took_ns.cast_signed()
}

fn table(counted: &[Counted], delays_ns: &[Vec<i64>]) -> String {
    let head = "| container | releases | lost: own / cell / `gpio` | late: own / cell | began, median | most | done, median | most | promised |\n\
                |---|---:|---:|---:|---:|---:|---:|---:|---:|\n";
    let rows = counted
        .iter()
        .enumerate()
        .map(|(number, counted)| format!("| {} |\n", counted.row(&format!("`kilo{number}`")).join(" | ")));
    let releases: u64 = counted.iter().map(|counted| counted.own[0]).sum();
    let job_ns: u64 = counted.iter().map(Counted::job_ns).sum();
    let beside = NEIGHBOURS.iter().enumerate().map(|(turn, (name, _))| {
        let delays = || delays_ns.iter().map(|delays| delays[turn]);
        let us = |ns: Option<i64>| ns.unwrap_or_default() as f64 / 1000.0;
        format!("`{name}` {:+.1} to {:+.1} µs", us(delays().min()), us(delays().max()))
    });
    let percent = |ns: u64| ns as f64 * 100.0 / MS as f64;
    format!(
        "{head}{}\n{releases} releases; times in microseconds after the release. A job with its call took {:.1} µs in the mean, all eight \
         together {:.1} % of the processor; admitted were {:.1} %, budgets, calls and switches. Who is \
         in the place of `kilo0` changes the mean at which the others are done: {}. Admission counts {:+.1} µs for an overrun.\n",
        rows.collect::<String>(),
        job_ns as f64 / CELLS as f64 / 1000.0,
        percent(job_ns),
        percent((BUDGET_NS + CALL_AND_SWITCHES_NS) * CELLS as u64),
        beside.collect::<Vec<_>>().join(", "),
        overrun_ns(counted) as f64 / 1000.0,
    )
}

fn counted(log: &str, number: usize) -> Result<Counted> {
    let name = format!("kilo{number}");
    let own = containers::samples(log, &format!("k{number:02}"))?;
    let own = own.try_into().map_err(|own| anyhow::anyhow!("its own counts are {own:?}"))?;
    let timing = script::told(log, &format!("timing-{name}"))?;
    let of_cell = |field: &str| timing[field].as_u64().with_context(|| format!("no {field} in {timing}"));
    let cell = [of_cell("released")?, of_cell("completed")?, of_cell("missed")?, of_cell("skipped")?];
    let turns =
        NEIGHBOURS.iter().flat_map(|(neighbour, _)| [format!("first-{neighbour}"), format!("last-{neighbour}")]);
    let moments = ["before".to_owned()].into_iter().chain(turns).filter(|_| number != 0);
    let done_until = moments
        .map(|moment| measured(&script::told(log, &format!("{moment}-{name}"))?, "response"))
        .collect::<Result<Vec<_>>>()?;
    let (began, done) = (measured(&timing, "release_jitter")?, measured(&timing, "response")?);
    let node = script::told(log, &format!("node-{name}"))?;
    let label = format!("OUT{number}");
    let line = node["lines"].as_array().and_then(|lines| lines.iter().find(|line| line["label"] == label.as_str()));
    let transitions = line.and_then(|line| line["transitions"].as_u64()).context("no transitions")?;
    let schedule = script::told(log, "schedule")?;
    let row = schedule["containers"].as_array().and_then(|rows| rows.iter().find(|row| row["name"] == name.as_str()));
    let promised_ns = row.and_then(|row| row["response_ns"].as_u64()).with_context(|| format!("not in {schedule}"))?;
    Ok(Counted { own, cell, transitions, began, done, done_until, promised_ns })
}

fn measured(timing: &Value, measure: &str) -> Result<Distribution> {
    serde_json::from_value(timing["measures"][measure].clone()).with_context(|| format!("no {measure} in {timing}"))
}

fn overlay(seconds: u64) -> Result<Overlay> {
    let mut overlay = script::in_place_of_the_shell(script_of(seconds));
    for number in 0..CELLS {
        overlay.file(&format!("/bench/kilo{number}.wasm"), kilo(number)?);
    }
    for (name, body) in NEIGHBOURS {
        overlay.file(&format!("/bench/{name}.wasm"), neighbour(name, body)?);
    }
    let mut names = Vec::new();
    for attack in linux_attacks() {
        for file in attack.files()? {
            if !names.contains(&file.name) {
                names.push(file.name);
                overlay.file(&format!("{FOLDER}/{}", file.name), file.content);
            }
        }
    }
    Ok(overlay)
}

fn linux_attacks() -> impl Iterator<Item = Attack> {
    Attack::ALL
        .into_iter()
        .filter(|attack| !attack.reboots() && (attack.cells() == 0 || *attack == Attack::UploadStorm))
}

fn script_of(seconds: u64) -> String {
    // As many turns as there are of Linux' attacks, one idle, one of reboots, and one of each neighbour.
    let turns = linux_attacks().count() as u64 + 2 + NEIGHBOURS.len() as u64;
    let turn = (seconds / turns).max(2);
    let attacks: String = linux_attacks()
        .map(|attack| format!("say under {attack}\n{}\nsleep {turn}\n{}\n", attack.start_line(), attack.stop_line()))
        .collect();
    let neighbours: String = NEIGHBOURS
        .map(|(name, _)| {
            format!(
                "say beside {name}\npersist emit deploy {name}.wasm\nusleep 300000\nsnap first-{name}\nsleep {turn}\n\
                 snap last-{name}\nemit kill {name}; persist emit rm {name}\n"
            )
        })
        .concat();
    let before_reboots_ms = (turns - 1 - NEIGHBOURS.len() as u64) * turn * 1000;
    format!(
        r#"{persist}
released() {{ persist emit --format json jitter kilo0 && sed -n 's/.*"released": *\([0-9]*\).*/\1/p' /tmp/said | head -1; }}
finish() {{
    persist emit stop $1
    until is_over $1; do usleep 200000; done
    persist emit logs $1
    cat /tmp/said
    tell timing-$1 jitter $1
    tell node-$1 info
}}
snap() {{ for n in 1 2 3 4 5 6 7; do tell $1-kilo$n jitter kilo$n; done; }}
if ! emit inspect kilo0 > /dev/null 2>&1; then
    for n in 0 1 2 3 4 5 6 7; do persist emit deploy kilo$n.wasm || emit schedule; done
    emit schedule
    tell schedule schedule
    say under nothing
    sleep {turn}
    {attacks}
    say under reboot-loop
fi
now=$(released)
say released $now
if [ "$now" -lt {until_released} ]; then reboot -f; fi
snap before
finish kilo0
persist emit rm kilo0
{neighbours}
for n in 1 2 3 4 5 6 7; do finish kilo$n; done
say end
while :; do sleep 1000; done
"#,
        persist = script::FUNCTIONS,
        until_released = before_reboots_ms + turn * 1000,
    )
}

/// A container of the eight, see the module's documentation.
fn kilo(number: usize) -> Result<Vec<u8>> {
    let text = format!(
        r#"(module
            {CLOCK_AND_LOG}
            {OUTPUTS}
            (memory (export "memory") 2)
            (data (i32.const 16) "OUT{number}")
            (global $line (mut i32) (i32.const 0))
            (global $count (mut i64) (i64.const 0))
            (global $last (mut i64) (i64.const 0))
            (global $lost (mut i64) (i64.const 0))
            (global $late (mut i64) (i64.const 0))
            {keep}
            {series}
            (func (export "on-start") (result i32)
                (call $open (i32.const 16) (i32.const 4) (i32.const 0))
                (global.set $line (i32.load (i32.const 4)))
                (i32.load8_u (i32.const 0)))
            (func (export "on-loop") (result i32)
                (local $release i64) (local $rounds i32)
                (local.set $release (i64.div_u (call $now) (i64.const {MS})))
                (if (i64.ne (global.get $last) (i64.const 0))
                    (then (global.set $lost (i64.add (global.get $lost)
                        (i64.sub (i64.sub (local.get $release) (global.get $last)) (i64.const 1))))))
                (global.set $last (local.get $release))
                (global.set $count (i64.add (global.get $count) (i64.const 1)))
                (local.set $rounds (i32.const {ROUNDS}))
                (loop $work
                    (br_if $work (local.tee $rounds (i32.sub (local.get $rounds) (i32.const 1)))))
                (drop (call $set (global.get $line) (i32.wrap_i64 (i64.and (global.get $count) (i64.const 1)))))
                (if (i64.gt_u (call $now) (i64.mul (i64.add (local.get $release) (i64.const 1)) (i64.const {MS})))
                    (then (global.set $late (i64.add (global.get $late) (i64.const 1)))))
                (i32.const 0))
            (func (export "on-stop")
                (call $keep_{name} (i64.mul (global.get $count) (i64.const {unit})))
                (call $keep_{name} (i64.mul (global.get $lost) (i64.const {unit})))
                (call $keep_{name} (i64.mul (global.get $late) (i64.const {unit})))
                (call $log_{name})))"#,
        keep = containers::keep(),
        series = containers::series(&format!("k{number:02}"), containers::FIRST_LINE),
        name = format_args!("k{number:02}"),
        unit = containers::UNIT_NS,
    );
    pack(&text, &format!("kilo{number}"), number, Urgency::default(), Restart::default())
}

fn neighbour(name: &str, body: &str) -> Result<Vec<u8>> {
    let text = format!(
        r#"(module
            {OUTPUTS}
            (memory (export "memory") 1)
            (data (i32.const 16) "OUT0")
            (global $line (mut i32) (i32.const 0))
            (func $drive (drop (call $set (global.get $line) (i32.const 1))))
            (func (export "on-start") (result i32)
                (call $open (i32.const 16) (i32.const 4) (i32.const 0))
                (global.set $line (i32.load (i32.const 4)))
                (i32.load8_u (i32.const 0)))
            (func (export "on-loop") (result i32) {body})
            (func (export "on-stop")))"#
    );
    let restart = Restart {
        policy: RestartPolicy::Always,
        first_back_off_ns: 100 * MS,
        longest_back_off_ns: 100 * MS,
        attempts: 1_000_000,
    };
    pack(&text, name, 0, Urgency::Critical, restart)
}

fn pack(text: &str, name: &str, number: usize, class: Urgency, restart: Restart) -> Result<Vec<u8>> {
    let calls = Some([1, 0, 0, 0]);
    let schedule = Schedule {
        period_ns: MS,
        budget_ns: BUDGET_NS,
        on_overrun: OnOverrun::Skip,
        class,
        calls,
        ..Schedule::default()
    };
    let grants = vec![format!("gpio:OUT{number}:out@2000/s"), "priority:critical".to_owned()];
    containers::pack(text, Manifest { schedule: Some(schedule), grants, restart, ..Manifest::named(name) })
}
