//! A recorded stretch as a picture: plain SVG, for a page in light or dark, without scripts or fonts of its own.

use std::{fmt::Write, format, string::String, vec::Vec};

use super::outcome::{Mark, MarkKind, Row, Segment, Timeline};
use crate::Span;

/// What the picture calls things, in the order of the scenario. What has no name gets its number.
#[derive(Debug, Clone, Copy, Default)]
pub struct TimelineNames<'a> {
    /// The tasks: a row each.
    pub tasks: &'a [&'a str],
    /// The platform's drivers.
    pub drivers: &'a [&'a str],
    /// The platform's system tasks.
    pub system: &'a [&'a str],
}

/// Left edge of the time axis: room for a container's name of some twenty letters; longer ones are cut.
const LEFT: u32 = 168;
/// Width of the time axis. With the margins, what fits a page of text.
const WIDTH: u32 = 760;
const RIGHT: u32 = 32;
/// Room for heading and legend.
const TOP: u32 = 64;
/// Height of a row, and of the bar in it: arrows stand above the bar, deadlines hang below.
const ROW: u32 = 40;
const BAR: u32 = 18;
const BOTTOM: u32 = 40;
/// Letters of a name that fit before the axis.
const NAME_LETTERS: usize = 22;
/// At most so many labels on the axis, so that they do not touch.
const LABELS: u64 = 9;

/// Colours of the two schemes: text, lines; a task's own time, drivers' time for it, the node's time, misses. Each stands out from its
/// background, and neighbours also differ in lightness, for those who see no colours.
const STYLE: &str = "\
.a{font:12px system-ui,sans-serif;fill:#1f2328}.h{font-weight:600;font-size:14px}.s{fill:#59636e}\
.g{stroke:#d1d9e0;stroke-width:1}.b{stroke:#59636e;stroke-width:1}\
.t{fill:#0969da}.d{fill:#bc4c00}.n{fill:#8c959f}.r{stroke:#1f2328;stroke-width:1.5;fill:none}\
.l{stroke:#59636e;stroke-width:1.5;fill:none}.m{stroke:#cf222e;stroke-width:2.5;fill:none}\
@media(prefers-color-scheme:dark){.a{fill:#e6edf3}.s{fill:#9198a1}.g{stroke:#30363d}.b{stroke:#9198a1}\
.t{fill:#4493f8}.d{fill:#f0883e}.n{fill:#6e7681}.r{stroke:#e6edf3}.l{stroke:#9198a1}.m{stroke:#ff7b72}}";

/// Draws a timeline: a row for each task and one for the node itself; releases as arrows up, deadlines as arrows down, missed ones
/// crossed. A bar's title says whose it is, from when, and how long.
#[must_use]
pub fn svg(timeline: &Timeline, names: &TimelineNames<'_>) -> String {
    let tasks = rows(timeline, names);
    let picture = Picture { timeline, names, tasks };
    picture.draw()
}

/// As many rows as there are names, or more where more is shown.
fn rows(timeline: &Timeline, names: &TimelineNames<'_>) -> usize {
    let ran = timeline.segments.iter().filter_map(|segment| match segment.row {
        Row::Task(task) | Row::Driver { task, .. } => Some(task + 1),
        Row::System(_) | Row::Background => None,
    });
    let marked = timeline.marks.iter().map(|mark| mark.task + 1);
    ran.chain(marked).max().unwrap_or(0).max(names.tasks.len())
}

struct Picture<'a> {
    timeline: &'a Timeline,
    names: &'a TimelineNames<'a>,
    tasks: usize,
}

impl Picture<'_> {
    fn draw(&self) -> String {
        let mut out = String::new();
        let (width, height) = (LEFT + WIDTH + RIGHT, self.bottom() + BOTTOM);
        let range = &self.timeline.range;
        let length = Span(range.end - range.start);
        push(
            &mut out,
            format_args!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\">\n\
             <title>Schedule of {} tasks over {length}</title>\n<style>{STYLE}</style>\n",
                self.tasks
            ),
        );
        self.legend(&mut out);
        self.axis(&mut out);
        self.row_names(&mut out);
        self.timeline.segments.iter().for_each(|segment| self.segment(&mut out, segment));
        self.timeline.marks.iter().for_each(|mark| self.mark(&mut out, mark));
        out.push_str("</svg>\n");
        out
    }

    /// Below the last row; the node's own comes after the tasks'.
    fn bottom(&self) -> u32 {
        TOP + ROW * (u32::try_from(self.tasks).unwrap_or(u32::MAX / (2 * ROW)) + 1)
    }

    /// Upper edge of a bar.
    fn bar(&self, row: usize) -> u32 {
        TOP + ROW * u32::try_from(row).unwrap_or(u32::MAX / (2 * ROW)) + (ROW - BAR) / 2
    }

    fn x(&self, at_ns: u64) -> f64 {
        let range = &self.timeline.range;
        // Pictures are drawn to tenths of a pixel; a float is exact enough for that.
        #[expect(clippy::cast_precision_loss, reason = "a place on a page")]
        let share = at_ns.saturating_sub(range.start) as f64 / (range.end - range.start).max(1) as f64;
        f64::from(LEFT) + share * f64::from(WIDTH)
    }

    fn legend(&self, out: &mut String) {
        let length = Span(self.timeline.range.end - self.timeline.range.start);
        push(out, format_args!("<text class=\"a h\" x=\"8\" y=\"20\">Schedule over {length}</text>\n"));
        let entries = [("t", "in its cell"), ("d", "driver, for it"), ("n", "the node itself")];
        for (place, (class, words)) in (0..).zip(entries) {
            let x = LEFT + place * 130;
            push(
                out,
                format_args!(
                    "<g><rect class=\"{class}\" x=\"{x}\" y=\"32\" width=\"12\" height=\"12\"/>\
                 <text class=\"a\" x=\"{}\" y=\"42\">{words}</text></g>\n",
                    x + 18
                ),
            );
        }
        let marks = [
            (0, "r", "m5 46v-14m-3 4l3 -4l3 4", "release"),
            (85, "l", "m5 32v14m-3 -4l3 4l3 -4", "deadline"),
            (175, "m", "m0 34l10 10m0 -10l-10 10", "missed"),
            (255, "m", "m0 39h10", "skipped"),
        ];
        for (right, class, path, words) in marks {
            let x = LEFT + 390 + right;
            push(
                out,
                format_args!(
                    "<path class=\"{class}\" d=\"M{x} 0{path}\"/><text class=\"a\" x=\"{}\" y=\"42\">{words}</text>\n",
                    x + 16
                ),
            );
        }
    }

    fn axis(&self, out: &mut String) {
        let range = &self.timeline.range;
        let step_ns = step_ns(range.end - range.start);
        let mut at_ns = range.start.next_multiple_of(step_ns);
        while at_ns <= range.end {
            let (x, bottom) = (self.x(at_ns), self.bottom());
            push(
                out,
                format_args!(
                    "<line class=\"g\" x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\"/>\
                 <text class=\"a s\" x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n",
                    bottom + 18,
                    Span(at_ns)
                ),
            );
            at_ns += step_ns;
        }
    }

    fn row_names(&self, out: &mut String) {
        for row in 0..=self.tasks {
            let name = if row == self.tasks { String::from("the node") } else { task_name(self.names, row) };
            let base = self.bar(row) + BAR;
            push(
                out,
                format_args!(
                    "<text class=\"a\" x=\"8\" y=\"{}\">{}</text><line class=\"b\" x1=\"{LEFT}\" y1=\"{base}\" x2=\"{}\" y2=\"{base}\"/>\n",
                    base - 5,
                    escaped(&shortened(&name)),
                    LEFT + WIDTH
                ),
            );
        }
    }

    fn segment(&self, out: &mut String, segment: &Segment) {
        let (row, class) = match segment.row {
            Row::Task(task) => (task, "t"),
            Row::Driver { task, .. } => (task, "d"),
            Row::System(_) | Row::Background => (self.tasks, "n"),
        };
        let (x, y) = (self.x(segment.from_ns), self.bar(row));
        // A sliver that nobody would see is drawn half a pixel wide.
        let width = (self.x(segment.to_ns) - x).max(0.5);
        let (from, length) = (Span(segment.from_ns), Span(segment.to_ns - segment.from_ns));
        push(
            out,
            format_args!(
                "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\">\
             <title>{}: {length} from {from}</title></rect>\n",
                escaped(&self.segment_name(segment.row))
            ),
        );
    }

    fn segment_name(&self, row: Row) -> String {
        match row {
            Row::Task(task) => task_name(self.names, task),
            Row::Driver { task, driver } => {
                format!("{}, for {}", named(self.names.drivers, driver, "driver"), task_name(self.names, task))
            }
            Row::System(system) => named(self.names.system, system, "system task"),
            Row::Background => String::from("less urgent"),
        }
    }

    fn mark(&self, out: &mut String, mark: &Mark) {
        let (x, base) = (self.x(mark.at_ns), self.bar(mark.task) + BAR);
        let (class, path, what) = match mark.kind {
            MarkKind::Release => ("r", format!("M{x:.1} {base}v-26m-3 4l3 -4l3 4"), "release"),
            MarkKind::Deadline => ("l", format!("M{x:.1} {}v26m-3 -4l3 4l3 -4", base - 18), "deadline"),
            MarkKind::Miss => ("m", format!("M{:.1} {}l10 10m0 -10l-10 10", x - 5.0, base - 14), "missed deadline"),
            MarkKind::Skip => ("m", format!("M{:.1} {}h10", x - 5.0, base - 26), "skipped release"),
        };
        let name = escaped(&task_name(self.names, mark.task));
        let at = Span(mark.at_ns);
        push(out, format_args!("<path class=\"{class}\" d=\"{path}\"><title>{name}: {what} at {at}</title></path>\n"));
    }
}

fn push(out: &mut String, arguments: core::fmt::Arguments<'_>) {
    out.write_fmt(arguments).expect("a string takes everything");
}

fn task_name(names: &TimelineNames<'_>, task: usize) -> String {
    named(names.tasks, task, "task")
}

fn named(names: &[&str], index: usize, otherwise: &str) -> String {
    names.get(index).map_or_else(|| format!("{otherwise} {index}"), |name| String::from(*name))
}

fn shortened(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    if letters.len() <= NAME_LETTERS {
        return String::from(name);
    }
    letters[..NAME_LETTERS - 1].iter().chain(&['…']).collect()
}

/// Names come from manifests: nothing in them is markup, and nothing that XML cannot say gets through.
fn escaped(name: &str) -> String {
    let mut out = String::new();
    for letter in name.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            control if control.is_control() || matches!(control, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

/// Between labels: 1, 2 or 5 of a power of ten.
fn step_ns(length_ns: u64) -> u64 {
    let mut ten: u64 = 1;
    loop {
        for step_ns in [ten, ten.saturating_mul(2), ten.saturating_mul(5)] {
            if length_ns / step_ns < LABELS {
                return step_ns;
            }
        }
        ten = ten.saturating_mul(10);
    }
}
