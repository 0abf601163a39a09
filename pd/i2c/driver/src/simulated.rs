//! A bus of paper with two devices: a thermometer and a memory of 256 bytes.
//!
//! For boards whose bus has no driver yet, and for the host. What the devices do is written down here so that a container can be
//! tested against it; what real ones do beside it (page borders, write cycles, alerts) they do not.

use runner_interfaces::boot_report::Finding;
use runner_interfaces::kernel::Instant;

use crate::bus::{Bus, BusError};

/// Where the thermometer is: that of a TMP102 or LM75 whose address pins are low.
pub const SENSOR_ADDRESS: u8 = 0x48;

/// Where the memory is: that of a 24C02 whose address pins are low.
pub const REGISTERS_ADDRESS: u8 = 0x50;

/// What a bus that nobody draws low reads as.
const IDLE: u8 = 0xff;

/// Sixteenths of a degree at the ramp's lower end: 20 degrees Celsius.
const LOWEST_SIXTEENTHS: u16 = 20 * 16;

/// Sixteenths of a degree between the ends of the ramp: 10 degrees.
const RISE_SIXTEENTHS: u16 = 10 * 16;

/// How long the temperature stays at one sixteenth: 16 seconds up, 16 down.
const STEP_NS: u64 = 100_000_000;

/// What the thermometer shows at an instant, in sixteenths of a degree Celsius: 320 (20 degrees) when the node starts, one more
/// every 100 ms up to 480 (30 degrees) after 16 s, then one less every 100 ms, and so on.
pub fn temperature_sixteenths(now: Instant) -> u16 {
    let step = now.nanoseconds() / STEP_NS % (2 * u64::from(RISE_SIXTEENTHS));
    // Below 320, so that no bit is lost.
    let step = u16::try_from(step).unwrap_or_default();
    LOWEST_SIXTEENTHS + if step <= RISE_SIXTEENTHS { step } else { 2 * RISE_SIXTEENTHS - step }
}

/// As a TMP102 has them: temperature (read only), configuration, low and high limit, of two bytes each, the most significant
/// first. The configuration and the limits are kept and have no effect.
struct Sensor {
    pointer: u8,
    configuration: [u8; 2],
    limits: [[u8; 2]; 2],
}

impl Sensor {
    fn new() -> Self {
        // What a TMP102 has after power-up: 12 bits, 4 conversions a second; 75 and 80 degrees.
        Self { pointer: 0, configuration: [0x60, 0xa0], limits: [[0x4b, 0x00], [0x50, 0x00]] }
    }

    /// The first byte chooses the register, two more go into it.
    fn write(&mut self, written: &[u8]) -> Result<(), BusError> {
        let [pointer, value @ ..] = written else { return Ok(()) };
        // Two bits; the others are no part of the register's number.
        self.pointer = pointer & 0b11;
        match (value, self.pointer) {
            ([], _) => Ok(()),
            (&[high, low], 1) => {
                self.configuration = [high, low];
                Ok(())
            }
            (&[high, low], register @ 2..) => {
                self.limits[usize::from(register - 2)] = [high, low];
                Ok(())
            }
            _ => Err(BusError::Refused),
        }
    }

    fn read(&self, now: Instant, read: &mut [u8]) {
        let register = match self.pointer {
            // Twelve bits, at the upper end of sixteen.
            0 => (temperature_sixteenths(now) << 4).to_be_bytes(),
            1 => self.configuration,
            register => self.limits[usize::from(register - 2)],
        };
        read.fill(IDLE);
        read.iter_mut().zip(register).for_each(|(byte, value)| *byte = value);
    }
}

/// As a 24C02, and without its page borders and write cycles: the first byte chooses the place, all further ones go there and
/// behind it; a read goes on where the last transfer ended. Behind 0xff comes 0x00.
struct Registers {
    pointer: u8,
    /// Erased when the node starts.
    bytes: [u8; 256],
}

impl Registers {
    fn next(&mut self) -> &mut u8 {
        let place = usize::from(self.pointer);
        self.pointer = self.pointer.wrapping_add(1);
        &mut self.bytes[place]
    }

    fn write(&mut self, written: &[u8]) {
        let [pointer, values @ ..] = written else { return };
        self.pointer = *pointer;
        values.iter().for_each(|value| *self.next() = *value);
    }

    fn read(&mut self, read: &mut [u8]) {
        read.iter_mut().for_each(|byte| *byte = *self.next());
    }
}

/// The bus with both devices.
pub struct SimulatedBus {
    sensor: Sensor,
    registers: Registers,
}

impl SimulatedBus {
    /// As it is when power comes.
    #[expect(clippy::new_without_default, reason = "a bus is powered up, not there by default")]
    pub fn new() -> Self {
        Self { sensor: Sensor::new(), registers: Registers { pointer: 0, bytes: [0xff; 256] } }
    }
}

impl Bus for SimulatedBus {
    fn transfer(&mut self, now: Instant, address: u8, written: &[u8], read: &mut [u8]) -> Result<(), BusError> {
        match address {
            SENSOR_ADDRESS => {
                self.sensor.write(written)?;
                self.sensor.read(now, read);
            }
            REGISTERS_ADDRESS => {
                self.registers.write(written);
                self.registers.read(read);
            }
            _ => return Err(BusError::NoDevice),
        }
        Ok(())
    }

    fn is_simulated(&self) -> bool {
        true
    }

    fn identify(&mut self, now: Instant) -> Finding {
        let mut read = [0; 2];
        match self.transfer(now, SENSOR_ADDRESS, &[0], &mut read) {
            Ok(()) => Finding::well(format_args!(
                "simulated bus: a thermometer at {SENSOR_ADDRESS:#04x} shows {} C, a memory at {REGISTERS_ADDRESS:#04x}",
                u16::from_be_bytes(read) >> 8
            )),
            Err(_) => Finding::wrong(format_args!("simulated bus: nothing answers at {SENSOR_ADDRESS:#04x}")),
        }
    }
}
