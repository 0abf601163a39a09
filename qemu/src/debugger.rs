//! QEMU's debugger port: stops the processor, looks where it is, and puts it somewhere else.
//!
//! This is how a test makes a protection domain fault without building one that can: the processor is stopped while it runs
//! the domain, its program counter is set to nowhere, and the kernel sees a fault like any other. Speaks the little that is
//! needed of GDB's remote protocol (GDB manual, appendix E); QEMU is trusted to speak it too, but not to answer in time.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// QEMU answers between two translated blocks; only a hung one takes this long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Where the stack pointer stands among AArch64's registers as GDB numbers them: behind x0 to x30.
const STACK_POINTER_BYTE: usize = 31 * 8;

/// The program counter follows.
const PROGRAM_COUNTER_BYTE: usize = STACK_POINTER_BYTE + 8;

/// `PSTATE` follows; its exception level is in bits 2 and 3 (ARM DDI 0487, C5.2.19).
const PROCESSOR_STATE_BYTE: usize = PROGRAM_COUNTER_BYTE + 8;

/// Longer than any answer that is asked for.
const ANSWER_LIMIT_BYTES: usize = 1 << 20;

/// A machine that stands still. It runs on when this is dropped.
#[derive(Debug)]
pub struct Debugger {
    port: UnixStream,
}

/// The registers of a processor that stands still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registers(Vec<u8>);

impl Registers {
    /// The address of the next instruction.
    #[must_use]
    pub fn program_counter(&self) -> u64 {
        self.word(PROGRAM_COUNTER_BYTE)
    }

    /// Where the stack of what runs ends. Linux puts each program's stack elsewhere, so this also tells one from another.
    #[must_use]
    pub fn stack_pointer(&self) -> u64 {
        self.word(STACK_POINTER_BYTE)
    }

    /// Whether the processor runs a program, at exception level 0, rather than a kernel.
    #[must_use]
    pub fn in_user_mode(&self) -> bool {
        self.0[PROCESSOR_STATE_BYTE] & 0b1100 == 0
    }

    /// A general register, x0 to x30.
    #[must_use]
    pub fn general(&self, number: u8) -> Option<u64> {
        (number <= 30).then(|| self.word(usize::from(number) * 8))
    }

    fn word(&self, byte: usize) -> u64 {
        let bytes = self.0[byte..byte + 8].try_into();
        u64::from_le_bytes(bytes.expect("eight bytes; the length was checked when they were read"))
    }

    fn set_program_counter(&mut self, address: u64) {
        self.0[PROGRAM_COUNTER_BYTE..PROCESSOR_STATE_BYTE].copy_from_slice(&address.to_le_bytes());
    }
}

impl Debugger {
    /// Connects, which stops the machine.
    ///
    /// # Errors
    /// Nobody listens there.
    pub fn connect(socket: &Path) -> Result<Self> {
        let port = UnixStream::connect(socket).with_context(|| format!("cannot connect to {}", socket.display()))?;
        port.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        port.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        Ok(Self { port })
    }

    /// Lets the machine run for this long by the host's clock, and stops it again.
    ///
    /// # Errors
    /// QEMU does not stop it in time.
    pub fn run_for(&mut self, time: Duration) -> Result<()> {
        const INTERRUPT: u8 = 3;
        self.send("c")?;
        std::thread::sleep(time);
        self.port.write_all(&[INTERRUPT]).context("QEMU's debugger port is gone")?;
        let reason = self.receive()?;
        ensure!(reason.starts_with(['T', 'S']), "the machine did not stop but said {reason}");
        Ok(())
    }

    /// Lets the machine run.
    ///
    /// # Errors
    /// QEMU is gone.
    pub fn go(&mut self) -> Result<()> {
        self.send("c")
    }

    /// Whether a machine that was let go has stopped, at a breakpoint; waits so long by the host's clock.
    ///
    /// # Errors
    /// QEMU is gone, or says something else.
    pub fn has_stopped(&mut self, wait: Duration) -> Result<bool> {
        self.port.set_read_timeout(Some(wait.max(Duration::from_millis(1))))?;
        let stopped = self.begins_packet();
        self.port.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        if !stopped? {
            return Ok(false);
        }
        let reason = self.rest_of_packet()?;
        ensure!(reason.starts_with(['T', 'S']), "the machine did not stop but said {reason}");
        Ok(true)
    }

    /// Stops the machine whenever it comes to an address, whoever has it.
    ///
    /// # Errors
    /// QEMU refuses.
    pub fn set_breakpoint(&mut self, address: u64) -> Result<()> {
        let answer = self.ask(&format!("Z0,{address:x},4"))?;
        ensure!(answer == "OK", "QEMU sets no breakpoint: {answer}");
        Ok(())
    }

    /// Ends that.
    ///
    /// # Errors
    /// There was none.
    pub fn remove_breakpoint(&mut self, address: u64) -> Result<()> {
        let answer = self.ask(&format!("z0,{address:x},4"))?;
        ensure!(answer == "OK", "QEMU removes no breakpoint: {answer}");
        Ok(())
    }

    /// Executes one instruction.
    ///
    /// # Errors
    /// QEMU does not stop behind it.
    pub fn step(&mut self) -> Result<()> {
        let reason = self.ask("s")?;
        ensure!(reason.starts_with(['T', 'S']), "the machine did not stop but said {reason}");
        Ok(())
    }

    /// What is read and set from now on is this core's, until the machine runs again. They count from 0, and QEMU's threads from 1.
    ///
    /// # Errors
    /// There is no such core.
    pub fn select_core(&mut self, core: u8) -> Result<()> {
        let answer = self.ask(&format!("Hg{:x}", u16::from(core) + 1))?;
        ensure!(answer == "OK", "QEMU does not select core {core}: {answer}");
        Ok(())
    }

    /// The registers.
    ///
    /// # Errors
    /// QEMU does not tell them.
    pub fn registers(&mut self) -> Result<Registers> {
        let bytes = from_hexadecimal(&self.ask("g")?)?;
        ensure!(bytes.len() > PROCESSOR_STATE_BYTE, "QEMU tells {} bytes of registers", bytes.len());
        Ok(Registers(bytes))
    }

    /// Memory as the program sees it that the processor runs.
    ///
    /// # Errors
    /// There is none at the address.
    pub fn read_memory(&mut self, address: u64, length: usize) -> Result<Vec<u8>> {
        from_hexadecimal(&self.ask(&format!("m{address:x},{length:x}"))?)
    }

    /// Writes to the machine's memory where it physically lies, whoever has it mapped.
    ///
    /// # Errors
    /// There is none at the address.
    pub fn write_physical_memory(&mut self, address: u64, bytes: &[u8]) -> Result<()> {
        // QEMU's own extension (its manual, "GDB usage").
        self.ask_for_ok("Qqemu.PhyMemMode:1")?;
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let written = self.ask_for_ok(&format!("M{address:x},{:x}:{digits}", bytes.len()));
        self.ask_for_ok("Qqemu.PhyMemMode:0")?;
        written
    }

    /// Makes the processor go on elsewhere.
    ///
    /// # Errors
    /// QEMU refuses.
    pub fn jump(&mut self, mut registers: Registers, address: u64) -> Result<()> {
        registers.set_program_counter(address);
        let digits: String = registers.0.iter().map(|byte| format!("{byte:02x}")).collect();
        self.ask_for_ok(&format!("G{digits}"))
    }

    fn ask_for_ok(&mut self, request: &str) -> Result<()> {
        let answer = self.ask(request)?;
        ensure!(answer == "OK", "QEMU does not do {request}: {answer}");
        Ok(())
    }

    fn ask(&mut self, request: &str) -> Result<String> {
        self.send(request)?;
        let answer = self.receive().with_context(|| format!("no answer to {request}"))?;
        if answer.starts_with('E') && answer.len() == 3 {
            bail!("QEMU refuses {request} with {answer}");
        }
        Ok(answer)
    }

    fn send(&mut self, text: &str) -> Result<()> {
        let packet = format!("${text}#{:02x}", checksum(text.as_bytes()));
        self.port.write_all(packet.as_bytes()).context("QEMU's debugger port is gone")
    }

    /// The next packet. What stands between packets are confirmations of ours.
    fn receive(&mut self) -> Result<String> {
        while self.next_byte()? != b'$' {}
        self.rest_of_packet()
    }

    /// Whether a packet begins before the port's time is up.
    fn begins_packet(&mut self) -> Result<bool> {
        loop {
            let mut byte = [0];
            match self.port.read(&mut byte) {
                Ok(0) => bail!("QEMU closed its debugger port"),
                Ok(_) if byte == *b"$" => return Ok(true),
                Ok(_) => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(false),
                Err(error) => return Err(error).context("QEMU's debugger port is gone"),
            }
        }
    }

    fn rest_of_packet(&mut self) -> Result<String> {
        let mut packet = Vec::new();
        loop {
            match self.next_byte()? {
                b'#' => break,
                byte if packet.len() < ANSWER_LIMIT_BYTES => packet.push(byte),
                _ => bail!("QEMU's debugger port says too much"),
            }
        }
        let told = [self.next_byte()?, self.next_byte()?];
        ensure!(from_hexadecimal(&String::from_utf8_lossy(&told))? == [checksum(&packet)], "a damaged packet");
        self.port.write_all(b"+")?;
        String::from_utf8(packet).context("a packet is no text")
    }

    fn next_byte(&mut self) -> Result<u8> {
        let mut byte = [0];
        self.port.read_exact(&mut byte).context("QEMU's debugger port is silent")?;
        Ok(byte[0])
    }
}

impl Drop for Debugger {
    fn drop(&mut self) {
        // Detach: the machine runs on. If QEMU is gone there is nothing to run.
        let _ = self.send("D").and_then(|()| self.receive());
    }
}

fn checksum(packet: &[u8]) -> u8 {
    packet.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte))
}

fn from_hexadecimal(text: &str) -> Result<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let digits = digits.filter(|digits| digits.len() % 2 == 0).with_context(|| format!("no hexadecimal: {text}"))?;
    digits.chunks(2).map(|pair| u8::try_from(pair[0] << 4 | pair[1]).context("two digits are a byte")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::thread;

    /// Answers each packet that comes with the next of these.
    fn fake(answers: Vec<String>) -> (tempfile::TempDir, thread::JoinHandle<Vec<String>>) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let listener = UnixListener::bind(folder.path().join("gdb")).expect("a socket");
        let server = thread::spawn(move || {
            let (port, _) = listener.accept().expect("a client");
            let mut other = Debugger { port };
            let seen = answers
                .iter()
                .map(|answer| {
                    let request = other.receive().expect("a packet");
                    other.send(answer).expect("sent");
                    request
                })
                .collect();
            // The detaching on drop is not for this side.
            let _ = other.port.shutdown(std::net::Shutdown::Write);
            seen
        });
        (folder, server)
    }

    /// Registers with this program counter at exception level 0.
    fn registers(program_counter: u64) -> Vec<u8> {
        let mut bytes = vec![0; PROCESSOR_STATE_BYTE + 4];
        bytes[PROGRAM_COUNTER_BYTE..PROCESSOR_STATE_BYTE].copy_from_slice(&program_counter.to_le_bytes());
        bytes
    }

    fn hexadecimal(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_processor_is_put_elsewhere() {
        let (folder, server) = fake(vec![hexadecimal(&registers(0x20_1234)), "OK".to_owned(), "OK".to_owned()]);
        let mut debugger = Debugger::connect(&folder.path().join("gdb")).expect("connected");
        let read = debugger.registers().expect("registers");
        assert_eq!(read.program_counter(), 0x20_1234);
        assert!(read.in_user_mode());
        debugger.jump(read, 0x6666).expect("set");
        drop(debugger);
        let requests = server.join().expect("served");
        assert_eq!(requests[0], "g");
        assert_eq!(requests[1], format!("G{}", hexadecimal(&registers(0x6666))));
        assert_eq!(requests[2], "D");
    }

    #[test]
    fn memory_is_written_where_it_physically_lies() {
        let ok = || "OK".to_owned();
        let (folder, server) = fake(vec![ok(), ok(), ok(), ok(), "E14".to_owned(), ok(), String::new()]);
        let mut debugger = Debugger::connect(&folder.path().join("gdb")).expect("connected");
        debugger.write_physical_memory(0x6012_3000, &[0, 0, 0, 0x14]).expect("written");
        assert!(debugger.write_physical_memory(0x10, &[1]).is_err(), "nothing is there");
        drop(debugger);
        let requests = server.join().expect("served");
        assert_eq!(requests[..3], ["Qqemu.PhyMemMode:1", "M60123000,4:00000014", "Qqemu.PhyMemMode:0"]);
        assert_eq!(requests[3..6], ["Qqemu.PhyMemMode:1", "M10,1:01", "Qqemu.PhyMemMode:0"]);
    }

    #[test]
    fn a_machine_stops_at_its_breakpoint_and_not_before() {
        let (folder, server) = fake(vec!["OK".to_owned(), "T05thread:01;".to_owned(), String::new()]);
        let mut debugger = Debugger::connect(&folder.path().join("gdb")).expect("connected");
        assert!(!debugger.has_stopped(Duration::from_millis(20)).expect("it does not run"));
        debugger.set_breakpoint(0xffff_8000_0001_0000).expect("set");
        debugger.go().expect("it runs");
        assert!(debugger.has_stopped(ANSWER_TIMEOUT).expect("it stopped"));
        drop(debugger);
        let requests = server.join().expect("served");
        assert_eq!(requests, ["Z0,ffff800000010000,4", "c", "D"]);
    }

    #[test]
    fn a_breakpoint_that_cannot_be_set_and_an_end_of_the_machine_are_errors() {
        let (folder, _server) = fake(vec![String::new(), "W00".to_owned(), String::new()]);
        let mut debugger = Debugger::connect(&folder.path().join("gdb")).expect("connected");
        assert!(debugger.set_breakpoint(0x1000).is_err(), "the debugger knows no breakpoints");
        debugger.go().expect("it runs");
        assert!(debugger.has_stopped(ANSWER_TIMEOUT).is_err(), "it ended");
    }

    #[test]
    fn a_general_register_is_where_its_number_says() {
        let mut bytes = registers(0);
        bytes[30 * 8..31 * 8].copy_from_slice(&7_u64.to_le_bytes());
        assert_eq!([29, 30, 31].map(|number| Registers(bytes.clone()).general(number)), [Some(0), Some(7), None]);
    }

    #[test]
    fn the_stack_pointer_stands_before_the_program_counter() {
        let mut bytes = registers(0x4000);
        bytes[31 * 8..32 * 8].copy_from_slice(&0x7000_u64.to_le_bytes());
        let read = Registers(bytes);
        assert_eq!((read.stack_pointer(), read.program_counter()), (0x7000, 0x4000));
    }

    #[test]
    fn a_core_is_the_thread_behind_its_number() {
        let (folder, server) = fake(vec!["OK".to_owned(), "E22".to_owned(), String::new()]);
        let mut debugger = Debugger::connect(&folder.path().join("gdb")).expect("connected");
        debugger.select_core(3).expect("it is there");
        assert!(debugger.select_core(4).is_err(), "there are four");
        drop(debugger);
        assert_eq!(server.join().expect("served")[..2], ["Hg4", "Hg5"]);
    }

    #[test]
    fn a_kernel_is_no_program() {
        let mut bytes = registers(0);
        bytes[PROCESSOR_STATE_BYTE] = 0x3c9_u32.to_le_bytes()[0];
        assert!(!Registers(bytes).in_user_mode(), "exception level 2");
    }

    #[test]
    fn a_refusal_is_an_error() {
        let (folder, _server) = fake(vec!["E14".to_owned(), String::new()]);
        let mut debugger = Debugger::connect(&folder.path().join("gdb")).expect("connected");
        assert!(debugger.read_memory(0, 4).is_err());
        assert!(debugger.registers().is_err(), "too few registers");
    }

    #[test]
    fn what_is_no_hexadecimal_is_refused() {
        assert_eq!(from_hexadecimal("00ff").expect("bytes"), [0, 255]);
        assert!(from_hexadecimal("0").is_err());
        assert!(from_hexadecimal("xy").is_err());
    }
}
