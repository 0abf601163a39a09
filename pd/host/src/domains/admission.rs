//! The `admission` domain on the host.

use anyhow::Result;
use runner_interfaces::kernel::{ChannelSet, Domain};

use super::Shell;
use crate::substrate::kernel::HostKernel;

struct Silent;

impl Domain<HostKernel> for Silent {
    fn start(&mut self, _: &mut HostKernel) {}
    fn notified(&mut self, _: &mut HostKernel, _: ChannelSet) {}
}

pub(super) fn run(shell: Shell) -> Result<()> {
    shell.serve(Silent)
}
