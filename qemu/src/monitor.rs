//! QEMU's monitor over its machine protocol (QMP, `docs/interop/qmp-spec.rst` in QEMU).
//!
//! Sees the machine from outside, as a logic analyser would: device registers, the power button, reset. QEMU is trusted to
//! speak its protocol, but not to answer in time: a busy QEMU is slow, a dead one silent.

use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde_json::{Value, json};

/// How long QEMU may take to answer. It is busy emulating, and with `sleep=off` never idle; minutes would hide a hang.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection to the monitor.
pub struct Monitor {
    input: UnixStream,
    output: BufReader<UnixStream>,
    /// Events that arrived while an answer was awaited.
    events: Vec<Value>,
    /// The part of a message that came before time was up; the rest follows.
    partial: Vec<u8>,
}

impl Monitor {
    /// Connects to the monitor's socket and ends the negotiation.
    ///
    /// # Errors
    /// Nobody listens, or whoever does is not QEMU.
    pub fn connect(socket: &Path) -> Result<Self> {
        let input = UnixStream::connect(socket).with_context(|| format!("cannot connect to {}", socket.display()))?;
        input.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        let mut monitor =
            Self { output: BufReader::new(input.try_clone()?), input, events: Vec::new(), partial: Vec::new() };
        let greeting = monitor.read_message(Instant::now() + ANSWER_TIMEOUT)?;
        ensure!(greeting.get("QMP").is_some(), "QEMU's monitor greeted with {greeting}");
        monitor.execute("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    /// Runs a command of the machine protocol and returns what it returns.
    ///
    /// # Errors
    /// QEMU refuses the command (its description is in the error), or does not answer in time.
    pub fn execute(&mut self, command: &str, arguments: &Value) -> Result<Value> {
        let request = json!({ "execute": command, "arguments": arguments });
        writeln!(self.input, "{request}").context("QEMU's monitor is gone")?;
        let deadline = Instant::now() + ANSWER_TIMEOUT;
        loop {
            let mut message = self.read_message(deadline).with_context(|| format!("no answer to {command}"))?;
            if let Some(error) = message.get("error") {
                bail!("QEMU refuses {command}: {}", error["desc"].as_str().unwrap_or("no reason given"));
            }
            if let Some(answer) = message.get_mut("return") {
                return Ok(answer.take());
            }
            self.events.push(message);
        }
    }

    /// Runs a command of the monitor for people and returns what it prints.
    ///
    /// # Errors
    /// As [`Monitor::execute`]; what the command itself complains about is in the text.
    pub fn human(&mut self, command: &str) -> Result<String> {
        let answer = self.execute("human-monitor-command", &json!({ "command-line": command }))?;
        Ok(answer.as_str().unwrap_or_default().replace('\r', ""))
    }

    /// Reads 32 bits at a physical address. A device sees a read, so registers with side effects show them.
    ///
    /// # Errors
    /// QEMU cannot be asked or there is nothing at the address.
    pub fn read_physical_word(&mut self, address: u64) -> Result<u32> {
        let text = self.human(&format!("xp /1xw {address:#x}"))?;
        parse_word(&text).with_context(|| format!("QEMU shows no word at {address:#x}: {}", text.trim()))
    }

    /// Writes physical memory into a file of this host.
    ///
    /// # Errors
    /// QEMU cannot read there or cannot write the file.
    pub fn save_physical_memory(&mut self, address: u64, size_bytes: u64, file: &Path) -> Result<()> {
        let file = file.to_str().context("QEMU takes only paths that are text")?;
        self.execute("pmemsave", &json!({ "val": address, "size": size_bytes, "filename": file })).map(|_| ())
    }

    /// Presses the power button: on the `virt` machine a pulse on line 3 of its PL061 GPIO.
    ///
    /// # Errors
    /// As [`Monitor::execute`].
    pub fn press_power_button(&mut self) -> Result<()> {
        self.execute("system_powerdown", &json!({})).map(|_| ())
    }

    /// Waits for an event, by name (`RESET`, `SHUTDOWN`, …), since the connection or the last one waited for.
    ///
    /// # Errors
    /// It does not come in time.
    pub fn wait_for_event(&mut self, name: &str, timeout: Duration) -> Result<Value> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(place) = self.events.iter().position(|event| event["event"] == name) {
                return Ok(self.events.remove(place));
            }
            let event = self.read_message(deadline).with_context(|| format!("waiting for QEMU's event {name}"))?;
            self.events.push(event);
        }
    }

    fn read_message(&mut self, deadline: Instant) -> Result<Value> {
        let remaining = deadline.saturating_duration_since(Instant::now());
        // A zero would mean no limit to the socket.
        self.output.get_ref().set_read_timeout(Some(remaining.max(Duration::from_millis(1))))?;
        self.output.read_until(b'\n', &mut self.partial).context("QEMU's monitor is silent")?;
        let line = std::mem::take(&mut self.partial);
        ensure!(!line.is_empty(), "QEMU closed its monitor");
        serde_json::from_slice(&line)
            .with_context(|| format!("QEMU's monitor said {:?}", String::from_utf8_lossy(&line)))
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Monitor").field("events", &self.events).finish_non_exhaustive()
    }
}

/// Takes the value from `00000000090303fc: 0x00000008`.
fn parse_word(text: &str) -> Result<u32> {
    let digits = text.split_once(": 0x").map(|(_, digits)| digits.trim()).ok_or_else(|| anyhow!("no value"))?;
    u32::from_str_radix(digits, 16).context("not a word")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::thread::{self, JoinHandle};

    /// A monitor that greets, then says each line once a command has come.
    fn fake(lines: &'static [&'static str]) -> (tempfile::TempDir, JoinHandle<Vec<String>>) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let listener = UnixListener::bind(folder.path().join("qmp")).expect("a socket");
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut requests = BufReader::new(stream.try_clone().expect("a second handle")).lines();
            writeln!(stream, r#"{{"QMP": {{"version": {{}}}}}}"#).expect("written");
            let mut seen = Vec::new();
            for line in lines {
                seen.push(requests.next().expect("a request").expect("text"));
                writeln!(stream, "{line}").expect("written");
            }
            seen
        });
        (folder, server)
    }

    #[test]
    fn a_register_is_read_through_the_monitor_for_people() {
        let (folder, server) = fake(&[r#"{"return": {}}"#, r#"{"return": "00000000090303fc: 0x00000008\r\n"}"#]);
        let mut monitor = Monitor::connect(&folder.path().join("qmp")).expect("connected");
        assert_eq!(monitor.read_physical_word(0x0903_03fc).expect("a word"), 8);
        let requests = server.join().expect("served");
        assert!(requests[0].contains("qmp_capabilities"));
        assert!(requests[1].contains("xp /1xw 0x90303fc"), "{}", requests[1]);
    }

    #[test]
    fn an_event_in_between_is_kept_for_who_waits_for_it() {
        let answers = &["{\"event\": \"RESET\"}\n{\"return\": {}}", "{\"error\": {\"desc\": \"no such thing\"}}"];
        let (folder, _server) = fake(answers);
        let mut monitor = Monitor::connect(&folder.path().join("qmp")).expect("connected");
        let refusal = monitor.execute("nonsense", &json!({})).expect_err("refused");
        assert!(refusal.to_string().contains("no such thing"), "{refusal}");
        monitor.wait_for_event("RESET", Duration::from_secs(5)).expect("the event that came before");
    }

    #[test]
    fn a_monitor_that_ends_is_an_error() {
        let (folder, server) = fake(&[r#"{"return": {}}"#]);
        let mut monitor = Monitor::connect(&folder.path().join("qmp")).expect("connected");
        server.join().expect("served");
        assert!(monitor.execute("query-status", &json!({})).is_err());
    }

    #[test]
    fn waiting_for_an_event_ends() {
        let (folder, listener) = {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let listener = UnixListener::bind(folder.path().join("qmp")).expect("a socket");
            (folder, listener)
        };
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            writeln!(stream, "{{\"QMP\": {{}}}}\n{{\"return\": {{}}}}").expect("written");
            let mut rest = String::new();
            // Silent until the client is gone.
            let _ = BufReader::new(stream).read_line(&mut rest);
            thread::sleep(Duration::from_millis(200));
        });
        let mut monitor = Monitor::connect(&folder.path().join("qmp")).expect("connected");
        assert!(monitor.wait_for_event("NEVER", Duration::from_millis(50)).is_err());
        server.join().expect("served");
    }

    #[test]
    fn what_shows_no_word_is_refused() {
        assert_eq!(parse_word("00000000090303fc: 0x000000ff\n").expect("a word"), 0xff);
        assert!(parse_word("Cannot access memory\n").is_err());
        assert!(parse_word("0: 0x123456789").is_err());
    }
}
