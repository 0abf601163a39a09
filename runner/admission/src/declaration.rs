//! What a container says of itself: its manifest, held against the module and the board.
//!
//! Arguments, environment and rights of a manifest came with the request, where a person could change them; they are not
//! looked at again. What is taken from here is how the container wants to live and whom it wants to speak to.

use alloc::{format, string::String, vec::Vec};

use runner_container::{Manifest, World, parts};
use runner_interfaces::{
    plan::{Plan, RestartPolicy},
    policy::{BoardLimits, CALLED_DOMAINS},
    schedule::{OnOverrun, Release, Schedule, Urgency},
};
use shared_ring_messages::ErrorCode;

use crate::{
    channels::{self, End},
    failure::{Failure, duration},
};

/// See the module's documentation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Declaration {
    /// What its manifest calls it; empty where it has none.
    pub(crate) name: String,
    /// As semver has it; empty where there is none.
    pub(crate) version: String,
    pub(crate) plan: Plan,
    /// What a TinyContainer opens under which number, by the label of a line.
    pub(crate) endpoints: Vec<runner_container::Endpoint>,
    /// Calls of a release to each domain, where it states them.
    pub(crate) calls: Option<[u8; CALLED_DOMAINS.len()]>,
}

/// What a container says of itself, and the channels that it asks for.
pub(crate) type Read = (Declaration, Vec<End>);

/// What a module of that world declares by its manifest; one without a manifest declares nothing.
pub(crate) fn read(manifest: Option<Manifest>, world: World, limits: &BoardLimits) -> Result<Read, Failure> {
    let Some(manifest) = manifest else { return Ok(Read::default()) };
    if manifest.world.is_some_and(|said| said != world) {
        let said = manifest.world.map_or("", World::name);
        let detail = format!("its manifest says that it is a {said}; by its exports it is a {}", world.name());
        return Err(Failure::new(ErrorCode::InvalidManifest, detail));
    }
    if manifest.schedule.is_some() && world == World::WasiCommand {
        let detail = "its manifest has a `schedule`; a WASI command runs once and has no loop to release";
        return Err(Failure::new(ErrorCode::InvalidManifest, detail));
    }
    let ends = channels::ends(&manifest.channels, &manifest.provides, &manifest.needs)?;
    let plan = plan(&manifest, limits)?;
    let calls = manifest.schedule.and_then(|schedule| schedule.calls);
    let Manifest { name, version, endpoints, .. } = manifest;
    Ok((Declaration { name, version, plan, endpoints, calls }, ends))
}

/// The manifest, where there is one.
pub(crate) fn manifest(wasm: &[u8]) -> Result<Option<Manifest>, Failure> {
    let parts = parts(wasm).map_err(|error| Failure::new(ErrorCode::InvalidModule, error))?;
    let Some(bytes) = parts.manifest else { return Ok(None) };
    Manifest::decode(bytes).map(Some).map_err(|error| Failure::new(ErrorCode::InvalidManifest, error))
}

/// A wish that goes beyond the board is refused and not cut down in silence.
fn plan(manifest: &Manifest, limits: &BoardLimits) -> Result<Plan, Failure> {
    let hook = |name, ns| hook_limit(name, ns, limits.hook_limit_us);
    let memory = manifest.limits.memory_bytes;
    if memory > u64::from(limits.memory_limit_bytes) {
        let detail = format!("`limits.memory` is {memory} bytes; the board allows {}", limits.memory_limit_bytes);
        return Err(Failure::new(ErrorCode::ResourceLimit, detail));
    }
    Ok(Plan {
        loops: manifest.lifetime.loops,
        time_ns: manifest.lifetime.time_ns,
        first_back_off_ns: manifest.restart.first_back_off_ns,
        longest_back_off_ns: manifest.restart.longest_back_off_ns,
        start_limit_us: hook("limits.start", manifest.limits.start_ns)?,
        // A loop may take as long as it wants, so the board has no limit for it.
        loop_limit_us: microseconds("limits.loop", manifest.limits.loop_ns)?,
        stop_limit_us: hook("limits.stop", manifest.limits.stop_ns)?,
        memory_limit_bytes: u32::try_from(memory).unwrap_or(u32::MAX),
        restart_policy: policy(manifest).to_wire(),
        restart_attempts: u32::try_from(manifest.restart.attempts).unwrap_or(u32::MAX),
        // No manifest says so yet: the cell's own share.
        class: 0,
        priority: 0,
        schedule: manifest.schedule.map(schedule).unwrap_or_default(),
    })
}

fn schedule(asked: runner_container::Schedule) -> Schedule {
    Schedule {
        period_ns: asked.period_ns,
        deadline_ns: asked.deadline_ns(),
        budget_ns: asked.budget_ns,
        offset_ns: asked.offset_ns,
        release: match asked.release {
            runner_container::Release::Periodic => Release::Periodic,
            runner_container::Release::Events => Release::Events,
        }
        .to_wire(),
        on_overrun: match asked.on_overrun {
            runner_container::OnOverrun::Skip => OnOverrun::Skip,
            runner_container::OnOverrun::Stop => OnOverrun::Stop,
            runner_container::OnOverrun::Restart => OnOverrun::Restart,
        }
        .to_wire(),
        urgency: match asked.class {
            runner_container::Urgency::Normal => Urgency::Normal,
            runner_container::Urgency::High => Urgency::High,
            runner_container::Urgency::Critical => Urgency::Critical,
        }
        .to_wire(),
        // What a cell is held to follows from the board's figures.
        slice_ns: 0,
        fuel_ns: 0,
        turn_ns: 0,
        calls: 0,
    }
}

fn hook_limit(name: &str, asked_ns: u64, limit_us: u32) -> Result<u32, Failure> {
    let asked_us = microseconds(name, asked_ns)?;
    if asked_us > limit_us {
        let limit = duration(u64::from(limit_us) * 1_000);
        let detail = format!("`{name}` is {}; the board allows {limit}", duration(asked_ns));
        return Err(Failure::new(ErrorCode::ResourceLimit, detail));
    }
    Ok(asked_us)
}

/// Rounded up, so that a limit never becomes none.
fn microseconds(name: &str, ns: u64) -> Result<u32, Failure> {
    u32::try_from(ns.div_ceil(1_000)).map_err(|_| {
        let longest = duration(u64::from(u32::MAX) * 1_000);
        Failure::new(ErrorCode::InvalidManifest, format!("`{name}` is {}; at the most {longest}", duration(ns)))
    })
}

/// To be started again after an overrun takes a policy that does so.
fn policy(manifest: &Manifest) -> RestartPolicy {
    let restarts = |schedule: runner_container::Schedule| schedule.on_overrun == runner_container::OnOverrun::Restart;
    match manifest.restart.policy {
        runner_container::RestartPolicy::Never if manifest.schedule.is_some_and(restarts) => RestartPolicy::OnFailure,
        runner_container::RestartPolicy::Never => RestartPolicy::Never,
        runner_container::RestartPolicy::OnFailure => RestartPolicy::OnFailure,
        runner_container::RestartPolicy::Always => RestartPolicy::Always,
    }
}

#[cfg(test)]
mod tests {
    use runner_container::{Lifetime, Limits, Restart, embed};

    use super::*;

    const BOARD: BoardLimits = BoardLimits {
        magic: 0,
        names_bytes: 0,
        ceiling: runner_interfaces::grants::CellGrants {
            output_lines: 0,
            input_lines: 0,
            edge_lines: 0,
            active_low_lines: 0,
            minimum_period_ns: 0,
            i2c_addresses: [0; 2],
            timers: 0,
            generation: 0,
        },
        module_limit_bytes: 1 << 20,
        memory_limit_bytes: 4 << 20,
        table_limit_elements: 100,
        hook_limit_us: 1_000_000,
        load_limit_us: 0,
        log_limit_per_second: 0,
        rates: runner_interfaces::grants::LineRates::all(0),
        shares: runner_interfaces::scheduling::Shares::NONE,
    };

    fn declared(manifest: &Manifest) -> Result<Read, Failure> {
        let wasm = embed(&wat::parse_str("(module)").unwrap(), manifest, &[]).unwrap();
        read(super::manifest(&wasm)?, World::Reactor, &BOARD)
    }

    #[test]
    fn a_module_without_a_manifest_declares_nothing() {
        let wasm = wat::parse_str("(module)").unwrap();
        let (declaration, ends) = read(manifest(&wasm).unwrap(), World::WasiCommand, &BOARD).unwrap();
        assert_eq!(declaration, Declaration::default());
        assert!(ends.is_empty());
    }

    #[test]
    fn a_manifest_becomes_a_plan() {
        let manifest = Manifest {
            version: "1.2.3".into(),
            limits: Limits { start_ns: 1_000_000_000, loop_ns: 1, stop_ns: 1_500, memory_bytes: 65_536 },
            lifetime: Lifetime { loops: 7, time_ns: 9 },
            restart: Restart {
                policy: runner_container::RestartPolicy::Always,
                first_back_off_ns: 3,
                longest_back_off_ns: 4,
                attempts: 5,
            },
            ..Manifest::named("a")
        };
        let (Declaration { version, plan, .. }, _) = declared(&manifest).unwrap();
        assert_eq!(version, "1.2.3");
        let expected = Plan {
            loops: 7,
            time_ns: 9,
            first_back_off_ns: 3,
            longest_back_off_ns: 4,
            start_limit_us: 1_000_000,
            loop_limit_us: 1,
            stop_limit_us: 2,
            memory_limit_bytes: 65_536,
            restart_policy: RestartPolicy::Always.to_wire(),
            restart_attempts: 5,
            class: 0,
            priority: 0,
            schedule: Schedule::default(),
        };
        assert_eq!(plan, expected);
    }

    #[test]
    fn a_schedule_becomes_one_with_its_deadline_and_what_follows_an_overrun() {
        let asked = runner_container::Schedule {
            release: runner_container::Release::Periodic,
            period_ns: 10,
            budget_ns: 2,
            offset_ns: 3,
            on_overrun: runner_container::OnOverrun::Restart,
            class: runner_container::Urgency::Critical,
            ..runner_container::Schedule::default()
        };
        let manifest = Manifest { schedule: Some(asked), ..Manifest::named("a") };
        let (Declaration { plan, .. }, _) = declared(&manifest).unwrap();
        let expected = Schedule {
            period_ns: 10,
            deadline_ns: 10,
            budget_ns: 2,
            offset_ns: 3,
            release: Release::Periodic.to_wire(),
            on_overrun: OnOverrun::Restart.to_wire(),
            urgency: Urgency::Critical.to_wire(),
            slice_ns: 0,
            fuel_ns: 0,
            turn_ns: 0,
            calls: 0,
        };
        assert_eq!((plan.schedule, plan.restart_policy), (expected, RestartPolicy::OnFailure.to_wire()));
        let refused = read(Some(manifest), World::WasiCommand, &BOARD).unwrap_err();
        assert!(refused.detail.contains("no loop to release"), "{}", refused.detail);
    }

    #[test]
    fn what_goes_beyond_the_board_is_refused_by_name() {
        let limits = |limits| Manifest { limits, ..Manifest::named("a") };
        let none = Limits::default();
        let cases = [
            (limits(Limits { start_ns: 1_000_000_001, ..none }), ErrorCode::ResourceLimit, "`limits.start`"),
            (limits(Limits { stop_ns: 2_000_000_000, ..none }), ErrorCode::ResourceLimit, "is 2s; the board allows 1s"),
            (limits(Limits { memory_bytes: 5 << 20, ..none }), ErrorCode::ResourceLimit, "allows 4194304"),
            (limits(Limits { loop_ns: u64::MAX, ..none }), ErrorCode::InvalidManifest, "`limits.loop`"),
            (
                Manifest { world: Some(World::TinyContainer), ..Manifest::named("a") },
                ErrorCode::InvalidManifest,
                "says that it is a tiny-container; by its exports it is a reactor",
            ),
        ];
        for (manifest, code, words) in cases {
            let failure = declared(&manifest).unwrap_err();
            assert_eq!(failure.code, code, "{}", failure.detail);
            assert!(failure.detail.contains(words), "{}", failure.detail);
        }
    }

    #[test]
    fn a_broken_manifest_is_told_from_a_broken_module() {
        let mut wasm = embed(&wat::parse_str("(module)").unwrap(), &Manifest::named("a"), &[]).unwrap();
        let end = wasm.len();
        wasm[end - 1] ^= 0xff;
        assert_eq!(manifest(&wasm).unwrap_err().code, ErrorCode::InvalidManifest);
        wasm.truncate(end - 1);
        assert_eq!(manifest(&wasm).unwrap_err().code, ErrorCode::InvalidModule);
    }
}
