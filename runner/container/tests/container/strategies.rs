//! Valid manifests and files, at random.

use proptest::{collection::vec, option, prelude::*};
use runner_container::{
    Channel, ChannelKind, Direction, Endpoint, Lifetime, Limits, Manifest, OnOverrun, Release, Restart, RestartPolicy,
    Schedule, Service, Urgency, World,
};

/// What `check_name` allows.
pub(crate) fn name() -> impl Strategy<Value = String> {
    "[a-z0-9][a-z0-9._-]{0,39}"
}

/// Not empty, without control characters.
fn text() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9 :<>=äß€_-]{1,40}"
}

/// Values around the places where the shortest form changes its length, and any other.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(23),
        Just(24),
        Just(0xff),
        Just(0x100),
        Just(0xffff),
        Just(0x1_0000),
        Just(0xffff_ffff),
        Just(0x1_0000_0000),
        any::<u64>()
    ]
}

fn numbers<const COUNT: usize>() -> impl Strategy<Value = [u64; COUNT]> {
    vec(number(), COUNT).prop_map(|numbers| numbers.try_into().expect("as many as were asked for"))
}

fn sorted(key: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<(String, String)>> {
    proptest::collection::btree_map(key, text(), 0..4).prop_map(|map| map.into_iter().collect())
}

fn channels() -> impl Strategy<Value = Vec<Channel>> {
    let kind = prop_oneof![Just(ChannelKind::Latest), (1_u64..=1024).prop_map(|depth| ChannelKind::Queue { depth })];
    let direction = prop_oneof![Just(Direction::Put), Just(Direction::Get)];
    proptest::collection::btree_map(name(), (direction, text(), kind), 0..5).prop_map(|channels| {
        let channel = |(name, (direction, type_text, kind))| Channel { name, direction, type_text, kind };
        channels.into_iter().map(channel).collect()
    })
}

fn restart() -> impl Strategy<Value = Restart> {
    let policies = [RestartPolicy::Never, RestartPolicy::OnFailure, RestartPolicy::Always];
    (proptest::sample::select(policies.to_vec()), numbers()).prop_map(|(policy, [one, other, attempts])| Restart {
        policy,
        first_back_off_ns: one.min(other),
        longest_back_off_ns: one.max(other),
        attempts,
    })
}

fn schedule() -> impl Strategy<Value = Schedule> {
    let releases = prop_oneof![Just(Release::Periodic), Just(Release::Events)];
    let overruns = prop_oneof![Just(OnOverrun::Skip), Just(OnOverrun::Stop), Just(OnOverrun::Restart)];
    let classes = prop_oneof![Just(Urgency::Normal), Just(Urgency::High), Just(Urgency::Critical)];
    let times = [1..=u64::MAX, 0..=u64::MAX, 0..=u64::MAX, 0..=u64::MAX];
    (times, releases, overruns, classes, proptest::option::of(any::<[u8; 4]>())).prop_map(
        |([period_ns, deadline, budget, offset], release, on_overrun, class, calls)| {
            let deadline_ns = deadline % period_ns;
            let most = if deadline_ns == 0 { period_ns } else { deadline_ns };
            let budget_ns = (budget % most).max(1);
            let offset_ns = if release == Release::Periodic { offset % period_ns } else { 0 };
            Schedule { release, period_ns, deadline_ns, budget_ns, offset_ns, on_overrun, class, calls }
        },
    )
}

/// Any valid manifest.
pub(crate) fn manifest() -> impl Strategy<Value = Manifest> {
    let worlds = [World::WasiCommand, World::Reactor, World::TinyContainer];
    let head = (
        name(),
        prop_oneof![Just(String::new()), Just("1.2.3".into()), Just("0.1.0-rc.1+b5".into())],
        option::of(proptest::sample::select(worlds.to_vec())),
        vec("[^\0]{0,30}", 0..5),
        sorted("[A-Z_]{1,10}"),
        vec(text(), 0..5),
    );
    let numbers = (numbers::<4>(), numbers::<2>(), restart(), option::of(schedule()));
    let wiring = (
        channels(),
        vec((name(), sorted(name())), 0..3),
        vec((name(), sorted(name())), 0..3),
        proptest::collection::btree_map(0..=u64::from(u32::MAX), text(), 0..3),
    );
    (head, numbers, wiring).prop_map(
        |(head, (limits, lifetime, restart, schedule), (channels, provides, needs, endpoints))| {
            let (name, version, world, arguments, environment, grants) = head;
            let over = |services: Vec<(String, Vec<(String, String)>)>, direction: Direction| -> Vec<Service> {
                let fit = channels.iter().filter(|channel| channel.direction == direction);
                let pairs = services.into_iter().zip(fit);
                pairs
                    .map(|((service, attributes), channel)| Service {
                        channel: channel.name.clone(),
                        service,
                        attributes,
                    })
                    .collect()
            };
            Manifest {
                name,
                version,
                world,
                arguments,
                environment,
                grants,
                limits: Limits { start_ns: limits[0], loop_ns: limits[1], stop_ns: limits[2], memory_bytes: limits[3] },
                lifetime: Lifetime { loops: lifetime[0], time_ns: lifetime[1] },
                restart,
                provides: over(provides, Direction::Put),
                needs: over(needs, Direction::Get),
                channels,
                endpoints: endpoints.into_iter().map(|(number, line)| Endpoint { number, line }).collect(),
                schedule,
            }
        },
    )
}

/// Any valid list of files, in any order.
pub(crate) fn files() -> impl Strategy<Value = Vec<(String, Vec<u8>)>> {
    // Folders are upper case and files lower, so that none is both.
    proptest::collection::btree_map("([A-Z]{1,3}/){0,2}[a-z]{1,5}", vec(any::<u8>(), 0..40), 0..8)
        .prop_map(|files| files.into_iter().collect::<Vec<_>>())
        .prop_shuffle()
}
