//! `emit inspect`: a container on the node, or a file before it becomes one.

use std::{ffi::OsStr, path::Path, time::Duration};

use indicatif::HumanBytes;
use runner_container::{
    Manifest, Release, Schedule,
    rights::{Right, Rights},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use shared_ring_messages::{Answer, NodeReport, Request};

use super::{Context, print, unexpected};
use crate::{
    analysis::{Analysis, Detected, Extent, Offered, PAGE_BYTES, signature},
    exit::Failure,
    module::{self, Module},
    schedule,
    session::{Error, Result, Session},
    show,
};

/// How long a node that was not named may take to be asked: a look at a file must not hang on it.
const NODE_LIMIT: Duration = Duration::from_secs(2);

/// How a component begins, which an emit without the kit passes on as it is.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

pub(super) fn inspect(context: &Context, target: &OsStr) -> Result<u8> {
    let path = Path::new(target);
    let is_path = target.to_string_lossy().contains('/');
    if is_path || path.extension().is_some_and(|ending| ending == "wasm") && path.is_file() {
        return inspect_file(context, path);
    }
    let name = target.to_str().ok_or_else(|| Error::new(Failure::Usage, "a container's name is UTF-8"))?;
    let mut session = context.session()?;
    let report = match session.ask(Request::Inspect(name.to_owned()))? {
        Answer::Container(report) => report,
        other => return Err(unexpected(&other)),
    };
    let (mut value, mut text) = (show::container_json(&report), show::container_text(&report));
    if let Some(row) = schedule::row_of(&mut session, &report)? {
        value["schedule"] = schedule::row_json(&row);
        text.push_str(&schedule::inspect_text(&row));
    }
    print(context, &value, &text)?;
    Ok(0)
}

fn inspect_file(context: &Context, path: &Path) -> Result<u8> {
    let module = module::read(path)?;
    if module.bytes.starts_with(COMPONENT) {
        let message = format!("{} is a component; this emit cannot unwrap it", path.display());
        let hint = "unwrap it where it was built, with `emit pack`";
        return Err(Error { hint, ..Error::new(Failure::ContainerRefused, message) });
    }
    let analysis = Analysis::of(&module.bytes).map_err(|error| {
        let message =
            format!("{} is no WebAssembly module: {} at byte {}", path.display(), error.message(), error.offset());
        Error::new(Failure::ContainerRefused, message)
    })?;
    let node = ask_node(context)?;
    let look = Look { path, module: &module, analysis: &analysis, node: node.as_ref() };
    print(context, &look.json(), &look.text())?;
    Ok(0)
}

/// The node, if there is one. One that was named must be there.
fn ask_node(context: &Context) -> Result<Option<NodeReport>> {
    let limit = if context.node.is_some() { context.timeout } else { context.timeout.min(NODE_LIMIT) };
    let answer = Session::open(context.node, limit).and_then(|mut session| session.ask(Request::Info));
    match answer {
        Ok(Answer::Info(report)) => Ok(Some(*report)),
        Ok(other) => Err(unexpected(&other)),
        Err(error) if context.node.is_some() => Err(error),
        Err(_) => Ok(None),
    }
}

/// A file, what is in it, and who could say what it would be granted.
struct Look<'l> {
    path: &'l Path,
    module: &'l Module,
    analysis: &'l Analysis,
    node: Option<&'l NodeReport>,
}

/// What the node's report says about a right.
fn verdict(node: Option<&NodeReport>, text: &str) -> (&'static str, String) {
    let Ok(right) = Right::parse(text) else { return ("not-understood", "not understood".into()) };
    let Some(node) = node else { return ("unknown", "asked for; no node is there to say".into()) };
    match &right {
        Right::GpioOutput { line, per_second } => line_verdict(node, line, "out", *per_second),
        Right::GpioInput { line } => line_verdict(node, line, "in", None),
        Right::GpioEdges { line, per_second } => line_verdict(node, line, "edge", *per_second),
        Right::I2c { first, last } => addresses_verdict(node, *first, *last),
        Right::Channel { .. } => ("at-deployment", "what the container declares and the board allows, decides".into()),
        Right::CpuShare(_)
        | Right::LogRate(_)
        | Right::Memory(_)
        | Right::Module(_)
        | Right::Node
        | Right::Priority(_)
        | Right::Timers { .. } => amount_verdict(node, &right),
    }
}

/// What the most that the board gives anybody says about a right of that kind.
fn amount_verdict(node: &NodeReport, right: &Right) -> (&'static str, String) {
    let most = node.most.iter().find(|text| Right::parse(text).is_ok_and(|most| most.is_for_the_same(right)));
    let Some(most) = most else { return ("refused", format!("refused: board {} gives it to nobody", node.board)) };
    // What it leaves out it does not ask for.
    let covers = |most: Rights| Rights::of([right.to_string()]).is_ok_and(|asked| most.covers(&asked.filled_in(&most)));
    if Rights::of([most]).is_ok_and(covers) {
        ("allowed", "allowed".into())
    } else {
        ("refused", format!("refused: the board allows at most {most}"))
    }
}

fn line_verdict(node: &NodeReport, label: &str, way: &str, rate: Option<u32>) -> (&'static str, String) {
    let Some(line) = node.lines.iter().find(|line| line.label == label) else {
        return ("refused", format!("refused: board {} has no line {label}", node.board));
    };
    if !line.allowed.iter().any(|allowed| allowed == way) {
        let allowed = if line.allowed.is_empty() { "nothing".to_owned() } else { line.allowed.join(", ") };
        return ("refused", format!("refused: the board allows {allowed} for {label}"));
    }
    if rate.is_some_and(|rate| rate > line.most_per_second) {
        return ("refused", format!("refused: the board allows at most {}/s for {label}", line.most_per_second));
    }
    match line.held_as.as_str() {
        "" => ("allowed", "allowed".into()),
        held => ("allowed", format!("allowed; now held as {held} by another container")),
    }
}

/// The same about addresses at the I2C bus.
fn addresses_verdict(node: &NodeReport, first: u8, last: u8) -> (&'static str, String) {
    let is_allowed = |address: u8| {
        node.devices.iter().any(|device| device.allowed && (device.first..=device.last).contains(&address))
    };
    match (first..=last).find(|address| !is_allowed(*address)) {
        Some(address) => ("refused", format!("refused: board {} allows no device at {address:#04x}", node.board)),
        None if node.bus_is_simulated => ("allowed", "allowed; the bus is simulated".into()),
        None => ("allowed", "allowed".into()),
    }
}

impl Look<'_> {
    fn world(&self) -> &'static str {
        match self.analysis.world() {
            Detected::World(world) => world.name(),
            Detected::PartOfReactor => "none: some hooks of a reactor are missing",
            Detected::Nothing => "none: it exports no entry point",
        }
    }

    fn digest(&self) -> String {
        show::hexadecimal(&Sha256::digest(&self.module.bytes))
    }

    fn json(&self) -> Value {
        let shape = |shape: &Option<(String, String)>| shape.as_ref().map(|(p, r)| signature(p, r));
        let imports: Vec<Value> = self
            .analysis
            .imports
            .iter()
            .map(|import| {
                json!({ "module": import.module, "name": import.name, "type": shape(&import.shape),
                    "offered": import.offered().name() })
            })
            .collect();
        let exports: Vec<Value> = self
            .analysis
            .exports
            .iter()
            .map(|export| json!({ "name": export.name, "kind": export.kind, "type": shape(&export.shape) }))
            .collect();
        let extents = |list: &[Extent], unit: u64| -> Vec<Value> {
            let scaled = |of: u64| of.saturating_mul(unit);
            list.iter().map(|of| json!({ "initial": scaled(of.initial), "maximum": of.maximum.map(scaled) })).collect()
        };
        let sections: Vec<Value> =
            self.analysis.sections.iter().map(|(name, bytes)| json!({ "name": name, "bytes": bytes })).collect();
        let files: Vec<Value> =
            self.module.files().iter().map(|(path, bytes)| json!({ "path": path, "bytes": bytes.len() })).collect();
        let grants: Vec<Value> = self
            .grants()
            .iter()
            .map(|(text, (code, words))| json!({ "right": text, "verdict": code, "words": words }))
            .collect();
        let world = match self.analysis.world() {
            Detected::World(world) => Value::from(world.name()),
            _ => Value::Null,
        };
        json!({
            "file": self.path.display().to_string(),
            "file_bytes": self.module.file_bytes,
            "module_bytes": self.module.bytes.len(),
            "sha256": self.digest(),
            "component": self.module.from_component,
            "world": world,
            "start_function": self.analysis.start_function,
            "imports": imports,
            "exports": exports,
            "memories_bytes": extents(&self.analysis.memories, PAGE_BYTES),
            "tables_elements": extents(&self.analysis.tables, 1),
            "sections": sections,
            "manifest": self.module.manifest.as_ref().map(manifest_json),
            "files": files,
            "grants": grants,
            "node": self.node.map(|node| node.board.clone()),
            "fits": self.node.map(|node| self.fits(node)),
        })
    }

    fn grants(&self) -> Vec<(&str, (&'static str, String))> {
        let manifest = self.module.manifest.as_ref();
        let texts = manifest.map(|manifest| manifest.grants.as_slice()).unwrap_or_default();
        texts.iter().map(|text| (text.as_str(), verdict(self.node, text))).collect()
    }

    fn fits(&self, node: &NodeReport) -> bool {
        self.module.bytes.len() as u64 <= u64::from(node.module_limit_bytes)
            && self.analysis.memory_bytes() <= u64::from(node.memory_limit_bytes)
    }

    fn text(&self) -> String {
        let mut rows = vec![
            ("file".to_owned(), self.path.display().to_string()),
            (
                "kind".to_owned(),
                if self.module.from_component { "a component; its main module" } else { "a module" }.to_owned(),
            ),
            ("world".to_owned(), self.world().to_owned()),
            (
                "size".to_owned(),
                format!(
                    "{}, {} of them uploaded",
                    HumanBytes(self.module.file_bytes as u64),
                    HumanBytes(self.module.bytes.len() as u64)
                ),
            ),
            ("sha256".to_owned(), self.digest()),
            ("sections".to_owned(), self.sections()),
            (
                "memory".to_owned(),
                extents(&self.analysis.memories, |pages| HumanBytes(pages.saturating_mul(PAGE_BYTES)).to_string()),
            ),
            ("tables".to_owned(), extents(&self.analysis.tables, |elements| format!("{elements} elements"))),
        ];
        for (module, imports) in self.analysis.imports_by_module() {
            let names: Vec<String> = imports
                .iter()
                .map(|import| match import.offered() {
                    Offered::Served => import.name.clone(),
                    Offered::Unserved => format!("{} (always refused)", import.name),
                    Offered::OtherType(_) => format!("{} (of another type than nodes offer)", import.name),
                    Offered::Unknown => format!("{} (no node offers it)", import.name),
                })
                .collect();
            rows.push((format!("from {module}"), names.join(", ")));
        }
        let exports: Vec<_> = self.analysis.exports.iter().map(|export| export.name.as_str()).collect();
        rows.push(("exports".to_owned(), if exports.is_empty() { "nothing".to_owned() } else { exports.join(", ") }));
        match &self.module.manifest {
            Some(manifest) => rows.extend(manifest_rows(manifest)),
            None => rows.push(("manifest".to_owned(), "none; `emit pack` puts app.toml in".to_owned())),
        }
        for (path, bytes) in self.module.files().iter() {
            rows.push(("packed file".to_owned(), format!("{path}, {}", HumanBytes(bytes.len() as u64))));
        }
        for (text, (_, words)) in self.grants() {
            rows.push((format!("right {text}"), words));
        }
        if let Some(node) = self.node {
            let fits = if self.fits(node) { "fits" } else { "is too large for" };
            rows.push(("node".to_owned(), format!("board {}: the module {fits} its limits", node.board)));
        }
        show::table(&rows.into_iter().map(|(key, value)| [key, value]).collect::<Vec<_>>())
    }

    fn sections(&self) -> String {
        let all: Vec<_> = self
            .analysis
            .sections
            .iter()
            .map(|(name, bytes)| format!("{name} {}", HumanBytes(*bytes as u64)))
            .collect();
        all.join(", ")
    }
}

fn extents(list: &[Extent], show: impl Fn(u64) -> String) -> String {
    let one = |of: &Extent| match of.maximum {
        Some(maximum) if maximum == of.initial => show(of.initial),
        Some(maximum) => format!("{}, at the most {}", show(of.initial), show(maximum)),
        None => format!("{}, as much as the node allows", show(of.initial)),
    };
    if list.is_empty() { "none".to_owned() } else { list.iter().map(one).collect::<Vec<_>>().join("; ") }
}

fn manifest_rows(manifest: &Manifest) -> Vec<(String, String)> {
    let version = if manifest.version.is_empty() { String::new() } else { format!(" {}", manifest.version) };
    let mut rows = vec![("manifest", format!("{}{version}", manifest.name))];
    if !manifest.arguments.is_empty() {
        rows.push(("arguments", manifest.arguments.join(" ")));
    }
    if !manifest.environment.is_empty() {
        let variables: Vec<_> = manifest.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        rows.push(("environment", variables.join(" ")));
    }
    let names = |list: Vec<&str>| list.join(", ");
    if !manifest.channels.is_empty() {
        rows.push(("channels", names(manifest.channels.iter().map(|channel| channel.name.as_str()).collect())));
    }
    if !manifest.provides.is_empty() {
        rows.push(("provides", names(manifest.provides.iter().map(|service| service.service.as_str()).collect())));
    }
    if !manifest.needs.is_empty() {
        rows.push(("needs", names(manifest.needs.iter().map(|need| need.service.as_str()).collect())));
    }
    if manifest.restart.policy != runner_container::RestartPolicy::Never {
        rows.push(("restart", manifest.restart.policy.name().to_owned()));
    }
    let limits = manifest.limits;
    for (what, nanoseconds) in
        [("longest start", limits.start_ns), ("longest loop", limits.loop_ns), ("longest stop", limits.stop_ns)]
    {
        if nanoseconds != 0 {
            rows.push((what, humantime::format_duration(Duration::from_nanos(nanoseconds)).to_string()));
        }
    }
    if limits.memory_bytes != 0 {
        rows.push(("memory limit", HumanBytes(limits.memory_bytes).to_string()));
    }
    rows.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn manifest_json(manifest: &Manifest) -> Value {
    let pairs = |pairs: &[(String, String)]| -> Value {
        pairs
            .iter()
            .map(|(key, value)| (key.clone(), Value::from(value.as_str())))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let channels: Vec<Value> = manifest
        .channels
        .iter()
        .map(|channel| {
            let put = channel.direction == runner_container::Direction::Put;
            let depth = match channel.kind {
                runner_container::ChannelKind::Latest => None,
                runner_container::ChannelKind::Queue { depth } => Some(depth),
            };
            json!({ "name": channel.name, "direction": if put { "put" } else { "get" }, "type": channel.type_text,
                "kind": if depth.is_some() { "queue" } else { "latest" }, "depth": depth })
        })
        .collect();
    let provides: Vec<Value> = manifest
        .provides
        .iter()
        .map(|service| json!({ "service": service.service, "attributes": pairs(&service.attributes) }))
        .collect();
    let needs: Vec<Value> = manifest
        .needs
        .iter()
        .map(|need| json!({ "channel": need.channel, "service": need.service, "attributes": pairs(&need.attributes) }))
        .collect();
    json!({
        "name": manifest.name,
        "version": manifest.version,
        "world": manifest.world.map(runner_container::World::name),
        "arguments": manifest.arguments,
        "environment": pairs(&manifest.environment),
        "grants": manifest.grants,
        "limits": { "start_ns": manifest.limits.start_ns, "loop_ns": manifest.limits.loop_ns,
            "stop_ns": manifest.limits.stop_ns, "memory_bytes": manifest.limits.memory_bytes },
        "lifetime": { "loops": manifest.lifetime.loops, "time_ns": manifest.lifetime.time_ns },
        "restart": { "policy": manifest.restart.policy.name(), "first_back_off_ns": manifest.restart.first_back_off_ns,
            "longest_back_off_ns": manifest.restart.longest_back_off_ns, "attempts": manifest.restart.attempts },
        "channels": channels,
        "provides": provides,
        "needs": needs,
        "schedule": manifest.schedule.map(schedule_json),
    })
}

fn schedule_json(schedule: Schedule) -> Value {
    json!({
        "release": if schedule.release == Release::Events { "events" } else { "periodic" },
        "period_ns": schedule.period_ns,
        "deadline_ns": schedule.deadline_ns(),
        "budget_ns": schedule.budget_ns,
        "offset_ns": schedule.offset_ns,
        "on_overrun": schedule.on_overrun.name(),
        "class": schedule.class.name(),
    })
}
