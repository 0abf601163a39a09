//! The picture of a timeline, read as a viewer reads it.

use roxmltree::{Document, Node};
use runner_schedule::simulate::{
    CriticalInstant, MarkKind, OnOverrun, Outcome, Row, Scenario, TimelineNames, simulate, svg,
};
use runner_schedule::{Driver, Platform, SystemTask, Task, TaskParameters};

const MS: u64 = 1_000_000;

/// Two tasks, of which the second misses; the first calls a driver; ticks.
fn outcome() -> Outcome {
    let system = [SystemTask { name: "tick", budget_ns: 100_000, period_ns: MS, jitter_ns: 0 }];
    let drivers = [Driver { name: "gpio", call_ns: 200_000, server: None, reserved_calls: 0 }];
    let platform = Platform { system: &system, drivers: &drivers, ..Platform::IDEAL };
    let mut urgent = TaskParameters::new(4 * MS, 3 * MS, 2 * MS);
    urgent.calls[0] = 2;
    let other = TaskParameters::new(10 * MS, 9 * MS, 5 * MS);
    let tasks = [(urgent, 2), (other, 1)]
        .map(|(parameters, level)| Task::new(parameters).expect("a task of the test").at_level(level));
    let (horizon_ns, record) = (40 * MS, 0..20 * MS);
    let scenario = Scenario { tasks: &tasks, platform: &platform, on_overrun: OnOverrun::Skip, horizon_ns, record };
    simulate(&scenario, &mut CriticalInstant::new(&tasks, &platform))
}

const NAMES: TimelineNames<'_> = TimelineNames {
    tasks: &["pid <1>", "a name that is much too long for its place"],
    drivers: &["gpio"],
    system: &["tick"],
};

fn class<'a>(node: Node<'a, '_>) -> &'a str {
    node.attribute("class").unwrap_or("")
}

/// Bars and marks that say whose they are; the legend's do not.
fn titled<'a>(document: &'a Document<'a>, name: &str) -> Vec<(Node<'a, 'a>, String)> {
    let nodes = document.descendants().filter(|node| node.has_tag_name(name));
    nodes.filter_map(|node| Some((node, node.first_element_child()?.text()?.to_owned()))).collect()
}

#[test]
fn everything_that_ran_is_a_bar_in_its_row() {
    let timeline = outcome().timeline;
    let text = svg(&timeline, &NAMES);
    let document = Document::parse(&text).unwrap();
    let bars = titled(&document, "rect");
    assert_eq!(bars.len(), timeline.segments.len());
    let mut rows = std::collections::BTreeMap::new();
    for ((bar, title), segment) in bars.iter().zip(&timeline.segments) {
        let (named, of, row) = match segment.row {
            Row::Task(0) => ("pid <1>: ", "t", 0),
            Row::Task(_) => ("a name that is much too long for its place: ", "t", 1),
            Row::Driver { .. } => ("gpio, for pid <1>: ", "d", 0),
            Row::System(_) => ("tick: 100 us", "n", 2),
            Row::Background => ("less urgent: ", "n", 2),
        };
        assert!(title.starts_with(named), "{title}");
        assert_eq!(class(*bar), of);
        let y = bar.attribute("y").unwrap();
        assert_eq!(*rows.entry(row).or_insert(y), y, "one height for a row");
    }
    assert_eq!(rows.len(), 3);
    let mut heights: Vec<&str> = rows.into_values().collect();
    heights.dedup();
    assert_eq!(heights.len(), 3, "rows do not lie on each other");
}

#[test]
fn releases_deadlines_and_misses_are_marked() {
    let timeline = outcome().timeline;
    let text = svg(&timeline, &NAMES);
    let document = Document::parse(&text).unwrap();
    let marks = titled(&document, "path");
    assert_eq!(marks.len(), timeline.marks.len());
    for (kind, of, words) in [
        (MarkKind::Release, "r", "release at"),
        (MarkKind::Deadline, "l", "deadline at"),
        (MarkKind::Miss, "m", "missed deadline at"),
    ] {
        let expected = timeline.marks.iter().filter(|mark| mark.kind == kind).count();
        assert!(expected > 0, "{kind:?}");
        let drawn = marks.iter().filter(|(mark, title)| class(*mark) == of && title.contains(&format!(": {words}")));
        assert_eq!(drawn.count(), expected);
    }
}

#[test]
fn it_can_be_read_in_both_schemes() {
    let text = svg(&outcome().timeline, &NAMES);
    let document = Document::parse(&text).unwrap();
    let style = document.descendants().find(|node| node.has_tag_name("style")).unwrap().text().unwrap();
    let (light, dark) = style.split_once("@media(prefers-color-scheme:dark)").unwrap();
    for node in document.descendants().filter(|node| node.has_attribute("class")) {
        for class in class(node).split(' ').filter(|class| *class != "h") {
            let rule = format!(".{class}{{");
            assert!(light.contains(&rule) && dark.contains(&rule), "{class} has a colour in both");
        }
    }
    let bare =
        document.descendants().filter(|node| matches!(node.tag_name().name(), "rect" | "line" | "path" | "text"));
    assert_eq!(bare.filter(|node| !node.has_attribute("class")).count(), 0, "no colour of the viewer's own");
}

#[test]
fn everything_lies_within_the_picture_and_the_axis_is_labelled() {
    let text = svg(&outcome().timeline, &NAMES);
    let document = Document::parse(&text).unwrap();
    let root = document.root_element();
    let number = |node: Node<'_, '_>, name| node.attribute(name).unwrap().parse::<f64>().unwrap();
    let (width, height) = (number(root, "width"), number(root, "height"));
    for bar in document.descendants().filter(|node| node.has_tag_name("rect")) {
        assert!(number(bar, "x") >= 0.0 && number(bar, "x") + number(bar, "width") <= width);
        assert!(number(bar, "y") >= 0.0 && number(bar, "y") + number(bar, "height") <= height);
    }
    let texts: Vec<&str> =
        document.descendants().filter(|node| node.has_tag_name("text")).filter_map(|t| t.text()).collect();
    let expected = [
        "Schedule over 20 ms",
        "pid <1>",
        "a name that is much t…",
        "the node",
        "release",
        "deadline",
        "0 ns",
        "5 ms",
        "20 ms",
    ];
    for words in expected {
        assert!(texts.contains(&words), "{words} in {texts:?}");
    }
}

#[test]
fn names_are_no_markup_and_nothing_at_all_is_a_picture_too() {
    let hostile = TimelineNames { tasks: &["</text><script>\"&\u{0}\u{1b}"], ..TimelineNames::default() };
    let text = svg(&runner_schedule::simulate::Timeline::default(), &hostile);
    let document = Document::parse(&text).unwrap();
    assert_eq!(document.descendants().filter(|node| node.has_tag_name("script")).count(), 0);
    let names = document.descendants().filter(|node| node.has_tag_name("text")).filter_map(|node| node.text());
    assert_eq!(names.filter(|name| *name == "</text><script>\"&\u{fffd}\u{fffd}").count(), 1);
}
