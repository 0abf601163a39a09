//! The console against machines that say the wrong thing, too much, or nothing.

use std::io::{self, Cursor, PipeReader, PipeWriter, pipe};

use super::*;

const SOON: Duration = Duration::from_secs(10);
const NOT_NOW: Duration = Duration::from_millis(60);

/// A console and the two ends a machine would hold: what it writes to and what it reads from.
fn console() -> (Console, PipeWriter, PipeReader) {
    let (output, machine_output) = pipe().expect("a pipe");
    let (machine_input, input) = pipe().expect("a pipe");
    (Console::new(output, input), machine_output, machine_input)
}

fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).expect("a valid expression")
}

#[test]
fn matches_go_on_one_behind_the_other() {
    let (mut console, mut machine, _input) = console();
    machine.write_all(b"boot one\nboot two\n").expect("written");
    assert_eq!(console.expect("boot", SOON).expect("the first").before, "");
    let second = console.expect("boot", SOON).expect("the second");
    assert_eq!(second.before, " one\n");
    assert!(matches!(console.expect("boot", NOT_NOW), Err(ConsoleError::Timeout { .. })));
}

#[test]
fn a_match_may_arrive_in_pieces() {
    let (mut console, mut machine, _input) = console();
    let slow = thread::spawn(move || {
        for byte in b"...Atoll guest ready" {
            machine.write_all(&[*byte]).expect("written");
            thread::sleep(Duration::from_millis(2));
        }
        machine
    });
    assert_eq!(console.expect("Atoll guest ready", SOON).expect("found").before, "...");
    drop(slow.join());
}

#[test]
fn groups_of_an_expression_are_returned() {
    let (mut console, mut machine, _input) = console();
    machine.write_all(b"pin 17 is high, pin x").expect("written");
    let found = console.expect(regex(r"pin (\d+) is (high|low)( again)?"), SOON).expect("found");
    assert_eq!(found.groups, ["17", "high", ""]);
    assert_eq!(found.text, "pin 17 is high");
}

#[test]
fn a_timeout_shows_what_was_said_last() {
    let (mut console, mut machine, _input) = console();
    machine.write_all(b"Kernel panic - not syncing\r\n").expect("written");
    let error = console.expect("login", NOT_NOW).expect_err("nothing like it").to_string();
    assert!(error.contains("\"login\""), "{error}");
    assert!(error.contains("| Kernel panic - not syncing"), "{error}");
}

#[test]
fn a_machine_that_ends_does_not_make_anyone_wait() {
    let (mut console, machine, input) = console();
    drop((machine, input));
    let started = Instant::now();
    assert!(matches!(console.expect("x", Duration::from_secs(3600)), Err(ConsoleError::Ended { .. })));
    assert!(started.elapsed() < SOON);
    assert!(matches!(console.send_line("x"), Err(ConsoleError::Input(_))));
}

#[test]
fn a_machine_that_says_too_much_is_cut_off() {
    let mut console = Console::new(io::repeat(b'x').take(64 << 20), io::sink());
    let result = console.expect("never said", SOON);
    assert!(matches!(result, Err(ConsoleError::Overflow { .. } | ConsoleError::Ended { .. })), "{result:?}");
    assert!(console.transcript().len() <= TRANSCRIPT_LIMIT_BYTES);
}

#[test]
fn bytes_that_are_no_text_are_shown_somehow() {
    let mut console = Console::new(Cursor::new(b"\xff\xfe\0ok".to_vec()), io::sink());
    assert!(console.expect("ok", SOON).expect("found").before.contains('\u{fffd}'));
}

#[test]
fn what_was_said_before_can_be_left_out() {
    let (mut console, mut machine, _input) = console();
    machine.write_all(b"old ready\nmark").expect("written");
    console.expect("old", SOON).expect("found");
    while !console.transcript().ends_with("mark") {
        thread::yield_now();
    }
    console.skip_to_end();
    assert!(console.expect("ready", NOT_NOW).is_err());
}

/// A real shell behind two pipes: it echoes nothing, but the marks, quoting and exit status are the guest's.
mod with_a_shell {
    use super::*;
    use std::process::{Child, Command, Stdio};

    struct Shell {
        console: Console,
        process: Child,
    }

    impl Drop for Shell {
        fn drop(&mut self) {
            let _ = self.process.kill();
            let _ = self.process.wait();
        }
    }

    fn shell() -> Shell {
        let mut process = Command::new("sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a POSIX shell");
        let output = process.stdout.take().expect("piped");
        let input = process.stdin.take().expect("piped");
        Shell { console: Console::new(output, input), process }
    }

    #[test]
    fn a_command_has_its_output_and_status() {
        let mut shell = shell();
        let output = shell.console.run_command("printf 'a b\\n'; (exit 42)", SOON).expect("ran");
        assert_eq!((output.text.as_str(), output.status), ("a b\n", 42));
        assert!(!output.succeeded());
    }

    #[test]
    fn quotes_comments_and_background_jobs_stay_inside_the_command() {
        let mut shell = shell();
        for (command, text) in [
            (r#"echo 'it'"'"'s' "fine""#, "it's fine\n"),
            ("echo shown # not shown", "shown\n"),
            ("sleep 0 &", ""),
            ("", ""),
        ] {
            assert_eq!(shell.console.run_command(command, SOON).expect(command).text, text, "{command}");
        }
    }

    #[test]
    fn the_shell_keeps_what_a_command_changed() {
        let mut shell = shell();
        shell.console.run_command("cd /; kept=yes", SOON).expect("ran");
        assert_eq!(shell.console.run_command("echo $kept $PWD", SOON).expect("ran").text, "yes /\n");
    }

    #[test]
    fn a_command_that_does_not_end_is_an_error_and_its_late_end_confuses_nobody() {
        let mut shell = shell();
        assert!(matches!(
            shell.console.run_command("sleep 0.3; echo late", NOT_NOW),
            Err(ConsoleError::Timeout { .. })
        ));
        assert_eq!(shell.console.run_command("echo next", SOON).expect("ran").text, "next\n");
    }

    #[test]
    fn several_lines_are_refused() {
        let mut shell = shell();
        assert!(matches!(shell.console.run_command("a\nb", SOON), Err(ConsoleError::NotOneLine)));
    }
}
