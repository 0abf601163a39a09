//! What the console says before the guest owns it: how each domain's start went.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use pd_system_description::{Description, Domain, Role};
use qemu::board::Board;

use crate::node::Node;

/// The lines of the table, the summary last.
fn table(node: &Node) -> Vec<String> {
    let transcript = node.machine.console.transcript();
    transcript.lines().map(str::trim_end).filter(|line| line.starts_with("atoll: ")).map(str::to_owned).collect()
}

/// The line of one domain, or nothing where there is none or several.
fn row<'a>(table: &'a [String], domain: &str) -> Option<&'a str> {
    let mut rows = table.iter().filter(|line| line.split_whitespace().nth(1) == Some(domain));
    let row = rows.next()?;
    rows.next().is_none().then_some(row)
}

/// The protection domains of `system.xml` on `board` that run: a class's never does.
fn domains(board: Board) -> Result<Vec<String>> {
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let system = Description::load(&project.join("system.xml"), &project.join(board.part()))?.system()?;
    let runs = |domain: &&Domain| !matches!(Role::of(&domain.name), Some(Role::Class(_)));
    Ok(system.protection_domains().filter(runs).map(|domain| domain.name.clone()).collect())
}

/// The domain whose self-test is about nothing but time.
const PUNCTUAL: &str = "grid";

/// Each domain has a line that says that it is well, and the last line counts them. Where time is not kept, `grid` may say so.
pub(super) fn every_domain_is_well(node: &mut Node, board: Board) -> Result<()> {
    let (table, domains) = (table(node), domains(board)?);
    for domain in &domains {
        let row = row(&table, domain).with_context(|| format!("`{domain}` has not its one line: {table:#?}"))?;
        let is_late = !node.keeps_time && domain == PUNCTUAL && row.contains("sees a moment");
        ensure!(is_late || row.split_whitespace().nth(2) == Some("ok"), "{row}");
    }
    let count = domains.len();
    let all_well = format!("atoll: {count} domains, all well");
    let all_but_late = format!("atoll: 1 of {count} domains is not well: {PUNCTUAL}");
    let summary = table.last().map(String::as_str).unwrap_or_default();
    let is_right = summary == all_well || (!node.keeps_time && summary == all_but_late);
    ensure!(table.len() == count + 1 && is_right, "{table:#?}");
    Ok(())
}

/// A copy of `image` in which the board policy no longer begins as one does.
pub(super) fn with_damaged_policy(image: &Path) -> Result<tempfile::NamedTempFile> {
    const MAGIC: &[u8] = &runner_interfaces::policy::POLICY_MAGIC.to_le_bytes();
    let mut bytes = std::fs::read(image).with_context(|| format!("cannot read {}", image.display()))?;
    let places: Vec<usize> = (0..bytes.len()).filter(|&place| bytes[place..].starts_with(MAGIC)).collect();
    ensure!(places.len() == 1, "the policy is to be found in the image at one place, not at {places:?}");
    bytes[places[0]] ^= 0xff;
    let damaged = tempfile::NamedTempFile::new()?;
    std::fs::write(damaged.path(), bytes)?;
    Ok(damaged)
}

/// Who needs the policy says that there is none, everybody else is well, and Linux runs all the same.
pub(super) fn a_damaged_policy_is_told(node: &mut Node, board: Board) -> Result<()> {
    let (table, domains) = (table(node), domains(board)?);
    for domain in &domains {
        let row = row(&table, domain).with_context(|| format!("`{domain}` has not its one line: {table:#?}"))?;
        let needs_policy = domain == "warden" || domain == "admission";
        let expected = if needs_policy { "FAILED" } else { "ok" };
        ensure!(row.split_whitespace().nth(2) == Some(expected), "{row}");
        ensure!(!needs_policy || row.contains("the image holds no board policy"), "{row}");
    }
    let summary = format!("atoll: 2 of {} domains are not well: warden, admission", domains.len());
    ensure!(table.last() == Some(&summary), "{table:#?}");
    let deployment = node.shell("emit run hello.wasm")?;
    ensure!(!deployment.succeeded() && deployment.text.contains("board policy"), "{deployment:?}");
    Ok(())
}
