//! `counter`: a command that computes (WASI preview 1), to see a cell busy while others stay on time.
//!
//! It counts the primes below a limit by trial division, which is slow on purpose, and prints a line at each tenth of the
//! way. `emit run counter.wasm 20000` prints 2262 at the end; without an argument the limit is 100,000.

use std::process::ExitCode;

/// Costs the interpreter 69 million units of fuel: a tenth of a second on a whole processor of a PC, seconds in a cell.
const DEFAULT_LIMIT: u32 = 100_000;

fn main() -> ExitCode {
    let limit = match std::env::args().nth(1).as_deref().map(str::parse) {
        None => DEFAULT_LIMIT,
        Some(Ok(limit)) => limit,
        Some(Err(_)) => {
            eprintln!("counter: the limit is a number below {}", u32::MAX);
            return ExitCode::from(2);
        }
    };
    let step = (limit / 10).max(1);
    let mut primes = 0_u32;
    for number in 0..limit {
        if number > 0 && number % step == 0 {
            println!("{primes} primes below {number}");
        }
        primes += u32::from(is_prime(number));
    }
    println!("{primes} primes below {limit}");
    ExitCode::SUCCESS
}

fn is_prime(number: u32) -> bool {
    number >= 2 && (2..).take_while(|factor| factor <= &(number / factor)).all(|factor| number % factor != 0)
}
