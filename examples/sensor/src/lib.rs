//! `sensor`: puts a temperature into a typed channel ten times a second (world "reactor", Rust with the crate `atoll`).
//!
//! It exists, with `display`, to show how containers speak: `app.toml` says what goes over the channel and what service that is,
//! `temperature{room=kitchen}`; neither knows the other, nor cell or node. There is no thermometer on the demo boards, so the
//! temperature goes up and down by itself.
#![cfg_attr(target_arch = "wasm32", no_std)]

use core::{cell::Cell, time::Duration};

use atoll::{Error, Next, Reactor, Timer, Writer, error, info};

/// Ten values a second; `app.toml` asks for such a timer.
const PERIOD: Duration = Duration::from_millis(100);
/// From the lowest to the highest temperature.
const STEPS: u32 = 20;
/// In quarters of a degree, which an `f32` holds exactly.
const LOWEST_QUARTERS: u32 = 4 * 20;

/// The container.
#[derive(Debug)]
pub struct Sensor {
    out: Writer<f32>,
    timer: Timer,
    values: Cell<u32>,
}

/// The temperature that is measured as value number `index`: 20 to 25 degrees and back.
fn temperature(index: u32) -> f32 {
    let step = index % (2 * STEPS);
    let quarters = LOWEST_QUARTERS + step.min(2 * STEPS - step);
    // Below 2^16, so that nothing is lost.
    f32::from(quarters as u16) / 4.0
}

impl Reactor for Sensor {
    fn on_start() -> Result<Self, Error> {
        Ok(Self { out: Writer::open("out")?, timer: Timer::every(1, PERIOD)?, values: Cell::new(0) })
    }

    fn on_loop(&self) -> Next {
        self.timer.wait();
        let index = self.values.get();
        match self.out.put(&temperature(index)) {
            Ok(()) => {
                self.values.set(index + 1);
                Next::Again
            }
            // Whoever reads it is being replaced, or not there yet: there is a next value soon.
            Err(Error::Unbound) => Next::Again,
            Err(error) => {
                error!("no value could be put: {error}");
                Next::Finish
            }
        }
    }

    fn on_stop(&self) {
        info!("{} values", self.values.get());
    }
}

atoll::reactor!(Sensor);

#[cfg(test)]
mod tests {
    use super::*;
    use atoll::double::{End, Node};

    fn node() -> Node {
        Node::of_app(include_str!("../app.toml")).expect("the sample's own")
    }

    #[test]
    fn it_goes_up_and_down_by_quarters() {
        let mut node = node();
        assert_eq!(node.run::<Sensor>(Duration::from_millis(4150)), Ok(End::Stopped));
        let values = node.values::<f32>("out");
        assert_eq!(values.len(), 41);
        assert_eq!(values[0], (PERIOD, 20.0));
        assert_eq!((values[1].1, values[20].1, values[21].1, values[40].1), (20.25, 25.0, 24.75, 20.0));
        assert_eq!(node.text(), "41 values\n");
    }

    #[test]
    fn nobody_to_read_is_no_reason_to_end() {
        let mut node = node();
        node.refuse("channel:out", Error::Unbound);
        assert_eq!(node.run::<Sensor>(Duration::from_secs(1)), Ok(End::Stopped));
        assert_eq!(node.text(), "0 values\n");
        node.relent("channel:out").refuse_in(Duration::from_millis(250), "channel:out", Error::Unavailable);
        assert_eq!(node.run::<Sensor>(Duration::from_secs(1)), Ok(End::Finished));
        assert_eq!(node.text(), "0 values\nno value could be put: unavailable\n2 values\n");
    }

    #[test]
    fn without_its_timer_it_does_not_start() {
        let mut node = node();
        node.grant("timer:1s");
        assert_eq!(node.run::<Sensor>(Duration::from_secs(1)), Err(Error::NotGranted));
    }
}
