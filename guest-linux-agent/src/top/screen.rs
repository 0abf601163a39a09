//! How `emit top` looks: drawn into a buffer of any size, so that a terminal, a script and a test see the same.
//!
//! In ASCII and without lines to frame it: a serial console may know nothing else. Columns that find no room are left out,
//! the least needed first. Whatever a node puts into a text stays in its place.

use std::cmp::Ordering;

use ratatui::{
    buffer::Buffer,
    layout::Rect,
    style::{Color, Modifier, Style},
};

use super::snapshot::{Row, Snapshot};
use crate::{show, terminal::printable};

/// A column of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    Name,
    Cell,
    State,
    Loops,
    Calls,
    Fuel,
    Refused,
    Lost,
    Starts,
    Memory,
    Heap,
    RunsFor,
}

/// From left to right.
pub(super) const COLUMNS: [Column; 12] = [
    Column::Name,
    Column::Cell,
    Column::State,
    Column::Loops,
    Column::Calls,
    Column::Fuel,
    Column::Refused,
    Column::Lost,
    Column::Starts,
    Column::Memory,
    Column::Heap,
    Column::RunsFor,
];

/// Left out where there is no room, in this order. The others stay whatever happens.
const EXPENDABLE: [Column; 8] = [
    Column::Heap,
    Column::Fuel,
    Column::Starts,
    Column::Memory,
    Column::Lost,
    Column::RunsFor,
    Column::Refused,
    Column::Calls,
];

/// Names have this room at the least and at the most.
const NAME_WIDTHS: (u16, u16) = (12, 40);

impl Column {
    fn head(self) -> &'static str {
        match self {
            Self::Name => "NAME",
            Self::Cell => "CELL",
            Self::State => "STATE",
            Self::Loops => "LOOPS/S",
            Self::Calls => "CALLS/S",
            Self::Fuel => "FUEL/S",
            Self::Refused => "REFUSED",
            Self::Lost => "LOST",
            Self::Starts => "STARTS",
            Self::Memory => "MEMORY",
            Self::Heap => "HEAP",
            Self::RunsFor => "RUNS FOR",
        }
    }

    /// Its width without the space before it; that of names is what is left.
    fn width(self) -> u16 {
        match self {
            Self::Name => 0,
            Self::Cell => 4,
            Self::Lost => 5,
            Self::Starts | Self::Memory | Self::Heap | Self::Fuel => 6,
            Self::Loops | Self::Calls | Self::Refused => 7,
            Self::RunsFor => 8,
            Self::State => 9,
        }
    }

    fn is_text(self) -> bool {
        matches!(self, Self::Name | Self::State)
    }

    fn cell(self, row: &Row) -> String {
        let report = &row.report;
        let rate = |rate: Option<f64>| rate.map_or_else(|| "-".to_owned(), compact);
        match self {
            Self::Name => one_line(&report.name),
            Self::Cell => report.cell.to_string(),
            Self::State => one_line(&report.state_text),
            Self::Loops => rate(row.rates.map(|rates| rates.loops)),
            Self::Calls => rate(row.rates.map(|rates| rates.host_calls)),
            Self::Fuel => rate(row.rates.map(|rates| rates.fuel)),
            Self::Refused => count(report.refused_calls),
            Self::Lost => count(report.output_lost),
            Self::Starts => count(report.new_starts.into()),
            Self::Memory => bytes(report.linear_memory_bytes),
            Self::Heap => bytes(report.heap_bytes),
            Self::RunsFor => row.runs_for_ns().map_or_else(|| "-".to_owned(), time),
        }
    }

    /// Text from A, the cell from 0, and counts from the largest.
    fn compare(self, one: &Row, other: &Row) -> Ordering {
        let rate = |of: fn(&Row) -> Option<f64>| {
            of(other).unwrap_or(f64::NEG_INFINITY).total_cmp(&of(one).unwrap_or(f64::NEG_INFINITY))
        };
        let (a, b) = (&one.report, &other.report);
        match self {
            Self::Name => a.name.cmp(&b.name),
            Self::Cell => a.cell.cmp(&b.cell),
            Self::State => a.state_text.cmp(&b.state_text),
            Self::Loops => rate(|row| Some(row.rates?.loops)),
            Self::Calls => rate(|row| Some(row.rates?.host_calls)),
            Self::Fuel => rate(|row| Some(row.rates?.fuel)),
            Self::Refused => b.refused_calls.cmp(&a.refused_calls),
            Self::Lost => b.output_lost.cmp(&a.output_lost),
            Self::Starts => b.new_starts.cmp(&a.new_starts),
            Self::Memory => b.linear_memory_bytes.cmp(&a.linear_memory_bytes),
            Self::Heap => b.heap_bytes.cmp(&a.heap_bytes),
            Self::RunsFor => other.runs_for_ns().cmp(&one.runs_for_ns()),
        }
    }
}

/// What the person chose.
#[derive(Clone, Debug)]
pub(super) struct Controls {
    pub(super) sort: Column,
    pub(super) reversed: bool,
    /// The name of the container that is shown in full; the first one's where there is none of that name.
    pub(super) selected: String,
    pub(super) paused: bool,
    /// Shown in place of the keys.
    pub(super) message: Option<String>,
    /// For a script: every container in full, no keys, nothing chosen.
    pub(super) plain: bool,
}

impl Default for Controls {
    fn default() -> Self {
        Self {
            sort: Column::Cell,
            reversed: false,
            selected: String::new(),
            paused: false,
            message: None,
            plain: false,
        }
    }
}

impl Controls {
    /// The rows in the chosen order.
    fn sorted<'a>(&self, snapshot: &'a Snapshot) -> Vec<&'a Row> {
        let mut rows: Vec<&Row> = snapshot.rows.iter().collect();
        // By cell where the column tells nothing apart, so that rows stay where they are.
        rows.sort_by(|one, other| {
            let order = self.sort.compare(one, other);
            let order = if self.reversed { order.reverse() } else { order };
            order.then(one.report.cell.cmp(&other.report.cell))
        });
        rows
    }

    fn selected_row(&self, rows: &[&Row]) -> usize {
        rows.iter().position(|row| row.report.name == self.selected).unwrap_or(0)
    }

    /// Chooses the container so many rows further down.
    pub(super) fn select(&mut self, snapshot: &Snapshot, by: isize) {
        let rows = self.sorted(snapshot);
        let at = self.selected_row(&rows).saturating_add_signed(by).min(rows.len().saturating_sub(1));
        self.selected = rows.get(at).map(|row| row.report.name.clone()).unwrap_or_default();
    }

    /// Chooses the column so many further right, round about.
    pub(super) fn sort_by(&mut self, by: usize) {
        let at = COLUMNS.iter().position(|&column| column == self.sort).unwrap_or(0);
        self.sort = COLUMNS[(at + by) % COLUMNS.len()];
        self.reversed = false;
    }
}

/// Rows that a script's frame has room for besides the containers.
const PLAIN_REST: u16 = 24;

/// The whole as text, a line each, as wide as it is told.
pub(super) fn plain(snapshot: &Snapshot, width: u16) -> String {
    let rows = u16::try_from(snapshot.rows.len() * 4).unwrap_or(u16::MAX - PLAIN_REST);
    let area = Rect::new(0, 0, width, rows.saturating_add(PLAIN_REST));
    let mut buffer = Buffer::empty(area);
    draw(snapshot, &Controls { plain: true, ..Controls::default() }, area, &mut buffer);
    let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
    let lines: Vec<String> = (0..area.height).map(line).collect();
    format!("{}\n", lines.join("\n").trim_end())
}

/// Draws all of it.
pub(super) fn draw(snapshot: &Snapshot, controls: &Controls, area: Rect, buffer: &mut Buffer) {
    let mut page = Page { area, buffer, next: area.y, end: area.bottom() };
    let rows = controls.sorted(snapshot);
    for line in heading(snapshot, controls.paused) {
        page.line(&line, Style::new());
    }
    let selected = controls.selected_row(&rows);
    let details = match rows.get(selected).filter(|_| !controls.plain) {
        Some(row) => details(row),
        None => Vec::new(),
    };
    let mut below: Vec<(String, Style)> = Vec::new();
    for texts in [details, vec![lines_text(snapshot), counters_text(snapshot)]] {
        let lines = texts.iter().filter(|text| !text.is_empty()).flat_map(|text| wrapped(text, area.width));
        let lines: Vec<String> = lines.collect();
        if !lines.is_empty() {
            below.extend(std::iter::once(String::new()).chain(lines).map(|line| (line, Style::new())));
        }
    }
    if !controls.plain {
        below.push(footer(controls));
    }
    let below_rows = u16::try_from(below.len()).unwrap_or(u16::MAX);
    page.blank();
    page.end = area.bottom().saturating_sub(below_rows).max(page.next.saturating_add(2)).min(area.bottom());
    table(&mut page, controls, &rows, selected);
    if !controls.plain {
        // At the bottom, whatever room the table leaves.
        page.next = page.end;
    }
    page.end = area.bottom();
    for (line, style) in below {
        page.line(&line, style);
    }
}

/// The most lines that one text takes.
const MAX_WRAPPED: usize = 3;

/// A text on as many lines as it needs, broken at spaces; those behind the first are indented.
fn wrapped(text: &str, width: u16) -> Vec<String> {
    let text = one_line(text);
    let mut lines = vec![String::new()];
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let line = lines.last_mut().map_or(0, |line| line.chars().count());
        if line > 0 && line + 1 + word.chars().count() > width.into() {
            if lines.len() == MAX_WRAPPED {
                break;
            }
            lines.push(format!(" {word}"));
        } else if let Some(last) = lines.last_mut() {
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(word);
        }
    }
    lines
}

/// Where the next line goes.
struct Page<'a> {
    area: Rect,
    buffer: &'a mut Buffer,
    next: u16,
    /// Behind the last row that may be used now.
    end: u16,
}

impl Page<'_> {
    fn blank(&mut self) {
        self.next = self.next.saturating_add(1);
    }

    fn line(&mut self, text: &str, style: Style) {
        if self.next < self.end {
            let width = usize::from(self.area.width);
            self.buffer.set_stringn(self.area.x, self.next, one_line(text), width, style);
            if style != Style::new() {
                self.buffer.set_style(Rect::new(self.area.x, self.next, self.area.width, 1), style);
            }
        }
        self.blank();
    }

    fn rows_left(&self) -> usize {
        self.end.saturating_sub(self.next).into()
    }
}

fn heading(snapshot: &Snapshot, paused: bool) -> Vec<String> {
    let node = &snapshot.node;
    let paused = if paused { "   PAUSED" } else { "" };
    let mut cells: Vec<String> = (0..node.cells).map(|cell| format!("{cell} -")).collect();
    for row in &snapshot.rows {
        if let Some(cell) = cells.get_mut(usize::from(row.report.cell)) {
            let restarts = row.report.cell_restarts;
            let again = if restarts == 0 { String::new() } else { format!(" (anew {restarts}x)") };
            *cell = format!("{} {}{again}", row.report.cell, row.report.name);
        }
    }
    vec![
        format!("Atoll {} on {}, board {}{paused}", node.version, node.substrate, node.board),
        format!("up for {}, {} cells, {} free", show::duration(node.uptime_ns), node.cells, node.cells_free),
        format!("cells: {}", cells.join("  ")),
    ]
}

fn table(page: &mut Page, controls: &Controls, rows: &[&Row], selected: usize) {
    let columns = columns(page.area.width, controls.sort);
    let taken: u16 = columns.iter().map(|column| column.width() + 1).sum();
    let longest = rows.iter().map(|row| row.report.name.chars().count()).max().unwrap_or(0);
    let longest = u16::try_from(longest).unwrap_or(u16::MAX);
    let (least, most) = NAME_WIDTHS;
    // The name's own width of 0 is among those taken.
    let name_width = (page.area.width + 1).saturating_sub(taken).min(longest.clamp(least, most));
    let header: Vec<String> = columns.iter().map(|column| column.head().to_owned()).collect();
    page.line(&join(&columns, &header, name_width), Style::new().add_modifier(Modifier::BOLD));
    if rows.is_empty() {
        page.line("no containers; `emit deploy FILE` brings one", Style::new());
    }
    // The chosen one is always in sight.
    let room = page.rows_left();
    let first = (selected + 1).saturating_sub(room.max(1));
    for (number, row) in rows.iter().enumerate().skip(first).take(room) {
        let cells: Vec<String> = columns.iter().map(|column| column.cell(row)).collect();
        let mut style = Style::new();
        if row.has_failed() {
            style = style.fg(Color::Red);
        }
        if number == selected && !controls.plain {
            style = style.add_modifier(Modifier::REVERSED);
        }
        page.line(&join(&columns, &cells, name_width), style);
        if controls.plain && (row.has_failed() || row.report.next_start_ns != 0) {
            page.line(&format!("  {}", show::state(&row.report)), Style::new());
        }
    }
}

/// The columns that there is room for; the one that rows are sorted by is among them.
fn columns(width: u16, sort: Column) -> Vec<Column> {
    let mut columns = COLUMNS.to_vec();
    for expendable in EXPENDABLE.into_iter().filter(|&column| column != sort) {
        let needed: u16 = columns.iter().map(|column| column.width() + 1).sum();
        if needed.saturating_sub(1) + NAME_WIDTHS.0 <= width {
            break;
        }
        columns.retain(|&column| column != expendable);
    }
    columns
}

/// A row of the table: text to the left, numbers to the right, each within its width.
fn join(columns: &[Column], cells: &[String], name_width: u16) -> String {
    let cells = columns.iter().zip(cells).map(|(column, cell)| {
        let width = usize::from(if *column == Column::Name { name_width } else { column.width() });
        let cut: String = if cell.chars().count() > width {
            cell.chars().take(width.saturating_sub(1)).chain(['~']).collect()
        } else {
            cell.clone()
        };
        if column.is_text() { format!("{cut:<width$}") } else { format!("{cut:>width$}") }
    });
    cells.collect::<Vec<_>>().join(" ")
}

/// All about one container, in three lines or four.
fn details(row: &Row) -> Vec<String> {
    let report = &row.report;
    let list = |items: &[String]| if items.is_empty() { "none".to_owned() } else { items.join(", ") };
    let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    let (world, restart) = (or_dash(&report.world), or_dash(&report.restart));
    let mut lines = vec![
        format!("{}: {}", report.name, show::state(report)),
        format!(
            "world {world}, restart {restart} ({} new starts), heap {}",
            report.new_starts,
            bytes(report.heap_bytes)
        ),
        format!("grants {}", list(&report.grants.iter().map(|grant| grant.right.clone()).collect::<Vec<_>>())),
    ];
    if !report.fault_text.is_empty() {
        lines.push(format!("last fault of the cell: {}", report.fault_text));
    }
    lines
}

/// The lines that somebody holds.
fn lines_text(snapshot: &Snapshot) -> String {
    let one = |line: &super::snapshot::HeldLine| {
        let level = if line.report.high { "high" } else { "low" };
        let rate = line.rate.map_or_else(String::new, |rate| format!(" {}/s", compact(rate)));
        format!("{} ({}) {level}{rate}", line.report.label, line.report.held_as)
    };
    let all: Vec<String> = snapshot.lines.iter().map(one).collect();
    if all.is_empty() { String::new() } else { format!("lines: {}", all.join(", ")) }
}

/// What the node counted, as far as it did: what rises first.
fn counters_text(snapshot: &Snapshot) -> String {
    let mut counted: Vec<_> = snapshot.counters.iter().filter(|(_, count, _)| *count > 0).collect();
    // Those that say that something is wrong do not rise all the time.
    counted.sort_by_key(|(name, ..)| (name.ends_with("_calls"), name.starts_with("timer_")));
    let one = |(name, total, rate): &&(String, u64, Option<f64>)| {
        let rate = rate.filter(|rate| *rate > 0.0).map_or_else(String::new, |rate| format!(" {}/s", compact(rate)));
        format!("{} {}{rate}", name.replace('_', " "), count(*total))
    };
    let all: Vec<String> = counted.iter().map(one).collect();
    if all.is_empty() { String::new() } else { format!("counted: {}", all.join(", ")) }
}

fn footer(controls: &Controls) -> (String, Style) {
    let style = Style::new().add_modifier(Modifier::BOLD);
    if let Some(message) = &controls.message {
        return (message.clone(), style);
    }
    let order = if controls.reversed { " reversed" } else { "" };
    let pause = if controls.paused { "p go on" } else { "p pause" };
    let sort = controls.sort.head();
    (format!("q quit  left/right sort: {sort}{order}  r reverse  up/down choose  {pause}"), style)
}

/// Text on one line that cannot steer the terminal.
fn one_line(text: &str) -> String {
    printable(text).replace(['\n', '\t'], " ")
}

/// A number in at the most five characters.
fn compact(value: f64) -> String {
    const UNITS: [&str; 5] = ["", "k", "M", "G", "T"];
    let mut value = value;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    // Nothing is nothing, and a little is not.
    let digits = if value == 0.0 || value >= 99.95 { 0 } else { 1 };
    format!("{value:.digits$}{}", UNITS[unit])
}

/// A count exactly while it has at the most five digits.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn count(count: u64) -> String {
    if count < 100_000 { count.to_string() } else { compact(count as f64) }
}

/// Bytes in at the most six characters, in powers of 1,024.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "K", "M", "G", "T"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1023.5 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let digits = if unit == 0 || value >= 99.95 || value.fract() == 0.0 { 0 } else { 1 };
    format!("{value:.digits$}{}", UNITS[unit])
}

/// A duration in at the most eight characters.
fn time(nanoseconds: u64) -> String {
    let seconds = nanoseconds / 1_000_000_000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::snapshot::tests::sample, *};
    use ratatui::{Terminal, backend::TestBackend};

    fn snapshot() -> Snapshot {
        Snapshot::new(Some(&sample(62)), &sample(64))
    }

    fn drawn(width: u16, height: u16, snapshot: &Snapshot, controls: &Controls) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("made");
        terminal.draw(|frame| draw(snapshot, controls, frame.area(), frame.buffer_mut())).expect("drawn");
        let text = terminal.backend().to_string();
        // Each line stands in quotation marks.
        text.lines().map(|line| line.trim_matches('"').trim_end().to_owned()).collect()
    }

    fn text(width: u16, height: u16, controls: &Controls) -> String {
        drawn(width, height, &snapshot(), controls).join("\n")
    }

    fn names(controls: &Controls) -> Vec<String> {
        let lines = drawn(80, 24, &snapshot(), controls);
        lines[5..7].iter().map(|line| line.split(' ').next().unwrap_or("").to_owned()).collect()
    }

    #[test]
    fn a_console_of_80_by_24() {
        let expected = "\
Atoll 0.1.0 on Linux host (not seL4), board qemu_virt_aarch64
up for 1 min 4 s, 4 cells, 2 free
cells: 0 blinker  1 -  2 a-container-of-a-rather-long-name  3 -

NAME         CELL STATE     LOOPS/S CALLS/S REFUSED  LOST STARTS MEMORY RUNS FOR
blinker         0 ready        10.0    2.5k       0     0      0    64K    1m03s
a-container~    2 failed          0       0    123k     7      3     4M      1 s










blinker: ready
world reactor, restart on-failure (0 new starts), heap 106K
grants gpio:LED:out, timer:10ms

lines: LED (output) high 10.0/s, SENSOR (input) low 0/s
counted: containers failed 4, gpio calls 1920 30.0/s
q quit  left/right sort: CELL  r reverse  up/down choose  p pause";
        assert_eq!(text(80, 24, &Controls::default()), expected);
        assert!(expected.is_ascii(), "a serial console knows nothing else");
    }

    #[test]
    fn a_script_gets_every_column_and_every_reason() {
        let expected = "\
Atoll 0.1.0 on Linux host (not seL4), board qemu_virt_aarch64
up for 1 min 4 s, 4 cells, 2 free
cells: 0 blinker  1 -  2 a-container-of-a-rather-long-name  3 -

NAME                              CELL STATE     LOOPS/S CALLS/S FUEL/S REFUSED  LOST STARTS MEMORY   HEAP RUNS FOR
blinker                              0 ready        10.0    2.5k   1.2M       0     0      0    64K   106K    1m03s
a-container-of-a-rather-long-name    2 failed          0       0      0    123k     7      3     4M     0B      1 s
  failed: trap: unreachable; given up after 3 new starts

lines: LED (output) high 10.0/s, SENSOR (input) low 0/s
counted: containers failed 4, gpio calls 1920 30.0/s
";
        assert_eq!(plain(&snapshot(), 132), expected);
    }

    #[test]
    fn rows_are_sorted_as_chosen() {
        let mut controls = Controls::default();
        assert_eq!(names(&controls), ["blinker", "a-container~"]);
        controls.sort_by(COLUMNS.len() - 1);
        assert_eq!((controls.sort, names(&controls)[0].as_str()), (Column::Name, "a-container~"));
        controls.reversed = true;
        assert_eq!(names(&controls)[0], "blinker");
        controls.sort_by(1);
        assert!(!controls.reversed && controls.sort == Column::Cell);
        let first = |sort| names(&Controls { sort, ..Controls::default() }).remove(0);
        assert_eq!(first(Column::Loops), "blinker", "the fastest first");
        assert_eq!(first(Column::Refused), "a-container~", "the most refused first");
        let heap = text(80, 24, &Controls { sort: Column::Heap, ..Controls::default() });
        assert!(heap.contains("HEAP") && heap.contains("sort: HEAP"), "what is sorted by is shown: {heap}");
    }

    #[test]
    fn the_chosen_one_is_told_in_full_and_kept_in_sight() {
        let mut controls = Controls::default();
        controls.select(&snapshot(), 1);
        assert_eq!(controls.selected, "a-container-of-a-rather-long-name");
        let full = text(80, 24, &controls);
        let expected = "a-container-of-a-rather-long-name: failed: trap: unreachable; given up after 3\n new starts";
        assert!(full.contains(expected), "{full}");
        controls.select(&snapshot(), 5);
        assert_eq!(controls.selected, "a-container-of-a-rather-long-name", "it is the last");
        controls.select(&snapshot(), -1);
        assert_eq!(controls.selected, "blinker");
        controls.selected = "gone".into();
        assert!(text(80, 24, &controls).contains("\nblinker: ready\n"));

        let mut many = snapshot();
        many.rows = (0..40)
            .map(|cell| Row {
                report: shared_ring_messages::ContainerReport {
                    name: format!("container-{cell}"),
                    cell,
                    ..Default::default()
                },
                rates: None,
            })
            .collect();
        let controls = Controls { selected: "container-33".into(), ..Controls::default() };
        let lines = drawn(80, 24, &many, &controls);
        let shown: Vec<_> = lines.iter().filter(|line| line.starts_with("container-") && !line.contains(':')).collect();
        assert!(shown.last().is_some_and(|line| line.starts_with("container-33")), "{lines:?}");
        assert!(lines[23].starts_with("q quit"), "{lines:?}");
    }

    #[test]
    fn it_is_said_when_the_view_stands_still() {
        let paused = text(80, 24, &Controls { paused: true, ..Controls::default() });
        assert!(paused.lines().next().is_some_and(|line| line.ends_with("PAUSED")) && paused.contains("p go on"));
        let message = Some("the node closed the connection".to_owned());
        assert!(text(80, 24, &Controls { message, ..Controls::default() }).ends_with("the node closed the connection"));
    }

    #[test]
    fn any_terminal_is_large_enough() {
        for width in [0, 1, 5, 12, 40, 79, 200] {
            for height in [0, 1, 4, 9, 60] {
                let area = Rect::new(0, 0, width, height);
                draw(&snapshot(), &Controls::default(), area, &mut Buffer::empty(area));
            }
        }
        let small = drawn(40, 9, &snapshot(), &Controls::default());
        assert!(small[4].starts_with("NAME") && small[5].starts_with("blinker"), "the table comes first: {small:?}");
        let no_containers = plain(&Snapshot::default(), 80);
        assert!(no_containers.contains("no containers"), "{no_containers}");
    }

    #[test]
    fn a_nodes_text_stays_in_its_place() {
        let mut hostile = snapshot();
        let evil = "\u{1b}[2J\u{9b}1m\r\nq\t";
        hostile.node.board = evil.into();
        hostile.counters.push((evil.into(), 1, None));
        hostile.lines[0].report.label = evil.into();
        hostile.rows[0].report.name = evil.into();
        hostile.rows[1].report.state_text = evil.into();
        let text = plain(&hostile, 132);
        assert!(!text.contains(['\u{1b}', '\u{9b}', '\r', '\t']) && text.contains("\u{fffd}[2J"), "{text:?}");
        assert_eq!(text.lines().count(), plain(&snapshot(), 132).lines().count());
    }

    #[test]
    fn compact_figures_keep_their_room() {
        let figures = [0.0, 0.04, 9.96, 99.96, 999.4, 999.6, 1234.0, 999_600.0, 1e9, 1e15];
        assert_eq!(
            figures.map(compact),
            ["0", "0.0", "10.0", "100", "999", "1.0k", "1.2k", "1.0M", "1.0G", "1000T"].map(str::to_owned)
        );
        assert_eq!([0, 1023, 1024, 65536, 108_904, 4 << 20].map(bytes), ["0B", "1023B", "1K", "64K", "106K", "4M"]);
        assert_eq!([99_999, 100_000, u64::MAX].map(count), ["99999", "100k", "18446744T"]);
        let second = 1_000_000_000;
        let times = [0, 59 * second, 61 * second, 3661 * second, 90_061 * second];
        assert_eq!(times.map(time), ["0 s", "59 s", "1m01s", "1h01m", "1d01h"]);
    }
}
