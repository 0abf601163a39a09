//! `fuzz smoke SECONDS`: every target for its part of that time; counted like tests.
//! `fuzz many NAME EXECUTIONS`: so many random inputs.
//! `fuzz one NAME HEX`: one input, as `smoke` and libFuzzer's files name them.
//! `fuzz unpack NAME FOLDER`: seeds and corpus as files, for libFuzzer. `fuzz keep NAME FOLDER`: files as the corpus.
#![forbid(unsafe_code)]

use std::{
    fs,
    io::Write,
    path::Path,
    process::ExitCode,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, Result, bail};
use fuzz::{Corpus, Failure, TARGETS, Target, find, from_hex, hex, run_while, survives};

/// Between two words of progress.
const WORD: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["smoke", seconds] => smoke(seconds),
        ["many", name, executions] => many(name, executions),
        ["one", name, input] => one(name, input),
        ["unpack", name, folder] => unpack(name, Path::new(folder)),
        ["keep", name, folder] => keep(name, Path::new(folder)),
        _ => Err(anyhow::anyhow!(
            "fuzz smoke SECONDS | many NAME EXECUTIONS | one NAME HEX | unpack NAME FOLDER | keep NAME FOLDER"
        )),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn target(name: &str) -> Result<&'static Target> {
    let names = || TARGETS.iter().map(|target| target.name).collect::<Vec<_>>().join(", ");
    find(name).with_context(|| format!("no target `{name}`; there are {}", names()))
}

/// Every target for its part of the time. The lines are those of a test harness, so that they are counted like its.
fn smoke(seconds: &str) -> Result<()> {
    let seconds: u64 = seconds.parse().context("a number of seconds")?;
    let part = Duration::from_secs(seconds) / u32::try_from(TARGETS.len())?;
    let seed = seed()?;
    println!("{} targets for {:.1} s each, seed {seed}", TARGETS.len(), part.as_secs_f64());
    let mut failed = 0;
    for target in TARGETS {
        print!("test fuzz::{} ... ", target.name);
        std::io::stdout().flush()?;
        let inputs = Corpus::default().inputs(target)?;
        let began = Instant::now();
        match run_while(target, &inputs, seed, |_| began.elapsed() < part) {
            Ok(executions) => println!(
                "ok, {executions} executions in {:.1} s from {} inputs",
                began.elapsed().as_secs_f64(),
                inputs.len()
            ),
            Err(failure) => {
                failed += 1;
                println!("FAILED");
                tell(target, &failure);
            }
        }
    }
    let result = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {result}. {} passed; {failed} failed; 0 ignored", TARGETS.len() - failed);
    if failed > 0 {
        bail!("{failed} targets did not survive an input");
    }
    Ok(())
}

/// So many inputs, with a word now and then.
fn many(name: &str, executions: &str) -> Result<()> {
    let (target, wanted) = (target(name)?, executions.parse::<u64>().context("a number of executions")?);
    let inputs = Corpus::default().inputs(target)?;
    let (began, seed) = (Instant::now(), seed()?);
    println!("{name}: {wanted} executions from {} inputs, seed {seed}", inputs.len());
    let mut next_word = WORD;
    let result = run_while(target, &inputs, seed, |executions| {
        if began.elapsed() >= next_word {
            println!("{executions} in {:.0} s", began.elapsed().as_secs_f64());
            next_word += WORD;
        }
        executions < wanted
    });
    match result {
        Ok(executions) => println!("{name}: {executions} executions in {:.0} s", began.elapsed().as_secs_f64()),
        Err(failure) => {
            tell(target, &failure);
            bail!("{name} did not survive it");
        }
    }
    Ok(())
}

/// Other inputs each time: the same ones would find nothing after the first.
fn seed() -> Result<u64> {
    Ok(SystemTime::UNIX_EPOCH.elapsed()?.as_secs())
}

fn tell(target: &Target, failure: &Failure) {
    println!("{}: {}", target.name, failure.message);
    println!("the same again: cargo xtask fuzz --target {} --input {}", target.name, hex(&failure.input));
}

fn one(name: &str, input: &str) -> Result<()> {
    let target = target(name)?;
    let input = from_hex(input).context("the input is not hexadecimal")?;
    match survives(target, &input) {
        Ok(()) => println!("{name}: nothing is wrong with these {} bytes", input.len()),
        Err(failure) => {
            tell(target, &failure);
            bail!("{name} did not survive it");
        }
    }
    Ok(())
}

fn unpack(name: &str, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    for (number, input) in Corpus::default().inputs(target(name)?)?.iter().enumerate() {
        fs::write(folder.join(format!("kept-{number:05}")), input)?;
    }
    Ok(())
}

fn keep(name: &str, folder: &Path) -> Result<()> {
    let mut inputs = Vec::new();
    for file in fs::read_dir(folder)? {
        inputs.push(fs::read(file?.path())?);
    }
    println!("{} inputs", inputs.len());
    Corpus::default().keep(target(name)?, inputs)
}
