//! An Atoll node as a person at the guest's shell sees it: through `emit` and nothing else.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use qemu::attacks::GuestShell;
use qemu::console::CommandOutput;
use qemu::launcher::Machine;
use serde_json::Value;

/// For a command that answers at once: generous, because the host may be compiling.
pub(crate) const COMMAND: Duration = Duration::from_secs(60);

/// For Linux to come up again, on a host that may be compiling.
const REBOOT: Duration = Duration::from_secs(240);

/// Characters of base64 that are typed in one line: the shell's line editor takes 1024.
const TYPED_CHARACTERS: usize = 600;

/// A machine whose guest stands at its prompt.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) machine: Machine,
    /// What happens in time is late by what the node does alone. Not so where QEMU runs several cores one after the other: a core
    /// stands still while others run, tenths of a second have been seen, and what ran there is charged for it.
    pub(crate) keeps_time: bool,
}

impl Node {
    /// Runs a line in the guest's shell.
    pub(crate) fn shell(&mut self, line: &str) -> Result<CommandOutput> {
        self.machine.console.run_command(line, COMMAND).with_context(|| format!("running `{line}`"))
    }

    /// Runs a line that must succeed; answers what it printed.
    pub(crate) fn shell_succeeds(&mut self, line: &str) -> Result<String> {
        let output = self.shell(line)?;
        ensure!(output.succeeded(), "`{line}` ended with {}: {}", output.status, output.text);
        Ok(output.text)
    }

    /// Runs `emit`, which must succeed; answers what it printed.
    pub(crate) fn emit(&mut self, arguments: &str) -> Result<String> {
        self.shell_succeeds(&format!("emit {arguments}"))
    }

    /// Runs `emit`, which must end with this code and say this.
    pub(crate) fn emit_ends_with(&mut self, arguments: &str, code: u8, says: &str) -> Result<()> {
        let output = self.shell(&format!("emit {arguments}"))?;
        let is_right = output.status == code && output.text.contains(says);
        ensure!(is_right, "`emit {arguments}` should end with {code} and say {says:?}, but: {output:?}");
        Ok(())
    }

    /// Asks with `emit --format json`, which must succeed. Only for questions: a debug image's domains write to the same
    /// console whenever they like, so an answer that they wrote into is asked for again.
    pub(crate) fn ask(&mut self, question: &str) -> Result<Value> {
        const TRIES: usize = 3;
        let mut text = String::new();
        for _ in 0..TRIES {
            text = self.emit(&format!("--format json {question}"))?;
            if let Ok(answer) = serde_json::from_str(&text) {
                return Ok(answer);
            }
        }
        bail!("`emit --format json {question}` printed {text}")
    }

    /// What `emit inspect` says.
    pub(crate) fn container(&mut self, name: &str) -> Result<Value> {
        self.ask(&format!("inspect {name}"))
    }

    /// A container's state.
    pub(crate) fn state(&mut self, name: &str) -> Result<String> {
        Ok(self.container(name)?["state"].as_str().unwrap_or_default().to_owned())
    }

    /// Whether it runs: between two events it is "ready".
    pub(crate) fn is_running(&mut self, name: &str) -> Result<bool> {
        Ok(matches!(self.state(name)?.as_str(), "running" | "ready"))
    }

    /// One counter of `emit info`; a missing one is zero.
    pub(crate) fn counter(&mut self, name: &str) -> Result<u64> {
        Ok(self.ask("info")?["counters"][name].as_u64().unwrap_or(0))
    }

    /// One line of `emit info`, and the node's time of that answer in nanoseconds.
    pub(crate) fn line(&mut self, label: &str) -> Result<(Value, u64)> {
        let info = self.ask("info")?;
        let lines = info["lines"].as_array().context("`emit info` lists no lines")?;
        let line = lines.iter().find(|line| line["label"] == label).with_context(|| format!("no line {label}"))?;
        Ok((line.clone(), number(&info, "uptime_ns")?))
    }

    /// Asks again until the answer is yes.
    pub(crate) fn wait_until(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + COMMAND;
        while !is_so(self)? {
            if Instant::now() > deadline {
                bail!("it did not become so within {COMMAND:?}: {what}");
            }
        }
        Ok(())
    }

    /// Ends and removes every container.
    pub(crate) fn clear(&mut self) -> Result<()> {
        for container in self.ask("ps")?.as_array().context("`emit ps` lists nothing")? {
            let name = container["name"].as_str().context("a container has a name")?;
            // One that has ended already cannot be killed.
            self.shell(&format!("emit kill {name}"))?;
            self.emit(&format!("rm {name}"))?;
        }
        Ok(())
    }

    /// Types a file into the guest.
    pub(crate) fn type_file(&mut self, path: &str, content: &[u8]) -> Result<()> {
        let text = base64(content);
        self.shell_succeeds(&format!(": > {path}.base64"))?;
        for part in text.as_bytes().chunks(TYPED_CHARACTERS) {
            self.shell_succeeds(&format!("printf {} >> {path}.base64", String::from_utf8_lossy(part)))?;
        }
        self.shell_succeeds(&format!("base64 -d {path}.base64 > {path} && rm {path}.base64"))?;
        let size = self.shell_succeeds(&format!("wc -c < {path}"))?;
        ensure!(size.trim() == content.len().to_string(), "{path} became {size} bytes instead of {}", content.len());
        Ok(())
    }
}

/// What an attack needs.
impl GuestShell for Node {
    fn put_file(&mut self, path: &str, content: &[u8]) -> Result<()> {
        self.type_file(path, content)
    }

    fn run_line(&mut self, line: &str) -> Result<()> {
        self.shell_succeeds(line).map(drop)
    }

    fn reboot(&mut self) -> Result<()> {
        self.machine.console.skip_to_end();
        self.machine.console.send_line("reboot")?;
        Ok(self.machine.console.expect_guest_shell(REBOOT)?)
    }
}

/// A field that is a number.
pub(crate) fn number(value: &Value, field: &str) -> Result<u64> {
    value[field].as_u64().with_context(|| format!("{field} is no number in {value}"))
}

/// RFC 4648, section 4.
fn base64(content: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in content.chunks(3) {
        let bytes = [group[0], group.get(1).copied().unwrap_or(0), group.get(2).copied().unwrap_or(0)];
        let bits = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]);
        for place in 0..4 {
            let digit = (bits >> (18 - 6 * place)) & 63;
            let letter = if place <= group.len() { ALPHABET[digit as usize] } else { b'=' };
            text.push(char::from(letter));
        }
    }
    text
}

#[test]
fn base64_is_as_the_standard_says() {
    // RFC 4648, section 10.
    for (content, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
        assert_eq!(base64(content.as_bytes()), text);
    }
}
