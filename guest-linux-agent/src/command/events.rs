//! What happened to containers, once or as it comes: `emit events`.

use std::{thread, time::Duration};

use serde_json::json;
use shared_ring_messages::{Answer, EventRecord, Request};

use super::{Context, unexpected};
use crate::{
    arguments::Events,
    session::Result,
    terminal::{self, printable},
};

/// How often a follower asks: at once for a person, no load for the node.
const WAIT: Duration = Duration::from_millis(100);

pub(super) fn events(context: &Context, arguments: &Events) -> Result<u8> {
    let mut session = context.session()?;
    let mut cursor = 0;
    loop {
        match session.ask(Request::Events { cursor })? {
            Answer::Events { records, next, lost } => {
                if lost > 0 {
                    show_lost(context, lost)?;
                }
                let wanted = |event: &&EventRecord| arguments.name.as_ref().is_none_or(|name| event.container == *name);
                records.iter().filter(wanted).try_for_each(|event| show(context, event))?;
                cursor = next;
                if !records.is_empty() {
                    continue;
                }
                if !arguments.follow {
                    return Ok(0);
                }
                thread::sleep(WAIT);
            }
            other => return Err(unexpected(&other)),
        }
    }
}

fn show_lost(context: &Context, lost: u64) -> Result<()> {
    if context.json() {
        return terminal::output(format!("{}\n", json!({ "lost": lost })).as_bytes());
    }
    terminal::note(&format!("{lost} events were dropped before these"));
    Ok(())
}

/// One line an event, for a script as for a person, so that a follower reads them as they come.
fn show(context: &Context, event: &EventRecord) -> Result<()> {
    let line = if context.json() {
        json!({
            "time_ns": event.time_ns,
            "container": event.container,
            "cell": event.cell,
            "generation": event.generation,
            "event": event.event,
            "text": event.text,
        })
        .to_string()
    } else {
        text(event)
    };
    terminal::output(format!("{line}\n").as_bytes())
}

fn text(event: &EventRecord) -> String {
    let (seconds, rest) = (event.time_ns / 1_000_000_000, event.time_ns % 1_000_000_000);
    let head = format!("[{seconds:>6}.{:06}] {:<16} {:<17}", rest / 1000, event.container, event.event);
    // Whatever a node writes, it stays on this line.
    printable(&format!("{head} {}", event.text)).replace(['\n', '\t'], " ").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_whatever_it_says() {
        let event = EventRecord {
            time_ns: 12_345_678_900,
            container: "blinker".into(),
            cell: 1,
            generation: 2,
            event: "failed".into(),
            text: "trap:\n\u{1b}[2J".into(),
        };
        let line = text(&event);
        assert!(line.starts_with("[    12.345678] blinker          failed            trap: "), "{line}");
        assert!(!line.contains(['\n', '\u{1b}']), "{line}");
    }
}
