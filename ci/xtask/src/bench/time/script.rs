//! What the guest does by itself, in the place of its shell: nobody types, so that two runs are the same.
//!
//! A key that is pressed arrives between two instructions that the host's threads choose, and everything behind it is another run.
//! So all of it is a script in the image, one for each condition: deploy, attack, measure, print. Linux forgets all of it at a
//! reboot; what was done already is asked of the node.

use anyhow::{Context, Result};
use qemu::{attacks::FOLDER, guest::Overlay};
use serde_json::Value;

use super::{Condition, Plan, containers};

/// Where the script and what it deploys lie.
const PLACE: &str = "/bench";

/// What the script says when all is told.
pub(in super::super) const END: &str = "bench: end";

/// What each of its lines begins with.
pub(in super::super) const SAYS: &str = "bench: ";

/// What every script begins with.
pub(in super::super) const FUNCTIONS: &str = r#"export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=vt100
cd /bench
say() { echo "bench: $*"; }
# What an attack gets in the way of is tried again.
persist() {
    tries=0
    until "$@" > /tmp/said 2>&1; do
        tries=$((tries + 1))
        [ $tries -gt 50 ] && say "failed: $*: $(cat /tmp/said)" && return 1
        usleep 50000
    done
}
# One line of JSON, asked for until it is there.
tell() {
    what=$1; shift
    persist emit --format json "$@" && say "$what $(tr -d '\n' < /tmp/said)"
}
is_over() { persist emit --format json inspect $1 && grep -Eq '"state": *"(finalised|failed)"' /tmp/said; }"#;

/// What has the guest run `script` in the place of the shell on the console; busybox's init starts it at each boot.
pub(in super::super) fn in_place_of_the_shell(script: String) -> Overlay {
    let mut overlay = Overlay::default();
    overlay
        .program("/usr/lib/atoll/shell", format!("#!/bin/sh\nexec sh {PLACE}/run > /dev/console 2>&1 < /dev/null\n"));
    overlay.file(&format!("{PLACE}/run"), script);
    overlay
}

/// Everything in a condition's image that is not in everybody's.
pub(super) fn overlay(plan: &Plan, condition: Condition) -> Result<Overlay> {
    let mut overlay = in_place_of_the_shell(run(plan, condition));
    overlay.file(&format!("{PLACE}/probe.wasm"), containers::probe(plan.rate, plan.releases)?);
    overlay.file(&format!("{PLACE}/edge.wasm"), containers::edge(plan.edge_budget_ns, plan.edges)?);
    overlay.file(&format!("{PLACE}/load.wasm"), containers::load(plan.module_bytes)?);
    if let Condition::Under(attack) = condition {
        for file in attack.files()? {
            overlay.file(&format!("{FOLDER}/{}", file.name), file.content);
        }
    }
    Ok(overlay)
}

/// The script.
fn run(plan: &Plan, condition: Condition) -> String {
    let (start, stop, reboots) = match condition {
        Condition::Idle => (":".to_owned(), ":".to_owned(), ""),
        Condition::Under(attack) => {
            (attack.start_line(), attack.stop_line(), if attack.reboots() { "yes" } else { "" })
        }
    };
    let deployments = plan.deployments;
    // A line's edges come two at a time, as a button is pressed and let go.
    let presses = plan.edges / 2;
    format!(
        r#"{FUNCTIONS}
is_there() {{ emit inspect $1 > /dev/null 2>&1; }}
# `sethostname` is where a debugger stops the machine and presses its button.
press() {{
    pressed=0
    while [ $pressed -lt {presses} ] && ! [ -e /tmp/enough ]; do
        # It is let go after a tenth of a second.
        usleep 250000
        pressed=$((pressed + 1))
        hostname press-$pressed
    done
}}
deploy() {{
    persist emit deploy load.wasm --name load || return 1
    tell deployed inspect load
    emit kill load > /dev/null 2>&1
    persist emit rm load
}}
if ! is_there probe; then
    say "condition {condition}"
    persist emit deploy probe.wasm --no-start
    persist emit deploy edge.wasm
    {start}
    sleep 1
    persist emit start probe
else
    say again
    is_there load && emit rm load
fi
press & presser=$!
if [ "{reboots}" ]; then
    if ! is_over probe; then
        deploy
        is_over probe || reboot -f
    fi
else
    count=0
    while [ $count -lt {deployments} ]; do
        deploy
        count=$((count + 1))
    done
    until is_over probe; do sleep 1; done
fi
# What an attack has done to Linux itself.
say guest $(cat /proc/loadavg) $(grep -E '^(intr|ctxt|processes) ' /proc/stat | cut -d ' ' -f 1,2)
touch /tmp/enough
wait $presser
sleep 1
{stop}
persist emit stop edge
sleep 1
for name in probe edge; do
    persist emit logs $name
    cat /tmp/said
    tell $name inspect $name
    tell timing-$name jitter $name
done
tell node info
say end
while :; do sleep 1000; done
"#
    )
}

/// What the script said behind `what`.
pub(in super::super) fn said<'a>(transcript: &'a str, what: &str) -> Vec<&'a str> {
    let begin = format!("{SAYS}{what} ");
    transcript.lines().filter_map(|line| Some(line.split_once(begin.as_str())?.1.trim_end())).collect()
}

/// The last that the script told of it, which is JSON.
pub(in super::super) fn told(transcript: &str, what: &str) -> Result<Value> {
    let said = said(transcript, what).pop().with_context(|| format!("nothing is said of {what}"))?;
    serde_json::from_str(said).with_context(|| format!("no JSON: {said}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_script_is_one_for_a_shell() {
        let plan = Plan::FULL;
        for condition in Condition::all() {
            let status = std::process::Command::new("sh").args(["-n", "-c", &run(&plan, condition)]).status();
            assert!(status.expect("a POSIX shell").success(), "{condition}");
        }
    }

    #[test]
    fn what_was_said_is_found() {
        let transcript = "bench: deployed {\"a\": 1}\r\n....bench: deployed {}\r\nbench: deploy\n";
        assert_eq!(said(transcript, "deployed"), ["{\"a\": 1}", "{}"]);
    }
}
