//! `emit top` on terminals of a test's own, against a false node whose counts are known and a real one.

use std::{
    fs::File,
    io::{Read, Write},
    num::NonZeroU16,
    os::fd::{AsFd, OwnedFd},
    process::Child,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use rustix::{
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};
use shared_ring_messages::{Answer, ContainerReport, LineReport, NodeReport, Request};

use crate::{
    LIMIT,
    emit::{Running, command, wait},
    eventually,
    fake::Fake,
    node::TestNode,
    sample,
};

const SECOND_NS: u64 = 1_000_000_000;

/// A node whose time goes on by a second with every look, and its container's loops by ten. It closes after `looks`.
fn counting(looks: u64) -> Fake {
    let seconds = Arc::new(AtomicU64::new(0));
    Fake::answering(move |request| {
        let now_ns = SECOND_NS
            * match request {
                Request::Info => seconds.fetch_add(1, Ordering::Relaxed) + 1,
                _ => seconds.load(Ordering::Relaxed),
            };
        if now_ns > looks * SECOND_NS {
            return None;
        }
        Some(Ok(match request {
            Request::Info => Answer::Info(Box::new(NodeReport {
                substrate: "a false node".into(),
                uptime_ns: now_ns,
                cells: 2,
                cells_free: 1,
                lines: vec![LineReport { label: "LED".into(), held_as: "output".into(), ..LineReport::default() }],
                counters: vec![("gpio_calls".into(), now_ns / SECOND_NS * 30)],
                ..NodeReport::default()
            })),
            _ => Answer::Containers(vec![ContainerReport {
                name: "blinker".into(),
                state_text: "ready".into(),
                started_ns: 1,
                now_ns,
                loops: now_ns / SECOND_NS * 10,
                ..ContainerReport::default()
            }]),
        }))
    })
}

/// `emit top` on a terminal of its own.
struct OnTerminal {
    child: Child,
    keys: File,
    terminal: OwnedFd,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl OnTerminal {
    fn start(fake: &Fake, columns: u16, rows: u16, arguments: &[&str]) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("there are terminals");
        grantpt(&master).expect("granted");
        unlockpt(&master).expect("unlocked");
        let name = ptsname(&master, Vec::new()).expect("it has a name");
        let name = name.to_str().expect("UTF-8");
        let terminal = File::options().read(true).write(true).open(name).expect("opened");
        tcsetwinsize(&terminal, size(columns, rows)).expect("set");
        // What a serial console's size is taken for where it tells none.
        let (rows, columns) = if rows == 0 { (24, 80) } else { (rows, columns) };
        let screen = Arc::new(Mutex::new(vt100::Parser::new(length(rows), length(columns), 0)));
        let mut reader = File::from(master.try_clone().expect("cloned"));
        let seen = Arc::clone(&screen);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                seen.lock().expect("no panic").process(&buffer[..count]);
            }
        });
        let mut command = command(&[&["top", "--interval", "100ms"], arguments].concat());
        command.env("ATOLL_NODE", fake.socket()).env("TERM", "vt100");
        let clone = || terminal.try_clone().expect("cloned");
        let child = command.stdin(clone()).stdout(clone()).stderr(clone()).spawn().expect("emit can be run");
        Self { child, keys: master.into(), terminal: terminal.into(), screen }
    }

    fn text(&self) -> String {
        self.screen.lock().expect("no panic").screen().contents()
    }

    #[track_caller]
    fn shows(&self, words: &str) {
        eventually(words, || self.text().contains(words));
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).expect("it reads");
    }

    fn signal(&self, signal: Signal) {
        let process = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process");
        kill_process(process, signal).expect("it runs");
    }

    /// Echo, and input by lines, as a shell wants it: what a raw terminal has not.
    fn is_raw(&self) -> bool {
        let modes = tcgetattr(self.terminal.as_fd()).expect("a terminal").local_modes;
        !modes.contains(LocalModes::ECHO) && !modes.contains(LocalModes::ICANON)
    }

    /// Waits for its end; the terminal must be as it was before.
    #[track_caller]
    fn ends(&mut self) -> Option<i32> {
        let code = wait(&mut self.child, LIMIT).code();
        assert!(!self.is_raw());
        eventually("the first screen and the cursor are back", || {
            let parser = self.screen.lock().expect("no panic");
            !parser.screen().alternate_screen() && !parser.screen().hide_cursor()
        });
        code
    }
}

fn length(cells: u16) -> NonZeroU16 {
    NonZeroU16::new(cells).expect("a terminal has cells")
}

fn size(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 }
}

#[test]
fn a_terminal_shows_the_node_obeys_keys_and_is_given_back() {
    let fake = counting(u64::MAX / SECOND_NS);
    let mut top = OnTerminal::start(&fake, 80, 24, &[]);
    top.shows("Atoll  on a false node");
    top.shows("blinker         0 ready        10.0       0       0     0");
    top.shows("gpio calls");
    assert!(top.is_raw() && top.screen.lock().expect("no panic").screen().alternate_screen());
    top.press("\u{1b}[C");
    top.shows("sort: STATE");
    top.press("r");
    top.shows("sort: STATE reversed");
    top.press("\u{1b}[D");
    top.shows("sort: CELL");
    top.press("p");
    top.shows("PAUSED");
    let still = top.text();
    thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(top.text(), still);
    top.press("p");
    eventually("it goes on", || top.text() != still && !top.text().contains("PAUSED"));
    top.press("q");
    assert_eq!(top.ends(), Some(0));
}

#[test]
fn a_serial_console_that_tells_no_size_is_drawn_on() {
    let fake = counting(u64::MAX / SECOND_NS);
    let mut top = OnTerminal::start(&fake, 0, 0, &[]);
    top.shows("blinker         0 ready        10.0");
    top.shows("q quit");
    assert!(top.text().is_ascii());
    top.press("\u{3}");
    assert_eq!(top.ends(), Some(0), "Ctrl-C is a way to leave");
}

#[test]
fn a_terminal_of_another_size_is_drawn_anew() {
    let fake = counting(u64::MAX / SECOND_NS);
    let mut top = OnTerminal::start(&fake, 80, 24, &[]);
    top.shows("10.0");
    assert!(!top.text().contains("HEAP"));
    top.screen.lock().expect("no panic").screen_mut().set_size(length(10), length(120));
    tcsetwinsize(&top.terminal, size(120, 10)).expect("set");
    top.signal(Signal::WINCH);
    top.shows("HEAP");
    top.press("q");
    assert_eq!(top.ends(), Some(0));
}

#[test]
fn a_signal_gives_the_terminal_back_too() {
    let fake = counting(u64::MAX / SECOND_NS);
    for signal in [Signal::TERM, Signal::HUP] {
        let mut top = OnTerminal::start(&fake, 80, 24, &[]);
        top.shows("blinker");
        top.signal(signal);
        assert_eq!(top.ends(), None, "it ends as by the signal");
    }
}

#[test]
fn a_node_that_goes_is_told_and_looked_for() {
    let fake = counting(3);
    let mut top = OnTerminal::start(&fake, 80, 24, &["--timeout", "200ms"]);
    top.shows("looking for it again");
    assert!(top.text().contains("blinker"), "what was seen last stays");
    top.press("q");
    assert_eq!(top.ends(), Some(0));
    let mut top = OnTerminal::start(&fake, 80, 24, &["--timeout", "200ms"]);
    assert_eq!(top.ends(), Some(3), "one that was never there is an error");
}

#[test]
fn a_script_gets_one_frame() {
    let node = TestNode::start();
    node.emit(&["deploy", &sample("blinker"), "--grant", "gpio:LED:out"]).succeeds();
    let text = node.emit(&["top", "--once"]).succeeds();
    let row = text.lines().find(|line| line.starts_with("blinker")).expect("it is shown");
    let figures: Vec<_> = row.split_whitespace().collect();
    let loops: f64 = figures[3].parse().expect("loops a second");
    assert!((8.0..12.0).contains(&loops), "it blinks ten times a second: {text}");
    assert!(text.contains("not seL4") && text.contains("LED (output)") && !text.contains('\u{1b}'), "{text}");

    let value = node.ask(&["top", "--interval", "300ms"]);
    let container = &value["containers"][0];
    assert_eq!((&container["name"], &container["cell"]), (&"blinker".into(), &0.into()));
    assert!(container["loops_per_second"].as_f64().is_some_and(|loops| (5.0..15.0).contains(&loops)), "{container}");
    assert!(value["interval_ns"].as_u64() >= Some(300_000_000) && value["node"]["cells"] == 8, "{value}");

    node.emit(&["top"]).fails(2, &["no terminal", "--once"]);
    let fake = Fake::answering(|_| Some(Ok(Answer::Done)));
    let mut other = command(&["top", "--once"]);
    other.env("ATOLL_NODE", fake.socket());
    Running::start(other).finish().fails(9, &["does not belong to the question"]);
}
