//! Reports as a person or a script reads them.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use indicatif::{HumanBytes, HumanCount};
use serde_json::{Value, json};
use shared_ring_messages::{
    BindingReport, ChannelReport, ContainerReport, GrantReport, KeyReport, NodeReport, SignerReport,
};

use crate::{exit, terminal::printable};

pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Nanoseconds as a person reads a duration: two units at the most.
pub(crate) fn duration(nanoseconds: u64) -> String {
    let seconds = nanoseconds / 1_000_000_000;
    match seconds {
        0 => format!("{} ms", nanoseconds / 1_000_000),
        1..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

/// A container for a script. Field names are stable; times are nanoseconds since the node's start.
pub(crate) fn container_json(report: &ContainerReport) -> Value {
    let mut value = json!({
        "name": report.name,
        "cell": report.cell,
        "state": report.state_text,
        "failed": exit::has_failed(report),
        "reason": report.reason_text,
        "world": report.world,
        "exit_code": exit::has_finished(report).then_some(report.exit_code),
        "sha256": hexadecimal(&report.sha256),
        "module_bytes": report.module_bytes,
        "grants": report.grants.iter().map(|grant| grant.right.as_str()).collect::<Vec<_>>(),
        "arguments": report.arguments,
        "deployed_ns": report.deployed_ns,
        "load_began_ns": report.load_began_ns,
        "started_ns": report.started_ns,
        "ended_ns": report.ended_ns,
        "now_ns": report.now_ns,
        "fuel": report.fuel,
        "slices": report.slices,
        "loops": report.loops,
        "host_calls": report.host_calls,
        "refused_calls": report.refused_calls,
        "linear_memory_bytes": report.linear_memory_bytes,
        "heap_bytes": report.heap_bytes,
        "output_lost": report.output_lost,
        "cell_restarts": report.cell_restarts,
        "fault": report.fault_text,
        "version": report.version,
        "end": report.end_text,
        "restart": report.restart,
        "new_starts": report.new_starts,
        "next_start_ns": (report.next_start_ns != 0).then_some(report.next_start_ns),
        "given_up": report.given_up,
        "installed_ns": report.installed_ns,
        "ready_ns": report.ready_ns,
        "stopping_ns": report.stopping_ns,
        "heartbeat_ns": report.heartbeat_ns,
        "channels": report.channels.iter().map(binding_json).collect::<Vec<_>>(),
        "update": report.update,
        "signers": report.signers.iter().map(signer_json).collect::<Vec<_>>(),
        "signed_until": (report.signed_until_s != 0).then_some(report.signed_until_s),
    });
    // One document of all that is more than the macro takes.
    value["rights"] = report.grants.iter().map(grant_json).collect();
    value["refused"] = report.refused.iter().map(grant_json).collect();
    value
}

fn grant_json(grant: &GrantReport) -> Value {
    json!({
        "right": grant.right,
        "calls": grant.calls,
        "refused": grant.refused,
        "limited": grant.limited,
        "coalesced": grant.coalesced,
    })
}

/// What was done with a right: nothing where nobody counts that.
fn use_text(grant: &GrantReport) -> String {
    let GrantReport { right, calls, refused, limited, coalesced } = grant;
    let word = match right.split(':').next() {
        Some("gpio" | "i2c" | "timer" | "channel" | "others") => "call",
        Some("log") => "record",
        _ => return "-".to_owned(),
    };
    let plural = if *calls == 1 { "" } else { "s" };
    let mut parts = vec![format!("{} {word}{plural}", HumanCount(*calls)), format!("{} refused", HumanCount(*refused))];
    let of_rate = if word == "record" { "dropped beyond the rate" } else { "put off" };
    for (count, what) in [(limited, of_rate), (coalesced, "edges told together")] {
        if *count != 0 {
            parts.push(format!("{} {what}", HumanCount(*count)));
        }
    }
    if word == "record" {
        // A record is written or dropped; nobody refuses one.
        parts.remove(1);
    }
    parts.join(", ")
}

fn signer_json(signer: &SignerReport) -> Value {
    json!({ "token": signer.token, "key": hexadecimal(&signer.key), "sequence": signer.sequence })
}

fn key_json(key: &KeyReport) -> Value {
    json!({ "key": hexadecimal(&key.id), "role": key.role, "revoked": key.revoked })
}

fn binding_json(binding: &BindingReport) -> Value {
    json!({
        "name": binding.name,
        "direction": binding.direction,
        "type": binding.type_text,
        "address": binding.address,
        "bound": binding.bound,
    })
}

/// The state with what belongs to it: `finalised (0), its lifetime was over`, `failed: trap: unreachable; starts again in 1 s`.
pub(crate) fn state(report: &ContainerReport) -> String {
    let mut text = if exit::has_failed(report) {
        format!("failed: {}", report.reason_text)
    } else if exit::has_finished(report) {
        format!("{} ({})", report.state_text, report.exit_code)
    } else {
        report.state_text.clone()
    };
    match report.update.as_str() {
        "new" => text.push_str(", a new version on its way"),
        "old" => text.push_str(", about to be replaced"),
        _ => {}
    }
    // That it came to its end by itself is what one expects.
    if !matches!(report.end_text.as_str(), "" | "finished") {
        let _ = write!(text, ", {}", report.end_text);
    }
    if report.next_start_ns != 0 {
        let wait_ns = report.next_start_ns.saturating_sub(report.now_ns);
        let _ = write!(text, "; starts again in {}", duration(wait_ns));
    }
    if report.given_up {
        let _ = write!(text, "; given up after {} new starts", report.new_starts);
    }
    text
}

/// A container's channels, a line each.
fn channels(report: &ContainerReport) -> String {
    let one = |binding: &BindingReport| {
        let arrow = if binding.direction == "put" { "->" } else { "<-" };
        let unbound = if binding.bound { "" } else { " (nobody provides it now)" };
        format!("{} {arrow} {}: {}{unbound}", binding.name, binding.address, binding.type_text)
    };
    let all: Vec<String> = report.channels.iter().map(one).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

/// Who signed what, and until when that holds.
fn signers(report: &ContainerReport) -> String {
    if report.signers.is_empty() {
        return "nobody".to_owned();
    }
    let one = |signer: &SignerReport| format!("{} {}", signer.token, hexadecimal(&signer.key));
    let all = report.signers.iter().map(one).collect::<Vec<_>>().join(", ");
    match report.signed_until_s {
        0 => all,
        end => format!("{all}; until {}", date(end)),
    }
}

/// Seconds since 1970 as a date in UTC.
fn date(unix_s: u64) -> String {
    let moment = UNIX_EPOCH.checked_add(Duration::from_secs(unix_s));
    moment.map_or_else(|| format!("second {unix_s}"), |moment| humantime::format_rfc3339_seconds(moment).to_string())
}

/// The restart policy, and what it did so far.
fn restart(report: &ContainerReport) -> String {
    if report.new_starts == 0 {
        report.restart.clone()
    } else {
        format!("{}, {} new starts", report.restart, report.new_starts)
    }
}

/// How long ago the cell last came round.
fn heartbeat(report: &ContainerReport) -> String {
    if report.heartbeat_ns == 0 {
        return "-".to_owned();
    }
    format!("{} ago", duration(report.now_ns.saturating_sub(report.heartbeat_ns)))
}

/// `emit channels` for a script.
pub(crate) fn channel_json(report: &ChannelReport) -> Value {
    json!({
        "address": report.address,
        "type": report.type_text,
        "kind": report.kind,
        "depth": report.depth,
        "held": report.held,
        "puts": report.puts,
        "takes": report.takes,
        "overwritten": report.overwritten,
        "refused": report.refused,
        "last_put_ns": (report.puts != 0).then_some(report.last_put_ns),
        "last_value": hexadecimal(&report.last_value),
        "writer": report.writer,
        "readers": report.readers,
    })
}

/// The table of `emit channels`.
pub(crate) fn channel_table(reports: &[ChannelReport]) -> String {
    let header = ["CHANNEL", "TYPE", "KIND", "HOLDS", "PUTS", "TAKES", "LOST", "WRITER", "READERS", "LAST VALUE"];
    let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    let rows = reports.iter().map(|report| {
        [
            report.address.clone(),
            report.type_text.clone(),
            report.kind.clone(),
            format!("{} of {}", report.held, report.depth),
            HumanCount(report.puts).to_string(),
            HumanCount(report.takes).to_string(),
            HumanCount(report.overwritten.saturating_add(report.refused)).to_string(),
            or_dash(report.writer.clone()),
            or_dash(report.readers.join(",")),
            or_dash(value_text(&report.type_text, &report.last_value)),
        ]
    });
    table(&std::iter::once(header.map(str::to_owned)).chain(rows).collect::<Vec<_>>())
}

/// A value as a person reads it: a number of a simple type, text, else bytes in hexadecimal.
fn value_text(type_text: &str, bytes: &[u8]) -> String {
    let number = |length: usize| {
        let mut padded = [0; 8];
        padded[..length].copy_from_slice(bytes.get(..length)?);
        Some(u64::from_le_bytes(padded))
    };
    let text = match type_text {
        "bool" => number(1).map(|value| (value != 0).to_string()),
        "u8" => number(1).map(|value| value.to_string()),
        "u16" => number(2).map(|value| value.to_string()),
        "u32" => number(4).map(|value| value.to_string()),
        "u64" => number(8).map(|value| value.to_string()),
        "s8" => number(1).map(|value| value.to_le_bytes()[0].cast_signed().to_string()),
        "s16" => bytes.first_chunk().map(|value| i16::from_le_bytes(*value).to_string()),
        "s32" => bytes.first_chunk().map(|value| i32::from_le_bytes(*value).to_string()),
        "s64" => number(8).map(|value| value.cast_signed().to_string()),
        "f32" => bytes.first_chunk().map(|value| f32::from_le_bytes(*value).to_string()),
        "f64" => number(8).map(|value| f64::from_bits(value).to_string()),
        "string" => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    };
    text.unwrap_or_else(|| hexadecimal(bytes))
}

/// How long it ran, or runs.
fn run_time(report: &ContainerReport) -> String {
    if report.started_ns == 0 {
        return "-".to_owned();
    }
    let end = if report.ended_ns != 0 { report.ended_ns } else { report.now_ns };
    duration(end.saturating_sub(report.started_ns))
}

/// The table of `emit ps`.
pub(crate) fn container_table(reports: &[ContainerReport]) -> String {
    let header = ["NAME", "CELL", "WORLD", "RUNS FOR", "LOOPS", "STATE"].map(str::to_owned);
    let rows = reports.iter().map(|report| {
        [
            report.name.clone(),
            report.cell.to_string(),
            report.world.clone(),
            run_time(report),
            HumanCount(report.loops).to_string(),
            state(report),
        ]
    });
    table(&std::iter::once(header).chain(rows).collect::<Vec<_>>())
}

/// Columns as wide as their widest cell; the last is left as it is. Whatever a node puts into a cell stays on its line.
pub(crate) fn table<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let rows: Vec<[String; COLUMNS]> =
        rows.iter().map(|row| row.each_ref().map(|cell| printable(cell).replace(['\n', '\t'], " "))).collect();
    let widths: [usize; COLUMNS] =
        std::array::from_fn(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0));
    let mut text = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// `emit inspect` for a person.
pub(crate) fn container_text(report: &ContainerReport) -> String {
    let list = |items: &[String]| if items.is_empty() { "none".to_owned() } else { items.join(", ") };
    let mut rows = vec![
        ("name".to_owned(), report.name.clone()),
        ("state".to_owned(), state(report)),
        ("cell".to_owned(), format!("cell{} (domain started anew {} times)", report.cell, report.cell_restarts)),
        ("world".to_owned(), report.world.clone()),
        (
            "module".to_owned(),
            format!("{}, sha256 {}", HumanBytes(report.module_bytes.into()), hexadecimal(&report.sha256)),
        ),
        ("arguments".to_owned(), list(&report.arguments)),
        ("signed by".to_owned(), signers(report)),
        ("version".to_owned(), if report.version.is_empty() { "-".to_owned() } else { report.version.clone() }),
        ("restart".to_owned(), restart(report)),
        ("channels".to_owned(), channels(report)),
        ("runs for".to_owned(), run_time(report)),
        ("heartbeat".to_owned(), heartbeat(report)),
        ("loops".to_owned(), HumanCount(report.loops).to_string()),
        ("fuel".to_owned(), format!("{} in {} slices", HumanCount(report.fuel), HumanCount(report.slices))),
        (
            "host calls".to_owned(),
            format!("{}, {} refused", HumanCount(report.host_calls), HumanCount(report.refused_calls)),
        ),
        (
            "memory".to_owned(),
            format!("{} linear, {} of the cell", HumanBytes(report.linear_memory_bytes), HumanBytes(report.heap_bytes)),
        ),
        ("output lost".to_owned(), format!("{} records", report.output_lost)),
        (
            "last fault".to_owned(),
            if report.fault_text.is_empty() { "none".to_owned() } else { report.fault_text.clone() },
        ),
    ];
    rows.extend(report.grants.iter().map(|grant| (format!("right {}", grant.right), use_text(grant))));
    rows.extend(report.refused.iter().map(|grant| (format!("no right {}", grant.right), use_text(grant))));
    table(&rows.into_iter().map(|(key, value)| [key, value]).collect::<Vec<_>>())
}

/// `emit info` for a script.
pub(crate) fn node_json(report: &NodeReport) -> Value {
    let lines: Vec<Value> = report
        .lines
        .iter()
        .map(|line| {
            json!({
                "label": line.label, "line": line.line, "allowed": line.allowed, "held_as": line.held_as,
                "high": line.high, "transitions": line.transitions, "edges": line.edges,
                "most_per_second": line.most_per_second,
            })
        })
        .collect();
    let devices: Vec<Value> = report
        .devices
        .iter()
        .map(|device| {
            json!({ "label": device.label, "first": device.first, "last": device.last, "allowed": device.allowed })
        })
        .collect();
    let counters: serde_json::Map<String, Value> =
        report.counters.iter().map(|(name, count)| (name.clone(), json!(count))).collect();
    json!({
        "substrate": report.substrate,
        "board": report.board,
        "version": report.version,
        "uptime_ns": report.uptime_ns,
        "cells": report.cells,
        "cells_free": report.cells_free,
        "module_limit_bytes": report.module_limit_bytes,
        "memory_limit_bytes": report.memory_limit_bytes,
        "most": report.most,
        "defaults": report.defaults,
        "lines": lines,
        "i2c": { "simulated": report.bus_is_simulated, "devices": devices },
        "counters": counters,
        "runs_unsigned": report.runs_unsigned,
        "keys": report.keys.iter().map(key_json).collect::<Vec<_>>(),
    })
}

/// Whose signatures count.
fn key_text(report: &NodeReport) -> String {
    if report.keys.is_empty() {
        return String::new();
    }
    let header = ["KEY", "ROLE", "COUNTS"].map(str::to_owned);
    let rows = report.keys.iter().map(|key| {
        let role = if key.role.is_empty() { "-".to_owned() } else { key.role.clone() };
        [hexadecimal(&key.id), role, if key.revoked { "revoked" } else { "yes" }.to_owned()]
    });
    format!("\n{}", table(&std::iter::once(header).chain(rows).collect::<Vec<_>>()))
}

/// What is at the I2C bus; nothing where the board names nothing.
fn bus_text(report: &NodeReport) -> String {
    if report.devices.is_empty() {
        return String::new();
    }
    let bus = if report.bus_is_simulated { "I2C (simulated)" } else { "I2C" };
    let header = [bus, "LABEL", "MAY BE"].map(str::to_owned);
    let rows = report.devices.iter().map(|device| {
        let (first, last) = (device.first, device.last);
        let range = if first == last { format!("{first:#04x}") } else { format!("{first:#04x}-{last:#04x}") };
        [range, device.label.clone(), if device.allowed { "asked for" } else { "-" }.to_owned()]
    });
    format!("\n{}", table(&std::iter::once(header).chain(rows).collect::<Vec<_>>()))
}

/// `emit info` for a person.
pub(crate) fn node_text(report: &NodeReport) -> String {
    let mut text = table(&[
        ["node".to_owned(), format!("Atoll {} on {}, board {}", report.version, report.substrate, report.board)],
        ["up for".to_owned(), duration(report.uptime_ns)],
        ["cells".to_owned(), format!("{}, {} free", report.cells, report.cells_free)],
        [
            "runs".to_owned(),
            if report.runs_unsigned { "signed and unsigned containers" } else { "signed containers only" }.to_owned(),
        ],
        [
            "limits".to_owned(),
            format!(
                "module {}, memory {}",
                HumanBytes(report.module_limit_bytes.into()),
                HumanBytes(report.memory_limit_bytes.into())
            ),
        ],
        ["most".to_owned(), report.most.join(", ")],
        ["given".to_owned(), report.defaults.join(", ")],
    ]);
    let header = ["LINE", "LABEL", "MAY BE", "HELD AS", "LEVEL", "TRANSITIONS", "EDGES"].map(str::to_owned);
    let rows = report.lines.iter().map(|line| {
        let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        [
            line.line.to_string(),
            line.label.clone(),
            or_dash(line.allowed.join(",")),
            or_dash(line.held_as.clone()),
            if line.high { "high" } else { "low" }.to_owned(),
            HumanCount(line.transitions).to_string(),
            HumanCount(line.edges).to_string(),
        ]
    });
    text.push('\n');
    text.push_str(&table(&std::iter::once(header).chain(rows).collect::<Vec<_>>()));
    text.push_str(&bus_text(report));
    text.push_str(&key_text(report));
    let counted: Vec<_> = report.counters.iter().filter(|(_, count)| *count != 0).collect();
    if !counted.is_empty() {
        text.push_str("\ncounted since the start:\n");
        for (name, count) in counted {
            let _ = writeln!(text, "  {}: {}", printable(&name.replace('_', " ")), HumanCount(*count));
        }
    }
    text
}
