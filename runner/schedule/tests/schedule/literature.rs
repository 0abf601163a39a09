//! Sets with known answers.

use runner_schedule::{Driver, SetError, SystemTask};
use runner_schedule::{
    Platform, Refusal, Server, ServerNeed, Source, Suspension, Task, TaskParameters, Trust, Verdict, analyse,
    assign_levels, largest_budget,
};

const MS: u64 = 1_000_000;

fn bounds(tasks: &[Task], platform: &Platform<'_>) -> Vec<u64> {
    analyse(tasks, platform)
        .expect("a set that can be looked at")
        .responses()
        .iter()
        .map(|response| response.bound_ns)
        .collect()
}

/// Tasks of whole milliseconds, the first at the highest level.
fn tasks(of: &[(u64, u64, u64)]) -> Vec<Task> {
    let task = |(index, (period, deadline, budget)): (usize, &(u64, u64, u64))| {
        let parameters = TaskParameters::new(period * MS, deadline * MS, budget * MS);
        Task::new(parameters)
            .expect("a task of the test")
            .at_level(200 - u8::try_from(index).expect("a task of the test"))
    };
    of.iter().enumerate().map(task).collect()
}

/// Burns and Wellings, "Real-Time Systems and Programming Languages", the standard example: 3, 6 and 20.
#[test]
fn the_textbook_example() {
    let set = tasks(&[(7, 7, 3), (12, 12, 3), (20, 20, 5)]);
    assert_eq!(bounds(&set, &Platform::IDEAL), [3 * MS, 6 * MS, 20 * MS]);
    let analysis = analyse(&set, &Platform::IDEAL).unwrap();
    assert!(analysis.is_admitted());
    assert_eq!(analysis.slack_ns(2), 0);
    assert_eq!(analysis.slack_ns(1), 6 * MS);
    assert_eq!(analysis.slack_ns(7), 0, "there is no such task");
}

/// Audsley et al., 1993: jitter makes two releases of the first task fall into what was one.
#[test]
fn jitter_of_others_and_own_counts() {
    let mut set = tasks(&[(10, 10, 4), (20, 20, 7)]);
    assert_eq!(bounds(&set, &Platform::IDEAL), [4 * MS, 15 * MS]);
    let with_jitter = TaskParameters { jitter_ns: 5 * MS, ..*set[0].parameters() };
    set[0] = Task::new(with_jitter).unwrap().at_level(set[0].level());
    // Window of the second: 7 + ceil((w + 5) / 10) * 4 = 15, at which two releases still fit.
    assert_eq!(bounds(&set, &Platform::IDEAL), [9 * MS, 15 * MS]);
    let later = TaskParameters { jitter_ns: 5 * MS + 1, ..*set[0].parameters() };
    set[0] = Task::new(later).unwrap().at_level(set[0].level());
    assert_eq!(bounds(&set, &Platform::IDEAL), [9 * MS + 1, 19 * MS]);
}

#[test]
fn one_nanosecond_more_than_fits_is_refused_with_the_numbers() {
    let mut set = tasks(&[(7, 7, 3), (12, 12, 3), (20, 20, 5)]);
    set[2] = set[2].with_budget(5 * MS + 1).unwrap();
    let analysis = analyse(&set, &Platform::IDEAL).unwrap();
    let refusal = analysis.refusal().unwrap();
    let Refusal::Deadline { task: 2, response_ns, deadline_ns } = refusal else { panic!("{refusal:?}") };
    assert_eq!((response_ns, deadline_ns), (20 * MS + 1, 20 * MS));
    assert_eq!(refusal.to_string(), "task 2 may need 20.000001 ms or more from its release, and its deadline is 20 ms");
    let parts: u64 = analysis.contributions(2).map(|part| part.total_ns).sum();
    assert_eq!(parts, 20 * MS + 1, "the numbers of a refusal add up as well");
    assert_eq!(largest_budget(&set, 2, &Platform::IDEAL), Ok(Some(5 * MS)));
}

#[test]
fn equals_keep_each_other_waiting() {
    let apart = tasks(&[(10, 10, 2), (10, 10, 3), (10, 10, 4)]);
    assert_eq!(bounds(&apart, &Platform::IDEAL), [2 * MS, 5 * MS, 9 * MS]);
    let equal: Vec<Task> = apart.iter().map(|task| task.at_level(7)).collect();
    assert_eq!(bounds(&equal, &Platform::IDEAL), [9 * MS; 3]);
}

const GPIO: Driver<'_> = Driver { name: "gpio", call_ns: 20_000, server: None, reserved_calls: 0 };

/// Each cost of the platform, by the nanosecond, in the one place where it counts.
#[test]
fn every_cost_of_the_platform_counts() {
    let mut set = tasks(&[(10, 10, 2), (20, 20, 3)]);
    let platform = Platform { tick_period_ns: MS, ..Platform::IDEAL };
    let of = |platform: Platform<'_>, set: &[Task]| bounds(set, &platform);
    assert_eq!(of(platform, &set), [2 * MS, 5 * MS]);
    assert_eq!(of(Platform { tick_jitter_ns: 7, ..platform }, &set), [2 * MS + 7, 5 * MS + 7]);
    assert_eq!(of(Platform { event_jitter_ns: 7, ..platform }, &set), [2 * MS, 5 * MS], "nobody waits for events");
    assert_eq!(of(Platform { switch_ns: 7, ..platform }, &set), [2 * MS + 14, 5 * MS + 28]);
    assert_eq!(of(Platform { slice_ns: 7, ..platform }, &set), [2 * MS + 7, 5 * MS + 14]);
    assert_eq!(of(Platform { blocking_ns: 7, ..platform }, &set), [2 * MS + 7, 5 * MS + 7]);
    assert_eq!(of(Platform { minimum_budget_ns: 7, refills: 3, ..platform }, &set), [2 * MS, 5 * MS], "no server");
    let tick = SystemTask { name: "tick", budget_ns: 7, period_ns: MS, jitter_ns: 0 };
    assert_eq!(of(Platform { system: &[tick], ..platform }, &set), [2 * MS + 21, 5 * MS + 42]);
    let late = SystemTask { jitter_ns: MS, ..tick };
    assert_eq!(of(Platform { system: &[late], ..platform }, &set), [2 * MS + 28, 5 * MS + 49]);
    let with_driver = Platform { drivers: &[GPIO], ..platform };
    assert_eq!(of(with_driver, &set), [2 * MS + 20_000, 5 * MS + 20_000], "one call of somebody less urgent");
    let mut parameters = *set[0].parameters();
    parameters.calls[0] = 3;
    set[0] = Task::new(parameters).unwrap().at_level(set[0].level());
    assert_eq!(of(with_driver, &set), [2 * MS + 80_000, 5 * MS + 80_000]);
    parameters.suspension = Suspension { total_ns: MS, times: 2 };
    set[0] = Task::new(parameters).unwrap().at_level(set[0].level());
    // Two more blockings for itself; for the other, its work may come late and then at once again.
    assert_eq!(of(with_driver, &set), [3 * MS + 120_000, 5 * MS + 80_000 + 2 * MS + 60_000]);
}

#[test]
fn releases_between_ticks_wait_for_the_next() {
    let platform = Platform { tick_period_ns: MS, ..Platform::IDEAL };
    for (period_ns, offset_ns, late_ns) in [
        (10 * MS, 0, 0),
        (10 * MS, MS, 0),
        (10 * MS, 250_000, 750_000),
        (1_500_000, 0, 500_000),
        (1_000_001, 0, MS - 1),
    ] {
        let release = runner_schedule::Release::Periodic { offset_ns };
        let parameters = TaskParameters { release, ..TaskParameters::new(period_ns, period_ns, 1) };
        assert_eq!(Task::new(parameters).unwrap().release_jitter_ns(&platform), late_ns, "{period_ns} at {offset_ns}");
    }
}

#[test]
fn contributions_add_up_and_name_their_sources() {
    let mut set = tasks(&[(7, 7, 1), (12, 12, 2), (40, 40, 5)]);
    let mut parameters = *set[1].parameters();
    parameters.calls[0] = 2;
    set[1] = Task::new(parameters).unwrap().at_level(set[1].level());
    let tick = SystemTask { name: "tick", budget_ns: 50_000, period_ns: MS, jitter_ns: 100_000 };
    let platform = Platform {
        tick_period_ns: MS,
        tick_jitter_ns: 30_000,
        switch_ns: 2_000,
        slice_ns: 5_000,
        blocking_ns: 9_000,
        system: &[tick],
        drivers: &[GPIO],
        ..Platform::IDEAL
    };
    let analysis = analyse(&set, &platform).unwrap();
    for (task, response) in analysis.responses().iter().enumerate() {
        let total: u64 = analysis.contributions(task).map(|part| part.total_ns).sum();
        assert_eq!(total, response.bound_ns);
    }
    let sources: Vec<Source> = analysis.contributions(2).map(|part| part.source).collect();
    let expected = [
        Source::ReleaseJitter,
        Source::Own,
        Source::Blocking,
        Source::Task(0),
        Source::Task(1),
        Source::CallsOf(1),
        Source::System(0),
    ];
    assert_eq!(sources, expected);
    let calls = analysis.contributions(2).find(|part| part.source == Source::CallsOf(1)).unwrap();
    assert_eq!((calls.times, calls.total_ns), (2, 40_000));
    assert_eq!(analysis.contributions(3).count(), 0, "there is no such task");
}

#[test]
fn a_scheduling_context_must_not_stop_a_job_that_keeps_its_budget() {
    let with = |server: Server| {
        let mut set = tasks(&[(10, 10, 2), (20, 20, 3)]);
        let parameters = TaskParameters { server: Some(server), ..*set[1].parameters() };
        set[1] = Task::new(parameters).unwrap().at_level(set[1].level());
        set
    };
    let refusal = |budget_ns, period_ns| {
        let platform = Platform { switch_ns: 1_000, minimum_budget_ns: 20_000, ..Platform::IDEAL };
        let set = with(Server::new(budget_ns, period_ns).unwrap());
        analyse(&set, &platform).unwrap().refusal()
    };
    // Response 5.004 ms. Charged: budget, own switches, a switch back after the one preemption, the unusable rest; blocking counts too.
    let needed_ns = 3 * MS + 2_000 + 2_000 + 20_000;
    let platform = Platform { switch_ns: 1_000, minimum_budget_ns: 20_000, ..Platform::IDEAL };
    let without = tasks(&[(10, 10, 2), (20, 20, 3)]);
    let need = analyse(&without, &platform).unwrap().server_need(1);
    assert_eq!(need, Some(ServerNeed { charged_ns: needed_ns, prompt_period_ns: 14_996_000 }));
    assert_eq!(refusal(needed_ns, 14_996_000), None);
    assert_eq!(
        refusal(needed_ns - 1, 14_996_000),
        Some(Refusal::ServerBudget { task: 1, needed_ns, budget_ns: needed_ns - 1 })
    );
    let too_little = |needed_ns| Some(Refusal::ServerBudget { task: 1, needed_ns, budget_ns: needed_ns - 1 });
    for more_ns in [1, 5_004_000] {
        assert_eq!(refusal(needed_ns + more_ns - 1, 14_996_000 + more_ns), too_little(needed_ns + more_ns));
        assert_eq!(refusal(needed_ns + more_ns, 14_996_000 + more_ns), None);
    }
}

#[test]
fn where_only_the_kernel_is_trusted_its_budgets_are_the_interference() {
    let mut set = tasks(&[(10, 10, 2), (20, 20, 3)]);
    let platform = Platform { trust: Trust::Kernel, ..Platform::IDEAL };
    assert_eq!(analyse(&set, &platform).unwrap_err(), SetError::NoServer { task: 0 });
    for (task, server) in set.iter_mut().zip([Server::new(2 * MS, 4 * MS), Server::new(3 * MS, 5 * MS)]) {
        *task = Task::new(TaskParameters { server: Some(server.unwrap()), ..*task.parameters() })
            .unwrap()
            .at_level(task.level());
    }
    // 3 + ceil(w / 4) * 2 = 7 with w = 7.
    assert_eq!(bounds(&set, &platform), [2 * MS, 7 * MS]);
    // Each budget of the first in three pieces, two switches a piece; the second's own two switches.
    let platform = Platform { switch_ns: 1_000, refills: 3, ..platform };
    assert_eq!(bounds(&set, &platform), [2 * MS + 2_000, 7 * MS + 2_000 + 2 * 6_000]);
}

#[test]
fn a_driver_that_may_be_asked_for_too_much_is_named() {
    let refusal = |budget_ns, period_ns, refills| {
        let server = Some(Server::new(budget_ns, period_ns).unwrap());
        let drivers = [Driver { server, reserved_calls: 1, ..GPIO }];
        let platform = Platform { drivers: &drivers, refills, minimum_budget_ns: 5_000, ..Platform::IDEAL };
        let mut parameters = TaskParameters::new(5 * MS, 5 * MS, MS);
        parameters.calls[0] = 2;
        analyse(&[Task::new(parameters).unwrap()], &platform).unwrap().refusal()
    };
    let too_many = |calls, enough_for| Some(Refusal::DriverBudget { driver: 0, calls, enough_for });
    // With three pieces: in two periods of 2 ms and a deadline are two releases; two periods and one have three of the others' calls.
    assert_eq!(refusal(145_000, 2 * MS, 3), None);
    assert_eq!(refusal(144_999, 2 * MS, 3), too_many(7, 6));
    // With two, seven calls may follow each other for seven times 1.875 ms and 40 us, and in that time there are more of them.
    assert_eq!(refusal(145_000, 2 * MS, 2), too_many(16, 7));
    // A budget that is nearly the period comes back in a short pause.
    assert_eq!(refusal(145_000, 150_000, 2), None);
}

#[test]
fn sets_that_cannot_be_looked_at_are_errors() {
    let one = tasks(&[(10, 10, 1)])[0];
    assert_eq!(analyse(&[one; 65], &Platform::IDEAL).unwrap_err(), SetError::TooManyTasks { tasks: 65 });
    let mut parameters = *one.parameters();
    parameters.calls[3] = 1;
    let calling = Task::new(parameters).unwrap();
    assert_eq!(analyse(&[calling], &Platform::IDEAL).unwrap_err(), SetError::UnknownDriver { task: 0, driver: 3 });
    let platform = Platform { refills: 1, ..Platform::IDEAL };
    assert_eq!(analyse(&[one], &platform).unwrap_err(), SetError::TooFewRefills { refills: 1 });
    let endless = SystemTask { name: "endless", budget_ns: 1, period_ns: 0, jitter_ns: 0 };
    let platform = Platform { system: &[endless], ..Platform::IDEAL };
    assert_eq!(analyse(&[one], &platform).unwrap_err(), SetError::SystemPeriod { system: 0 });
}

/// A manifest cannot make the analysis long: an hour's deadline under a load that leaves a billionth.
#[test]
fn the_search_ends() {
    let mut set = tasks(&[(3_600_000, 3_600_000, 1)]);
    let short = TaskParameters::new(100_000, 100_000, 99_999);
    set.push(Task::new(short).unwrap().at_level(255));
    let analysis = analyse(&set, &Platform::IDEAL).unwrap();
    assert_eq!(analysis.responses()[0].verdict, Verdict::Undecided);
    assert_eq!(analysis.refusal(), Some(Refusal::Undecided { task: 0 }));
}

#[test]
fn levels_go_by_class_then_by_deadline_less_jitter() {
    let parameters = |deadline: u64, class, jitter_ns| TaskParameters {
        class,
        jitter_ns,
        ..TaskParameters::new(100 * MS, deadline * MS, MS)
    };
    let all = [parameters(30, 0, 0), parameters(20, 0, 0), parameters(90, 3, 0), parameters(31, 0, 12 * MS)];
    let mut set: Vec<Task> = all.into_iter().map(|parameters| Task::new(parameters).unwrap()).collect();
    assign_levels(&mut set, 100..=200, &Platform::IDEAL).unwrap();
    assert_eq!(set.iter().map(Task::level).collect::<Vec<_>>(), [197, 198, 200, 199]);
    assign_levels(&mut set, 7..=8, &Platform::IDEAL).unwrap();
    assert_eq!(set.iter().map(Task::level).collect::<Vec<_>>(), [7, 7, 8, 7]);
    #[expect(clippy::reversed_empty_ranges, reason = "the error is for it")]
    let empty = 8..=7;
    assert!(assign_levels(&mut set, empty, &Platform::IDEAL).is_err());
}

#[test]
fn what_is_no_task_is_refused_in_words() {
    let good = TaskParameters::new(10 * MS, 8 * MS, 2 * MS);
    let periodic = |offset_ns| runner_schedule::Release::Periodic { offset_ns };
    let wait = |total_ns, times| Suspension { total_ns, times };
    for (parameters, words) in [
        (TaskParameters { period_ns: 99_999, ..good }, "a period of 99.999 us is out of bounds: 100 us to 3600 s"),
        (
            TaskParameters { period_ns: u64::MAX, ..good },
            "a period of 18446744073.709551615 s is out of bounds: 100 us to 3600 s",
        ),
        (TaskParameters { deadline_ns: 0, ..good }, "a deadline must be more than nothing"),
        (
            TaskParameters { deadline_ns: 11 * MS, ..good },
            "the deadline of 11 ms is after the next release, 10 ms later",
        ),
        (TaskParameters { budget_ns: 0, ..good }, "a budget must be more than nothing"),
        (
            TaskParameters { budget_ns: 8 * MS + 1, ..good },
            "a budget of 8.000001 ms does not fit into a deadline of 8 ms",
        ),
        (TaskParameters { release: periodic(10 * MS), ..good }, "an offset of 10 ms is not within the period of 10 ms"),
        (TaskParameters { jitter_ns: 8 * MS, ..good }, "a release jitter of 8 ms leaves nothing of a deadline of 8 ms"),
        (
            TaskParameters { suspension: wait(8 * MS, 1), ..good },
            "waiting for 8 ms leaves nothing of a deadline of 8 ms",
        ),
        (TaskParameters { suspension: wait(1, 0), ..good }, "jobs that wait for 1 ns wait at least once"),
    ] {
        assert_eq!(Task::new(parameters).unwrap_err().to_string(), words);
    }
    assert_eq!(Server::new(2, 1).unwrap_err().to_string(), "no scheduling context has 2 ns in each 1 ns");
    assert!(Task::new(good).is_ok());
}
