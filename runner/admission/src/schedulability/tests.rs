//! Places and refusals with numbers that can be computed by hand, and sets at random that the simulator plays.

extern crate std;

use alloc::{vec, vec::Vec};

use proptest::prelude::*;
use runner_interfaces::policy::BoardActivity;
use runner_schedule::simulate::{CriticalInstant, OnOverrun, Random, Scenario, Seeded, simulate};

use super::*;

const US: u64 = 1_000;
const MS: u64 = 1_000_000;

/// A node that costs nothing but what the kernel leaves of a budget.
fn free_of_cost() -> BoardTime {
    BoardTime { tick_ns: MS, default_calls: 1, ..BoardTime::default() }
}

fn costly() -> BoardTime {
    let activity = |name: &str, budget_ns, period_ns, jitter_ns| BoardActivity {
        name: name.into(),
        budget_ns,
        period_ns,
        jitter_ns,
    };
    BoardTime {
        tick_ns: MS,
        tick_jitter_ns: 130 * US,
        event_jitter_ns: 400 * US,
        switch_ns: 10 * US,
        slice_ns: 0,
        fuel_ns: 0,
        turn_ns: 0,
        blocking_ns: 20 * US,
        call_ns: [50 * US, 40 * US, 30 * US, 60 * US],
        default_calls: 2,
        system: vec![activity("tick", 40 * US, MS, 5 * US), activity("warden", 100 * US, 2 * MS, 0)],
        taken_ppm: 90_000,
    }
}

/// One of them, on which cells are believed or not.
fn some(costs: bool, cells: bool) -> BoardTime {
    BoardTime { slice_ns: if cells { 30 * US } else { 0 }, ..if costs { costly() } else { free_of_cost() } }
}

/// Classes by budget and period in microseconds.
fn pool(classes: &[(u32, u32)]) -> Shares {
    let mut shares = Shares::default();
    for (share, (budget_us, period_us)) in shares.classes.iter_mut().zip(classes) {
        *share = Share { budget_us: *budget_us, period_us: *period_us, ..Share::default() };
    }
    shares.cells[0] = Share { budget_us: 700, period_us: 10_000, badge: 1, priority: 110, core: 0 };
    shares
}

fn claim(name: &str, period_ns: u64, deadline_ns: u64, budget_ns: u64) -> Claim {
    let schedule =
        Schedule { period_ns, deadline_ns, budget_ns, release: Release::Periodic.to_wire(), ..Schedule::default() };
    Claim { name: name.into(), schedule, class: 0, priority: 0, most_percent: 100 }
}

fn placed(claim: &Claim, place: Place) -> Claim {
    Claim { class: place.class, priority: place.priority, ..claim.clone() }
}

fn with_budget(claim: &Claim, budget_ns: u64) -> Claim {
    Claim { schedule: Schedule { budget_ns, ..claim.schedule }, ..claim.clone() }
}

/// The largest budget that would be offered for it.
fn largest(node: &Node<'_>, live: &[Claim], candidate: &Claim) -> Option<u64> {
    let platform = node.platform();
    node.trial(live, candidate, &platform).expect("can be looked at").largest_budget()
}

#[test]
fn one_alone_gets_the_smallest_class_that_holds_it_and_a_priority_in_the_middle() {
    let (time, shares) = (free_of_cost(), pool(&[(2000, 10_000), (1019, 5000), (1020, 5000), (1021, 8000)]));
    let node = Node::new(&time, &shares);
    // A millisecond and what the kernel leaves unused, back within nine.
    let a = claim("a", 10 * MS, 10 * MS, MS);
    assert_eq!(node.place(&[], &a), Ok(Place { class: 4, priority: 155 }), "13 % are less than 20 %");
    assert_eq!(node.place(&[], &with_budget(&a, MS + 1)), Ok(Place { class: 4, priority: 155 }));
    assert_eq!(node.place(&[], &with_budget(&a, MS + US)), Ok(Place { class: 4, priority: 155 }));
    let refused = node.place(&[], &with_budget(&a, MS + US + 1)).unwrap_err();
    let expected = "it needs a class with 1.021001 ms or more in each 8.998999 ms or less, or as much more as its period is longer, and no such one is free; \
                    the largest budget that fits is 1.001 ms";
    assert_eq!(refused, expected);
}

#[test]
fn the_right_to_a_share_holds_against_the_class_and_not_against_the_budget() {
    let (time, shares) = (free_of_cost(), pool(&[(5000, 10_000), (1020, 5000)]));
    let node = Node::new(&time, &shares);
    let at_most = |most_percent| Claim { most_percent, ..claim("a", 10 * MS, 10 * MS, MS) };
    assert_eq!(node.place(&[], &at_most(21)), Ok(Place { class: 2, priority: 155 }));
    // A tenth of the processor is all that it wants; the class would give it 20.4 %.
    let refused = node.place(&[], &at_most(20)).unwrap_err();
    let expected = "it needs a class with 1.02 ms or more in each 9 ms or less, or as much more as its period is longer, and no such one is free that takes no more of the \
                    processor than its right `cpu:20%`; no budget of it fits";
    assert_eq!(refused, expected);
}

#[test]
fn on_several_cores_nothing_is_promised() {
    let (time, mut shares) = (free_of_cost(), pool(&[(5000, 10_000)]));
    shares.cells[0].core = 1;
    let refused = Node::new(&time, &shares).place(&[], &claim("a", 10 * MS, 10 * MS, MS)).unwrap_err();
    assert!(refused.contains("several cores"), "{refused}");
}

#[test]
fn priorities_are_by_urgency_then_deadline_and_nobody_who_has_one_loses_it() {
    let (time, shares) = (free_of_cost(), pool(&[(60, 1000); 8]));
    let node = Node::new(&time, &shares);
    let mut live: Vec<Claim> = Vec::new();
    let mut add = |name: &str, deadline_ms: u64, urgency: u32| {
        let mut new = claim(name, 50 * MS, deadline_ms * MS, 10 * US);
        new.schedule.urgency = urgency;
        let place = node.place(&live, &new).expect("fits");
        live.push(placed(&new, place));
        place.priority
    };
    let found = [add("a", 20, 0), add("b", 10, 0), add("c", 40, 0), add("d", 30, 1), add("e", 15, 0), add("f", 20, 0)];
    // 111 to 200: below `a` is `c`, above it `b`, with room for all that may come; `d` is more urgent than all, `e` between `b` and
    // `a`, `f` behind `a`.
    assert_eq!(found, [155, 160, 149, 166, 157, 152]);
}

#[test]
fn eight_have_priorities_of_their_own_as_they_come_by_deadline() {
    let (time, shares) = (free_of_cost(), pool(&[(60, 1000); 8]));
    let node = Node::new(&time, &shares);
    let orders: [fn(u64) -> u64; 3] = [|_| 20, |number| 20 + number, |number| 40 - number];
    for deadline_ms in orders {
        let mut live: Vec<Claim> = Vec::new();
        for number in 0..8 {
            let new = claim("x", 50 * MS, deadline_ms(number) * MS, 10 * US);
            let place = node.place(&live, &new).expect("fits");
            assert!(live.iter().all(|other| other.priority != place.priority), "{live:?} {place:?}");
            live.push(placed(&new, place));
        }
    }
}

#[test]
fn where_there_is_no_room_between_two_the_higher_priority_is_shared() {
    let level = |own: u64, others: &[(u64, u8)]| place_between(111..=200, own, others.iter().copied());
    assert_eq!(level(5, &[]), 155);
    assert_eq!(level(5, &[(6, 113), (4, 111)]), 112);
    assert_eq!(level(5, &[(6, 112), (4, 111)]), 112, "that of the more urgent one");
    assert_eq!(level(5, &[(5, 112), (4, 111)]), 112, "who came first is the more urgent one");
    assert_eq!(level(5, &[(6, 112), (4, 112)]), 112);
    assert_eq!(level(5, &[(4, 200)]), 200, "there is none above");
    assert_eq!(level(5, &[(6, 111)]), 111, "there is none below");
}

/// `a` has 0.1 ms in each millisecond, the deadline of `b` is 5 ms, in which it is hit five times: 4.5 ms are left, not a nanosecond more.
#[test]
fn a_set_at_its_limit_fits_and_with_a_nanosecond_more_it_is_refused_with_the_numbers() {
    let (time, shares) = (free_of_cost(), pool(&[(100, 1000), (5000, 10_000)]));
    let node = Node::new(&time, &shares);
    let a = claim("a", 2 * MS, 2 * MS, 80 * US);
    let a = placed(&a, node.place(&[], &a).expect("fits"));
    let b = claim("b", 20 * MS, 5 * MS, 9 * MS / 2);
    let place = node.place(core::slice::from_ref(&a), &b).expect("at its limit");
    assert_eq!(place, Place { class: 2, priority: 150 });
    let bounds = node.bounds(&[a.clone(), placed(&b, place)]);
    let times: Vec<_> = bounds.iter().map(|bound| bound.expect("looked at")).collect();
    assert_eq!((times[0].response_ns, times[0].slack_ns), (80 * US, 2 * MS - 80 * US));
    assert_eq!((times[1].response_ns, times[1].slack_ns, times[1].class.budget_us), (5 * MS, 0, 5000));

    let refused = node.place(&[a], &with_budget(&b, 9 * MS / 2 + 1)).unwrap_err();
    let expected = "`b` may need 5.000001 ms or more from its release, and its deadline is 5 ms; \
                    the largest budget that fits is 4.5 ms. \
                    It is made of 4.500001 ms of its own, 500 us of `a` (5 budgets)";
    assert_eq!(refused, expected);
}

#[test]
fn whoever_would_miss_by_the_new_one_is_named() {
    let (time, shares) = (free_of_cost(), pool(&[(3020, 7000), (2000, 10_000), (1000, 5000)]));
    let node = Node::new(&time, &shares);
    // Back within seven of ten milliseconds, and takes three of them.
    let a = claim("a", 10 * MS, 10 * MS, 3 * MS);
    let a = placed(&a, node.place(&[], &a).expect("fits"));
    assert_eq!(a.class, 1);
    let b = claim("b", 20 * MS, 2 * MS, MS);
    let refused = node.place(core::slice::from_ref(&a), &b).unwrap_err();
    assert!(refused.contains("`a` would need "), "{refused}");
    assert!(refused.contains("in each period of its class, which has 3.02 ms; no budget of it fits"), "{refused}");
    let b = claim("b", 20 * MS, 20 * MS, MS / 2);
    assert!(node.place(&[a], &b).is_ok(), "less urgent than it");
}

#[test]
fn more_than_the_processor_is_promised_to_nobody() {
    let shares = pool(&[(5000, 10_000), (4100, 10_000), (4000, 10_000)]);
    let time = BoardTime { taken_ppm: 95_000, ..free_of_cost() };
    let node = Node::new(&time, &shares);
    let a = claim("a", 40 * MS, 30 * MS, 4 * MS + 80 * US);
    let a = placed(&a, node.place(&[], &a).expect("fits"));
    assert_eq!((a.class, node.promised_ppm(core::slice::from_ref(&a))), (2, 95_000 + 410_000));
    let b = claim("b", 40 * MS, 40 * MS, 4 * MS);
    let refused = node.place(core::slice::from_ref(&a), &b).unwrap_err();
    let expected = "with a class of 5 ms in each 10 ms for it, 100.5 % of the processor would be promised; \
                    the largest budget that fits is 3.98 ms";
    assert_eq!(refused, expected);
    assert!(node.place(&[a], &with_budget(&b, 3 * MS + 980 * US)).is_ok());
}

/// Where cells hold containers, others are told to expect budgets and slices, and not what the classes allow. These are large, since the
/// period of `b` is too short for its budget to come back before the next release: 0.13 ms for a job, and 0.31 ms until it is back.
#[test]
fn where_cells_are_believed_a_class_may_have_the_containers_own_period() {
    let (kernel, cells) = (free_of_cost(), BoardTime { slice_ns: 10 * US, ..free_of_cost() });
    let shares = pool(&[(240, 1000), (550, 1000), (549, 1000), (900, 1000)]);
    let set = |time: &BoardTime| {
        let node = Node::new(time, &shares);
        let a = claim("a", MS, MS, 100 * US);
        let a = placed(&a, node.place(&[], &a)?);
        let b = claim("b", MS, MS, 200 * US);
        let b = placed(&b, node.place(core::slice::from_ref(&a), &b)?);
        let live = [a, b];
        let bounds: Vec<_> = node.bounds(&live).iter().map(|bound| bound.expect("looked at").response_ns).collect();
        Ok::<_, String>((live.map(|claim| claim.class), bounds, node.promised_ppm(&[claim("a", MS, MS, 100 * US)])))
    };
    // The charge of a job is its budget, a slice, and the 20 us with which the kernel starts nobody.
    assert_eq!(set(&cells), Ok((([1, 2]), vec![110 * US, 320 * US], 110_000)));
    let refused = set(&kernel).unwrap_err();
    assert!(refused.contains("more than the processor") || refused.contains("would be promised"), "{refused}");
}

#[test]
fn the_right_to_a_share_holds_against_the_budget_where_cells_are_believed() {
    let (time, shares) = (BoardTime { slice_ns: 50 * US, ..free_of_cost() }, pool(&[(900, 1000)]));
    let node = Node::new(&time, &shares);
    let at_most = |most_percent| Claim { most_percent, ..claim("a", MS, MS, 200 * US) };
    assert!(node.place(&[], &at_most(25)).is_ok(), "whatever its class is");
    let refused = node.place(&[], &at_most(24)).unwrap_err();
    let expected =
        "it asks for 25.0 % of the processor, and its right is `cpu:24%`; the largest budget that fits is 190 us";
    assert_eq!(refused, expected);
}

#[test]
fn a_class_that_somebody_has_is_nobody_elses() {
    let (time, shares) = (free_of_cost(), pool(&[(200, 1000), (200, 1000)]));
    let node = Node::new(&time, &shares);
    let a = claim("a", 5 * MS, 5 * MS, 100 * US);
    let first = placed(&a, node.place(&[], &a).expect("free"));
    let second = placed(&a, node.place(core::slice::from_ref(&first), &a).expect("free"));
    assert_eq!((first.class, second.class), (1, 2));
    let refused = node.place(&[first, second], &a).unwrap_err();
    assert!(refused.contains("no such one is free; no budget of it fits"), "{refused}");
}

#[test]
fn what_is_no_schedule_is_refused_in_words() {
    let (time, shares) = (free_of_cost(), pool(&[(200, 1000)]));
    let node = Node::new(&time, &shares);
    let refused = |period_ns, budget_ns| node.place(&[], &claim("a", period_ns, period_ns, budget_ns)).unwrap_err();
    assert!(refused(99 * US, US).contains("a period of 99 us is out of bounds"), "{}", refused(99 * US, US));
    assert!(refused(u64::MAX, US).contains("out of bounds"), "{}", refused(u64::MAX, US));
    assert!(refused(MS, 0).contains("a budget must be more than nothing"), "{}", refused(MS, 0));
}

#[test]
fn everything_that_a_node_costs_is_in_a_bound() {
    let (mut time, shares) = (costly(), pool(&[(3000, 10_000)]));
    let mut a = claim("a", 20 * MS, 20 * MS, MS);
    a.schedule.calls = u32::from_le_bytes([2, 1, 3, 3]);
    let mut bound = |change: &dyn Fn(&mut BoardTime)| {
        change(&mut time);
        let node = Node::new(&time, &shares);
        let place = node.place(&[], &a).expect("fits");
        node.bounds(&[placed(&a, place)])[0].expect("looked at").response_ns
    };
    // Its own and two switches; its calls; the kernel's and somebody else's longest call; the
    // jitter of a tick. In that time two ticks, and the warden twice.
    let own_ns = MS + 20 * US + (100 + 40 + 90 + 180) * US + 80 * US + 130 * US;
    assert_eq!(bound(&|_| {}), own_ns + 2 * 40 * US + 100 * US);
    assert_eq!(bound(&|time| time.system.clear()), own_ns);
    assert_eq!(bound(&|time| time.tick_jitter_ns = 0), own_ns - 130 * US);
    assert_eq!(bound(&|time| time.call_ns = [0; 4]), own_ns - 130 * US - 410 * US - 60 * US);
    assert_eq!(bound(&|time| time.blocking_ns = 0), MS + 20 * US);
    assert_eq!(bound(&|time| time.switch_ns = 0), MS);
}

/// Sets as containers come: one after the other, each with whatever place it is given, until one is refused or there are six.
fn admitted(seed: u64, node: &Node<'_>) -> (Vec<Claim>, Option<Claim>) {
    let mut choices = Seeded::new(seed);
    let mut live: Vec<Claim> = Vec::new();
    for number in 0..6 {
        let period_ns = (2 + choices.below(30)) * MS;
        let deadline_ns = period_ns - choices.below(period_ns / 2);
        let budget_ns = 1 + choices.below(deadline_ns / 12);
        let mut new = claim(&std::format!("c{number}"), period_ns, deadline_ns, budget_ns);
        new.schedule.urgency = u32::try_from(choices.below(3)).expect("small");
        new.schedule.calls = u32::from_le_bytes([0; 4].map(|_: u8| u8::try_from(choices.below(3)).expect("small")));
        match choices.below(3) {
            0 => new.schedule.release = Release::Events.to_wire(),
            _ => new.schedule.offset_ns = choices.below(period_ns),
        }
        match node.place(&live, &new) {
            Ok(place) => live.push(placed(&new, place)),
            Err(refused) => {
                assert!(!refused.is_empty());
                return (live, Some(new));
            }
        }
    }
    (live, None)
}

/// The pool of the project, more or less.
fn projects_pool() -> Shares {
    let kinds = [
        (100, 500),
        (100, 1000),
        (150, 1000),
        (200, 1000),
        (200, 2000),
        (400, 2000),
        (600, 2000),
        (500, 5000),
        (1000, 5000),
        (1500, 5000),
        (1000, 10_000),
        (2000, 10_000),
        (3000, 10_000),
    ];
    pool(&kinds.into_iter().chain(kinds).collect::<Vec<_>>())
}

fn tasks(node: &Node<'_>, live: &[Claim]) -> Vec<Task> {
    live.iter().map(|claim| node.task(claim).expect("admitted").at_level(level_of(claim))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// No deadline of what was admitted is missed at the critical instant or in random runs, with jobs that keep their budgets.
    #[test]
    fn what_is_admitted_never_misses(seed: u64, costs: bool, cells: bool) {
        let (time, shares) = (some(costs, cells), projects_pool());
        let node = Node::new(&time, &shares);
        let (live, _) = admitted(seed, &node);
        let (tasks, platform) = (tasks(&node, &live), node.platform());
        let bounds = node.bounds(&live);
        let longest_ns = live.iter().map(|claim| claim.schedule.period_ns).max().unwrap_or(MS);
        let play = |behaviour: &mut dyn runner_schedule::simulate::Behaviour| {
            let (on_overrun, record) = (OnOverrun::Skip, 0..0);
            let scenario =
                Scenario { tasks: &tasks, platform: &platform, on_overrun, horizon_ns: 12 * longest_ns, record };
            simulate(&scenario, behaviour)
        };
        let mut outcomes = vec![play(&mut CriticalInstant::new(&tasks, &platform))];
        outcomes.extend((0..3).map(|run| play(&mut Random::new(&tasks, &platform, seed ^ run))));
        for outcome in outcomes {
            for (seen, bound) in outcome.tasks.iter().zip(&bounds) {
                prop_assert_eq!((seen.missed, seen.throttled), (0, 0));
                prop_assert!(seen.longest_response_ns <= bound.expect("looked at").response_ns);
            }
        }
    }

    /// Nor where some try to take many times their budgets: the kernel holds them, and the others keep their bounds.
    #[test]
    fn whoever_overruns_harms_nobody_else(seed: u64, costs: bool, cells: bool, overrunning in 0_usize..6) {
        let (time, shares) = (some(costs, cells), projects_pool());
        let node = Node::new(&time, &shares);
        let (live, _) = admitted(seed, &node);
        prop_assume!(overrunning < live.len());
        let (tasks, platform) = (tasks(&node, &live), node.platform());
        let bounds = node.bounds(&live);
        let longest_ns = live.iter().map(|claim| claim.schedule.period_ns).max().unwrap_or(MS);
        let mut behaviour = Random::new(&tasks, &platform, seed).overrunning(&[overrunning]);
        let scenario = Scenario {
            tasks: &tasks,
            platform: &platform,
            on_overrun: OnOverrun::Skip,
            horizon_ns: 12 * longest_ns,
            record: 0..0,
        };
        let outcome = simulate(&scenario, &mut behaviour);
        for (index, (seen, bound)) in outcome.tasks.iter().zip(&bounds).enumerate().filter(|(index, _)| *index != overrunning) {
            prop_assert_eq!(seen.missed, 0, "{}", index);
            prop_assert!(seen.longest_response_ns <= bound.expect("looked at").response_ns);
        }
    }

    /// What a refusal names fits, and a nanosecond more does not.
    #[test]
    fn the_largest_budget_is_the_last_that_fits(seed: u64, costs: bool, cells: bool) {
        let (time, shares) = (some(costs, cells), projects_pool());
        let node = Node::new(&time, &shares);
        let (live, refused) = admitted(seed, &node);
        prop_assume!(refused.is_some());
        let refused = refused.expect("assumed");
        let words = node.place(&live, &refused).unwrap_err();
        match largest(&node, &live, &refused) {
            Some(budget_ns) => {
                let budget = std::format!("the largest budget that fits is {}", Span(budget_ns));
                prop_assert!(words.contains(&budget), "{}", words);
                prop_assert!(budget_ns < refused.schedule.budget_ns);
                prop_assert!(node.place(&live, &with_budget(&refused, budget_ns)).is_ok());
                prop_assert!(node.place(&live, &with_budget(&refused, budget_ns + 1)).is_err());
            }
            None => {
                prop_assert!(words.contains("no budget of it fits"), "{}", words);
                prop_assert!(node.place(&live, &with_budget(&refused, 1)).is_err());
            }
        }
    }

    /// Whatever a manifest says, it is answered, and those who have places keep their bounds below their deadlines.
    #[test]
    fn no_number_breaks_it(
        period_ns: u64, deadline_ns: u64, budget_ns: u64, offset_ns: u64, release in 0_u32..4, urgency: u32, calls: u32,
        cells: bool,
    ) {
        let (time, shares) = (some(true, cells), projects_pool());
        let node = Node::new(&time, &shares);
        let schedule =
            Schedule { period_ns, deadline_ns, budget_ns, offset_ns, release, on_overrun: 0, urgency, calls, slice_ns: 0, fuel_ns: 0, turn_ns: 0 };
        let new = Claim { name: "x".into(), schedule, class: 0, priority: 0, most_percent: 100 };
        if let Err(words) = node.place(&[], &new) {
            prop_assert!(!words.is_empty());
        }
    }
}
