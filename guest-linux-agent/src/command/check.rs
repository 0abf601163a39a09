//! `emit check`: says each finding with what to do, and whether a node would take the container.

use std::path::Path;

use serde_json::{Value, json};

use super::{Context, print};
use crate::{exit::Failure, kit::check, session::Result};

pub(super) fn check(context: &Context, target: &Path) -> Result<u8> {
    let verdict = check::check(target)?;
    let errors = verdict.errors();
    let warnings = verdict.findings.len() - errors;
    let findings: Vec<Value> = verdict.findings.iter().map(check::Finding::json).collect();
    let value = json!({
        "target": target.display().to_string(),
        "file": verdict.file.as_ref().map(|file| file.display().to_string()),
        "world": verdict.world.map(runner_container::World::name),
        "errors": errors,
        "warnings": warnings,
        "findings": findings,
    });
    let mut text: String = verdict.findings.iter().map(check::Finding::text).collect();
    let name = verdict.file.as_deref().unwrap_or(target).display();
    let world = verdict.world.map_or("of no world", runner_container::World::name);
    text.push_str(&match (errors, warnings) {
        (0, 0) => format!("{name}: well; {world}\n"),
        (0, _) => format!("{name}: a node would take it; {world}; warnings: {warnings}\n"),
        _ => format!("{name}: a node would refuse it; errors: {errors}, warnings: {warnings}\n"),
    });
    print(context, &value, &text)?;
    Ok(if errors == 0 { 0 } else { Failure::ContainerRefused.code() })
}
