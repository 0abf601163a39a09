//! `display`: shows a temperature that another container provides (world "reactor", Rust with the crate `atoll`).
//!
//! The other half of `sensor`: `app.toml` says which service it needs, and the node finds who provides it, also when that is
//! replaced by another. It runs as soon as it is deployed, with somebody at the other end or without, and it only says
//! something when the temperature changes.
#![cfg_attr(target_arch = "wasm32", no_std)]

use core::cell::Cell;

use atoll::{Error, Events, Next, Reactor, Reader, error, info, wait};

/// The container.
#[derive(Debug)]
pub struct Display {
    temperature: Reader<f32>,
    /// What was shown last, in hundredths of a degree.
    shown: Cell<Option<i32>>,
}

/// Hundredths, to show them without what it takes to print floating-point numbers.
fn hundredths(degrees: f32) -> i32 {
    // Saturates, and a number that is none becomes 0.
    (degrees * 100.0) as i32
}

impl Display {
    fn show(&self, degrees: f32) {
        let now = hundredths(degrees);
        if self.shown.replace(Some(now)) != Some(now) {
            let (sign, whole, part) =
                (if now < 0 { "-" } else { "" }, now.unsigned_abs() / 100, now.unsigned_abs() % 100);
            info!("kitchen: {sign}{whole}.{part:02} degrees");
        }
    }

    /// Shows every value that is there.
    fn show_all(&self) -> Result<(), Error> {
        while let Some(degrees) = self.temperature.next()? {
            self.show(degrees);
        }
        Ok(())
    }
}

impl Reactor for Display {
    fn on_start() -> Result<Self, Error> {
        Ok(Self { temperature: Reader::open("in")?, shown: Cell::new(None) })
    }

    fn on_loop(&self) -> Next {
        match self.show_all() {
            // Nobody provides it yet, or another one soon.
            Ok(()) | Err(Error::Unbound) => {
                wait(Events::VALUE);
                Next::Again
            }
            Err(error) => {
                error!("no value could be taken: {error}");
                Next::Finish
            }
        }
    }
}

atoll::reactor!(Display);

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use atoll::double::{End, Node};

    fn node() -> Node {
        Node::of_app(include_str!("../app.toml")).expect("the sample's own")
    }

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn each_change_is_shown_once() {
        let mut node = node();
        for (time, degrees) in [(100, 20.0_f32), (200, 20.25), (300, 20.25), (400, -0.5)] {
            node.put_in(at(time), "in", &degrees);
        }
        assert_eq!(node.run::<Display>(at(1000)), Ok(End::Stopped));
        assert_eq!(node.text(), "kitchen: 20.00 degrees\nkitchen: 20.25 degrees\nkitchen: -0.50 degrees\n");
        assert_eq!(node.records()[1].at, at(200));
    }

    #[test]
    fn it_waits_for_somebody_to_provide_it() {
        let mut node = node();
        node.refuse("channel:in", Error::Unbound);
        assert_eq!(node.run::<Display>(at(1000)), Ok(End::Stopped));
        assert_eq!(node.text(), "");
        node.relent("channel:in").put_in(at(10), "in", &19.5_f32);
        assert_eq!(node.run::<Display>(at(1000)), Ok(End::Stopped));
        assert_eq!(node.text(), "kitchen: 19.50 degrees\n");
    }

    #[test]
    fn what_is_no_temperature_ends_it() {
        let mut node = Node::new();
        node.channel("in", atoll::double::Direction::Get, "u8", 0).put_in(at(10), "in", &7_u8);
        assert_eq!(node.run::<Display>(at(1000)), Ok(End::Finished));
        assert_eq!(node.text(), "no value could be taken: invalid\n");
    }
}
