//! `compare FIRST COUNT`: the seeds from FIRST on, what came of them, and those on which the engines do not agree.
//! `compare FIRST 1 FILE` also writes the module to FILE.

use std::{collections::BTreeMap, env, fs, panic, process::ExitCode, thread, time::Instant};

use runner_executor_fuzz::{Verdict, drive, input, module};

/// Native stack: wasmtime's compiled code runs on it.
const STACK_BYTES: usize = 64 << 20;

fn main() -> ExitCode {
    let runs = thread::Builder::new().stack_size(STACK_BYTES).spawn(run).expect("a thread can be had");
    runs.join().unwrap_or(ExitCode::FAILURE)
}

fn run() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let mut number = || arguments.next().and_then(|text| text.parse().ok());
    let (Some(first), Some(count)) = (number(), number()) else {
        eprintln!("compare FIRST COUNT [FILE]");
        return ExitCode::FAILURE;
    };
    if let (Some(file), Some((wasm, slice_fuel))) = (arguments.next(), module(&input(first))) {
        eprintln!("{file}: {} bytes, in slices of {slice_fuel}", wasm.len());
        fs::write(file, wasm).expect("the file can be written");
    }
    let began = Instant::now();
    let mut verdicts: BTreeMap<Verdict, u64> = BTreeMap::new();
    let mut differ = Vec::new();
    for seed in first..first + count {
        match panic::catch_unwind(|| drive(&input(seed))) {
            Ok(verdict) => *verdicts.entry(verdict).or_default() += 1,
            Err(_) => {
                eprintln!("seed {seed} differs");
                differ.push(seed);
            }
        }
    }
    for (verdict, count) in verdicts {
        println!("{count:>8} {verdict:?}");
    }
    println!("{count} executions in {:.1} s, {} differ: {differ:?}", began.elapsed().as_secs_f64(), differ.len());
    if differ.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
