//! What a domain's process may still ask of Linux once it has started: what its logic needs, and nothing that leads outside.
//!
//! A container that broke out of its engine, or a client that broke `admission`, has the process and its descriptors, and no
//! way to others: no files, no sockets, no signals to anybody else, no new programs, no new mappings of descriptors. What is
//! not on the list fails with EPERM, so that a panic can still say what it was before the process ends. `gpio` and the
//! bridge accept connections and are not confined this way; they hold no container and parse nothing.

use std::collections::BTreeMap;

use anyhow::Result;
use rustix::io::Errno;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

/// Calls with any arguments: waiting, bells, the control socket, the clock, the allocator, and ending.
const ANY_ARGUMENTS: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_ppoll,
    libc::SYS_read,
    libc::SYS_recvmsg,
    libc::SYS_restart_syscall,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_yield,
    libc::SYS_sendmsg,
    libc::SYS_sigaltstack,
    libc::SYS_write,
    libc::SYS_writev,
];

/// The flag of `mmap` without a descriptor, as the allocator asks for memory.
const MAP_ANONYMOUS: u64 = 0x20;

/// The bit of `mmap` and `mprotect` for memory that can be executed.
const PROT_EXEC: u64 = 4;

/// From here on, this thread and those that it starts.
pub(crate) fn apply() -> Result<()> {
    let filter: BpfProgram = SeccompFilter::new(
        rules()?,
        SeccompAction::Errno(Errno::PERM.raw_os_error().unsigned_abs()),
        SeccompAction::Allow,
        std::env::consts::ARCH.try_into()?,
    )?
    .try_into()?;
    Ok(apply_filter(&filter)?)
}

/// Whether this Linux can do that; tried on a thread of its own.
pub(crate) fn is_possible() -> Result<(), String> {
    let attempt = std::thread::spawn(|| apply().map_err(|error| format!("{error:#}")));
    attempt.join().unwrap_or_else(|_| Err("the attempt panicked".into()))
}

fn rules() -> Result<BTreeMap<i64, Vec<SeccompRule>>> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ANY_ARGUMENTS.iter().map(|&call| (call, Vec::new())).collect();
    let not_executable = || argument_masked(2, PROT_EXEC, 0);
    let anonymous = argument_masked(3, MAP_ANONYMOUS, MAP_ANONYMOUS)?;
    rules.insert(libc::SYS_mmap, vec![SeccompRule::new(vec![not_executable()?, anonymous])?]);
    rules.insert(libc::SYS_mprotect, vec![SeccompRule::new(vec![not_executable()?])?]);
    // How a panic ends: a signal to itself.
    let itself = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, u64::from(std::process::id()))?;
    rules.insert(libc::SYS_tgkill, vec![SeccompRule::new(vec![itself])?]);
    Ok(rules)
}

/// Of the bits in `mask`, exactly `value` are set in the argument.
fn argument_masked(argument: u8, mask: u64, value: u64) -> Result<SeccompCondition> {
    let masked = SeccompCmpOp::MaskedEq(mask);
    Ok(SeccompCondition::new(argument, SeccompCmpArgLen::Qword, masked, value)?)
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::thread;

    use super::*;

    /// On a thread of its own: a filter stays for good.
    fn confined<T: Send + 'static>(action: impl FnOnce() -> T + Send + 'static) -> T {
        let thread = thread::spawn(move || {
            apply().expect("Linux has seccomp");
            action()
        });
        thread.join().expect("it can still end")
    }

    fn is_refused<T>(result: io::Result<T>) -> bool {
        result.is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    }

    #[test]
    fn nothing_outside_can_be_reached() {
        assert!(confined(|| is_refused(std::fs::File::open("/dev/null"))));
        assert!(confined(|| is_refused(std::os::unix::net::UnixStream::connect("/run/anything"))));
        assert!(confined(|| is_refused(std::net::TcpStream::connect("127.0.0.1:1"))));
        assert!(confined(|| is_refused(std::process::Command::new("/bin/true").spawn())));
        let other = rustix::process::getppid().expect("somebody started the tests");
        assert!(confined(move || rustix::process::test_kill_process(other) == Err(Errno::PERM)));
    }

    #[test]
    fn a_descriptor_cannot_be_mapped_again() {
        let memory = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).expect("memfd");
        rustix::fs::ftruncate(&memory, 4096).expect("sized");
        assert!(confined(move || is_refused(crate::substrate::mapping::map_region(&memory, 4096, false))));
    }

    #[test]
    fn memory_time_and_bells_go_on() {
        let sum = confined(|| {
            let bell = crate::substrate::event_loop::bell();
            let large: Vec<u64> = (0..1_000_000).collect();
            (bell.is_err(), large.iter().sum::<u64>(), std::time::Instant::now().elapsed().as_secs())
        });
        assert_eq!(sum, (true, 499_999_500_000, 0), "a bell that there is rings; a new one cannot be made");
    }
}
