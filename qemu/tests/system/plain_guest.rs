//! The guest as an ordinary QEMU machine, without a hypervisor: everything of it that does not need Atoll.

use std::io::{Read, Write};
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use qemu::Missing;
use qemu::guest::{AgentSource, GuestImage, GuestOptions, READY_LINE, build_guest};
use qemu::launcher::{Launch, Machine, PortPeer, Qemu};

/// A boot takes some 5 s on an idle host, and much longer on one that compiles at the same time.
const BOOT: Duration = Duration::from_secs(120);

/// For a command that takes no time of its own: as long as a boot may take, since it is the same machine that is slow.
const COMMAND: Duration = BOOT;

/// The guest without `emit`: kernel, shell and ports are what is tried here, and they need no cross compiler. In a folder
/// of its own, so that the guest that people use stays as it is.
fn guest() -> Result<GuestImage> {
    let mut options = GuestOptions::from_environment()?;
    options.output = options.workspace.join("target/guest-without-emit");
    options.agent = AgentSource::Absent;
    build_guest(&options, &|_| {})
}

/// Without a reason to differ, two runs of the deterministic machine say the same, byte for byte and time stamps included.
#[test]
fn two_deterministic_boots_say_the_same() {
    let boot = || -> Result<String> {
        Qemu::find()?;
        let mut machine = Launch::plain_guest(&guest()?).deterministic().start()?;
        Ok(machine.console.expect(READY_LINE, BOOT)?.before)
    };
    let first = match boot() {
        Ok(first) => first,
        Err(error) => match error.downcast::<Missing>() {
            Ok(missing) => qemu::skip!("{missing}"),
            Err(error) => panic!("{error:#}"),
        },
    };
    assert!(first.contains("Linux version"), "{first}");
    assert_eq!(first, boot().expect("a second boot"));
}

fn boot() -> Result<Machine> {
    Qemu::find()?;
    let launch = Launch::plain_guest(&guest()?).port("emit.0", PortPeer::Us).port("not/a name", PortPeer::Us);
    let mut machine = launch.start()?;
    machine.console.expect_guest_shell(BOOT)?;
    Ok(machine)
}

/// Boots, or returns what is missing to do so.
fn boot_or_missing() -> Result<Machine, Missing> {
    boot().map_err(|error| match error.downcast::<Missing>() {
        Ok(missing) => missing,
        Err(error) => panic!("{error:#}"),
    })
}

/// Runs a command that must succeed.
fn run(machine: &mut Machine, command: &str) -> Result<String> {
    let output = machine.console.run_command(command, COMMAND)?;
    ensure!(output.succeeded(), "{command} ended with {}: {}", output.status, output.text);
    Ok(output.text)
}

#[test]
fn the_guest_boots_to_a_shell_that_is_useful() {
    let mut machine = match boot_or_missing() {
        Ok(machine) => machine,
        Err(missing) => qemu::skip!("{missing}"),
    };
    (|| -> Result<()> {
        let machine = &mut machine;
        ensure!(run(machine, "hostname")? == "atoll\n");
        ensure!(run(machine, "uname -m")? == "aarch64\n");
        ensure!(machine.console.run_command("false", COMMAND)?.status == 1);
        ports_have_their_names(machine)?;
        bytes_pass_the_port_both_ways(machine)?;
        the_processor_stops_and_runs_on(machine)?;
        jobs_are_controlled(machine)?;
        a_hung_command_is_interrupted(machine)?;
        a_shell_that_ends_starts_again(machine)?;
        kernel_messages_do_not_mix_with_output(machine)?;
        reboot_restarts_the_guest(machine)?;
        a_panic_restarts_the_guest(machine)?;
        poweroff_ends_the_machine(machine)
    })()
    .unwrap_or_else(|error| panic!("{error:#}\n--- the console said ---\n{}", machine.console.transcript()));
}

/// The second port's name cannot be a file's: it is left out and does no harm.
fn ports_have_their_names(machine: &mut Machine) -> Result<()> {
    ensure!(run(machine, "ls /dev/virtio-ports")? == "emit.0\n");
    ensure!(run(machine, "readlink /dev/virtio-ports/emit.0")? == "../vport0p1\n");
    Ok(())
}

fn bytes_pass_the_port_both_ways(machine: &mut Machine) -> Result<()> {
    let mut port = machine.connect_port("emit.0")?;
    port.set_read_timeout(Some(COMMAND))?;
    // Opened by the shell, so that it is open when the line ends: Linux throws away what comes for a port that is not.
    run(machine, "exec 3< /dev/virtio-ports/emit.0; cat <&3 > /tmp/received & reader=$!; exec 3<&-")?;
    port.write_all(b"from the host\n")?;
    run(
        machine,
        "until grep -q 'from the host' /tmp/received; do usleep 50000; done; kill $reader; wait $reader; true",
    )?;
    run(machine, "echo from the guest > /dev/virtio-ports/emit.0")?;
    let mut received = [0; 15];
    port.read_exact(&mut received).context("nothing came from the guest")?;
    ensure!(&received == b"from the guest\n", "{received:?}");
    Ok(())
}

/// A program that is sent nowhere faults, and the kernel ends it: what a test on Atoll does to a protection domain.
fn the_processor_stops_and_runs_on(machine: &mut Machine) -> Result<()> {
    // A shell of its own has a stack of its own, by which it is known: what follows the ports' events may run as well.
    run(
        machine,
        "sh -c 'while :; do :; done' & victim=$!; until grep -q while /proc/$victim/cmdline; do usleep 50000; done",
    )?;
    let stack = run(machine, "grep -F '[stack]' /proc/$victim/maps")?;
    let stack = memory_range(&stack).with_context(|| format!("no stack: {stack}"))?;
    let mut debugger = machine.stop()?;
    let registers = (0..100).find_map(|_| {
        debugger.run_for(Duration::from_millis(10)).ok()?;
        debugger.registers().ok().filter(|found| found.in_user_mode() && stack.contains(&found.stack_pointer()))
    });
    let registers = registers.context("the loop was never met in user mode")?;
    ensure!(debugger.read_memory(registers.program_counter(), 4)?.len() == 4);
    debugger.jump(registers, 0x10)?;
    drop(debugger);
    let output = machine.console.run_command("wait $victim", COMMAND)?;
    ensure!(output.status == 128 + 11, "a segmentation fault ends the loop: {output:?}");
    Ok(())
}

/// What a line of `/proc/PID/maps` begins with: two addresses, in hexadecimal.
fn memory_range(line: &str) -> Option<Range<u64>> {
    let (start, end) = line.split_once(' ')?.0.split_once('-')?;
    Some(u64::from_str_radix(start, 16).ok()?..u64::from_str_radix(end, 16).ok()?)
}

fn jobs_are_controlled(machine: &mut Machine) -> Result<()> {
    // The shell's child ignores SIGTERM until it has become `sleep`.
    let text = run(machine, "sleep 1000 & usleep 500000; jobs; kill %1; wait %1; true")?;
    ensure!(text.contains("sleep 1000"), "{text}");
    ensure!(!machine.console.transcript().contains("job control turned off"));
    Ok(())
}

fn a_hung_command_is_interrupted(machine: &mut Machine) -> Result<()> {
    ensure!(machine.console.run_command("sleep 1000", Duration::from_millis(500)).is_err());
    machine.console.interrupt()?;
    machine.console.expect(qemu::console::PROMPT, COMMAND)?;
    ensure!(run(machine, "echo back")? == "back\n");
    Ok(())
}

fn a_shell_that_ends_starts_again(machine: &mut Machine) -> Result<()> {
    machine.console.skip_to_end();
    machine.console.send_line("exit 3")?;
    // The old shell's prompt may still be on its way: the new shell's greeting tells them apart.
    machine.console.expect("built-in shell", COMMAND)?;
    machine.console.expect(qemu::console::PROMPT, COMMAND)?;
    ensure!(run(machine, "echo again")? == "again\n");
    Ok(())
}

fn kernel_messages_do_not_mix_with_output(machine: &mut Machine) -> Result<()> {
    let command = "echo '<2>something bad' > /dev/kmsg; echo mine";
    let output = machine.console.run_command(command, COMMAND)?;
    ensure!(output.text == "mine\n", "{output:?}");
    ensure!(output.kernel_messages.iter().any(|message| message.ends_with("something bad")), "{output:?}");
    Ok(())
}

fn reboot_restarts_the_guest(machine: &mut Machine) -> Result<()> {
    run(machine, "touch /tmp/before")?;
    machine.console.send_line("reboot")?;
    machine.monitor.wait_for_event("RESET", COMMAND)?;
    machine.console.expect_guest_shell(BOOT)?;
    ensure!(!machine.console.run_command("test -e /tmp/before", COMMAND)?.succeeded());
    Ok(())
}

fn a_panic_restarts_the_guest(machine: &mut Machine) -> Result<()> {
    machine.console.send_line("echo c > /proc/sysrq-trigger")?;
    machine.console.expect("Kernel panic", COMMAND)?;
    machine.console.expect_guest_shell(BOOT)?;
    ensure!(run(machine, "echo alive")? == "alive\n");
    Ok(())
}

fn poweroff_ends_the_machine(machine: &mut Machine) -> Result<()> {
    machine.console.send_line("poweroff")?;
    let status = machine.wait_for_exit(COMMAND)?;
    ensure!(status.success(), "QEMU ended with {status}: {}", machine.complaints());
    Ok(())
}
