//! `grid` on the host: passes the ticks on. `tick` sleeps until the whole milliseconds of the host's clock, so there is nothing to
//! wait for.

use anyhow::Result;
use runner_interfaces::boot_report::Finding;
use runner_interfaces::kernel::{CALL_FAILED, Channel, ChannelSet, Domain, Kernel, Message, required_channel};

use super::Shell;

pub(super) fn run(shell: Shell) -> Result<()> {
    let timer = required_channel(&shell.wiring, "channel_timer")?;
    shell.serve(Grid { timer })
}

struct Grid {
    timer: Channel,
}

impl<K: Kernel> Domain<K> for Grid {
    fn self_test(&mut self, _: &mut K) -> Finding {
        Finding::well(format_args!("passes the ticks on"))
    }

    fn start(&mut self, _: &mut K) {}

    /// Only `tick` notifies this domain.
    fn notified(&mut self, kernel: &mut K, _: ChannelSet) {
        kernel.notify(self.timer);
    }

    fn called(&mut self, _: &mut K, _: Channel, _: Message) -> Message {
        Message::new(CALL_FAILED)
    }
}
