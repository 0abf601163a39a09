//! Builds the sample containers, and proves that the committed ones come from the committed sources.
//!
//! The modules in `examples/prebuilt/` exist so that a first try needs no Wasm toolchain; a binary in a repository deserves
//! no trust of its own, so [`rebuild_and_compare`] makes it again wherever a toolchain is found and compares byte by byte.
//! Whom it trusts: the compilers that it finds, and `examples/prebuilt/MANIFEST.toml` for which compiler made a module.

mod manifest;
mod shrink;

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::process;
use manifest::{Entry, Manifest};
use wasm_toolchain::{Job, Missing, Recipe, Toolchain};

/// What is to be done, and where.
#[derive(Clone, Copy)]
pub(crate) struct Options<'a> {
    /// The root of the repository.
    pub repository: &'a Path,
    /// Names of samples; none means all whose modules are committed.
    pub only: &'a [String],
    /// Whether [`build`] also replaces the committed modules and their manifest.
    pub install: bool,
    /// Is handed a line before each step that takes time and after each that ended.
    pub progress: &'a dyn Fn(&str),
}

/// What became of each sample.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// One a sample, in the order of [`SAMPLES`].
    pub outcomes: Vec<Outcome>,
    /// How many hostile modules were assembled, to `target/examples/hostile/`.
    pub hostile_modules: usize,
}

impl Report {
    /// How many were built or found equal.
    pub(crate) fn passed(&self) -> usize {
        self.count(|verdict| !matches!(verdict, Verdict::Failed(_) | Verdict::Skipped(_)))
    }

    /// How many could not be built, or are not what the manifest says.
    pub(crate) fn failed(&self) -> usize {
        self.count(|verdict| matches!(verdict, Verdict::Failed(_)))
    }

    /// How many found no toolchain on this machine.
    pub(crate) fn skipped(&self) -> usize {
        self.count(|verdict| matches!(verdict, Verdict::Skipped(_)))
    }

    fn count(&self, which: impl Fn(&Verdict) -> bool) -> usize {
        self.outcomes.iter().filter(|outcome| which(&outcome.verdict)).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (passed, failed, skipped) = (self.passed(), self.failed(), self.skipped());
        write!(formatter, "samples: {passed} passed, {failed} failed, {skipped} skipped; ")?;
        write!(formatter, "{} hostile modules assembled", self.hostile_modules)
    }
}

/// What became of one sample.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Its name.
    pub sample: &'static str,
    /// What became of it.
    pub verdict: Verdict,
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.sample, self.verdict)
    }
}

/// How it went with one sample.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It was built.
    Built {
        /// The module.
        path: PathBuf,
        /// Its size.
        bytes: usize,
    },
    /// The same toolchain made the same bytes as those committed.
    Identical,
    /// It builds, but with another toolchain than the committed one, so the bytes say nothing.
    BuildsElsewhere {
        /// The toolchain of this machine.
        here: String,
        /// The one that the manifest names.
        recorded: String,
    },
    /// It does not build, or what is committed is not what the sources or the manifest say.
    Failed(String),
    /// This machine lacks the toolchain.
    Skipped(Missing),
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Built { path, bytes } => write!(formatter, "built, {bytes} bytes, {}", path.display()),
            Self::Identical => formatter.write_str("rebuilt, identical to the committed module"),
            Self::BuildsElsewhere { here, recorded } => {
                write!(formatter, "builds; bytes not compared, this is {here}, the committed module is by {recorded}")
            }
            Self::Failed(why) => write!(formatter, "FAILED: {why}"),
            Self::Skipped(missing) => write!(formatter, "SKIPPED: {missing}"),
        }
    }
}

/// One sample container. One with an `app.toml` is packed with it, as `emit pack` does: a module without would lack its channels
/// and files where nobody can pack it, which is in the guest.
struct Sample {
    /// The name of its folder and of its module.
    name: &'static str,
    /// One line for the manifest.
    about: &'static str,
    recipe: Recipe,
    /// What runs it.
    world: &'static str,
    /// Whether its module lies in `examples/prebuilt/`. One that does not is only built when it is named.
    committed: bool,
}

impl Sample {
    const fn ours(name: &'static str, about: &'static str, recipe: Recipe) -> Self {
        Self { name, about, recipe, world: world(recipe), committed: true }
    }
}

/// The world of what a recipe makes, unless a sample says otherwise.
const fn world(recipe: Recipe) -> &'static str {
    match recipe {
        Recipe::RustCommand | Recipe::CCommand | Recipe::ZigCommand(_) | Recipe::Published { .. } => "wasi-command",
        Recipe::RustReactor | Recipe::CReactor | Recipe::AssemblyScript | Recipe::Text => "reactor",
    }
}

/// The file that a person opens first, below `examples/`.
fn source(recipe: Recipe, name: &str) -> String {
    match recipe {
        Recipe::RustCommand => format!("{name}/src/main.rs"),
        Recipe::RustReactor => format!("{name}/src/lib.rs"),
        Recipe::CCommand | Recipe::CReactor => format!("{name}/{name}.c"),
        Recipe::ZigCommand(file) => format!("{name}/{file}"),
        Recipe::AssemblyScript => format!("{name}/assembly/index.ts"),
        Recipe::Published { package, version } => format!("https://crates.io/crates/{package}/{version}"),
        Recipe::Text => format!("{name}/{name}.wat"),
    }
}

/// Every sample. The samples in WAT are all reactors; [`world`] says so.
const SAMPLES: &[Sample] = &[
    Sample::ours("hello", "prints arguments and a variable, ends with the code asked for", Recipe::RustCommand),
    Sample::ours("echo", "prints its arguments", Recipe::CCommand),
    Sample::ours("counter", "computes for a while", Recipe::RustCommand),
    Sample::ours("clock", "sleeps and shows the time before and after", Recipe::CCommand),
    Sample::ours("report", "sums up a file that is packed into its container", Recipe::CCommand),
    Sample::ours("banner", "prints large letters; a program of 1988, unchanged", Recipe::ZigCommand("sysvbanner.c")),
    Sample::ours("blinker", "toggles the output LED every 100 ms", Recipe::RustReactor),
    Sample::ours("beacon", "flashes the output LED at its active level and says where it runs", Recipe::RustReactor),
    Sample::ours("debounce", "toggles the output LED at each press of BUTTON, however it bounces", Recipe::RustReactor),
    Sample::ours("pid", "controls a simulated motor at 1 kHz and says how well", Recipe::RustReactor),
    Sample {
        world: "tiny-container",
        ..Sample::ours("tiny", "toggles the output LED ten times, as a TinyContainer", Recipe::CReactor)
    },
    Sample::ours("button", "counts rising edges on the input BUTTON", Recipe::CReactor),
    Sample::ours("sensor", "puts a temperature into a typed channel", Recipe::RustReactor),
    Sample::ours("display", "shows the temperature that another container provides", Recipe::RustReactor),
    Sample::ours("probe", "measures what host calls cost, for benchmarks", Recipe::CReactor),
    Sample::ours("greedy", "wants the output VALVE and reports the refusal", Recipe::Text),
    Sample::ours("spin", "never comes back from its loop hook", Recipe::Text),
    Sample::ours("metronome", "toggles the output LED on time, as its schedule says", Recipe::Text),
    Sample::ours("thermometer", "reads the thermometer of the I2C bus", Recipe::Text),
    Sample::ours("count", "puts numbers into a channel that provides a service", Recipe::Text),
    Sample::ours("plot", "gets numbers from a channel that needs the service", Recipe::Text),
    Sample::ours("fragile", "traps in its third loop, and is started again", Recipe::Text),
    Sample {
        name: "seq",
        about: "prints numbers; the program of uutils' coreutils, unchanged, some 900 KB",
        recipe: Recipe::Published { package: "uu_seq", version: "0.12.0" },
        world: "wasi-command",
        committed: false,
    },
];

/// The names of all samples, for completion and for messages.
pub(crate) fn names() -> impl Iterator<Item = &'static str> {
    SAMPLES.iter().map(|sample| sample.name)
}

/// Builds the samples to `target/examples/*.wasm` and assembles the hostile modules; with `install` also replaces
/// `examples/prebuilt/`.
///
/// # Errors
/// A name that no sample has, and files that cannot be read or written. A sample that does not build, or has no toolchain
/// on this machine, is an [`Outcome`].
pub(crate) fn build(options: Options<'_>) -> Result<Report> {
    let mut record = Manifest::read(options.repository)?;
    let mut outcomes = Vec::new();
    for sample in chosen(options.only)? {
        let preferred = record.entry(sample.name).map(|entry| entry.toolchain.clone());
        let verdict = match make(options, sample, preferred.as_deref())? {
            Made::Module { module, toolchain } => {
                if options.install && sample.committed {
                    record.replace(entry(options.repository, sample, &module, toolchain)?);
                    write(&prebuilt(options.repository, sample.name), &module)?;
                }
                let path = output(options.repository).join(format!("{}.wasm", sample.name));
                write(&path, &module)?;
                Verdict::Built { path, bytes: module.len() }
            }
            Made::Not(verdict) => verdict,
        };
        push(&mut outcomes, options, sample, verdict);
    }
    if options.install {
        record.write(options.repository)?;
    }
    finish(options, outcomes)
}

/// Checks the committed modules against their manifest and their sources, and rebuilds each whose toolchain is found.
///
/// # Errors
/// As [`build`]; what is wrong with one sample is an [`Outcome`].
pub(crate) fn rebuild_and_compare(options: Options<'_>) -> Result<Report> {
    let record = Manifest::read(options.repository)?;
    let mut outcomes = Vec::new();
    for sample in chosen(options.only)? {
        let verdict = compare(options, sample, record.entry(sample.name))?;
        push(&mut outcomes, options, sample, verdict);
    }
    finish(options, outcomes)
}

/// Assembles `examples/hostile/*.wat` to `target/examples/hostile/*.wasm`, unchecked: one of them is invalid on purpose.
/// Answers their paths, sorted.
///
/// # Errors
/// A text that does not parse, a file that cannot be read or written.
pub(crate) fn assemble_hostile(repository: &Path) -> Result<Vec<PathBuf>> {
    let into = output(repository).join("hostile");
    let mut assembled = Vec::new();
    for source in files_below(&examples(repository).join("hostile"))? {
        if source.extension().is_some_and(|extension| extension == "wat") {
            let name = source.file_stem().context("a file found in a folder has a name")?;
            let path = into.join(name).with_extension("wasm");
            write(&path, &wat::parse_file(&source)?)?;
            assembled.push(path);
        }
    }
    Ok(assembled)
}

/// Assembles the hostile modules, and says the numbers in one line.
fn finish(options: Options<'_>, outcomes: Vec<Outcome>) -> Result<Report> {
    let hostile_modules = assemble_hostile(options.repository)?.len();
    let report = Report { outcomes, hostile_modules };
    (options.progress)(&report.to_string());
    Ok(report)
}

fn push(outcomes: &mut Vec<Outcome>, options: Options<'_>, sample: &Sample, verdict: Verdict) {
    let outcome = Outcome { sample: sample.name, verdict };
    (options.progress)(&outcome.to_string());
    outcomes.push(outcome);
}

fn chosen(only: &[String]) -> Result<Vec<&'static Sample>> {
    if let Some(unknown) = only.iter().find(|name| !names().any(|known| known == name.as_str())) {
        bail!("there is no sample `{unknown}`; there are {}", names().collect::<Vec<_>>().join(", "));
    }
    let named = |sample: &Sample| only.iter().any(|name| name == sample.name);
    Ok(SAMPLES.iter().filter(|sample| named(sample) || only.is_empty() && sample.committed).collect())
}

/// A module, or why there is none.
enum Made {
    Module { module: Vec<u8>, toolchain: String },
    Not(Verdict),
}

/// Builds one sample with the `preferred` toolchain if it is here, else with another.
fn make(options: Options<'_>, sample: &Sample, preferred: Option<&str>) -> Result<Made> {
    let toolchain = match Toolchain::find(sample.recipe, preferred, &examples(options.repository))? {
        Ok(toolchain) => toolchain,
        Err(missing) => return Ok(Made::Not(Verdict::Skipped(missing))),
    };
    (options.progress)(&format!("{}: building with {}", sample.name, toolchain.description()));
    let (project, output) = (examples(options.repository), output(options.repository));
    let job = Job {
        project: &project,
        hidden: (options.repository, "atoll"),
        package: Some(sample.name),
        name: sample.name,
        source: &project.join(source(sample.recipe, sample.name)),
        output: &output,
        strict: true,
    };
    let built = toolchain
        .build(&job)
        .and_then(|module| shrink::without_custom_sections(&module))
        .and_then(|module| packed(options.repository, sample, module));
    Ok(match built {
        Ok(module) => Made::Module { module, toolchain: toolchain.description().to_owned() },
        Err(error) => Made::Not(Verdict::Failed(format!("{error:#}"))),
    })
}

/// The module with its `app.toml` and files, where it has one.
fn packed(repository: &Path, sample: &Sample, module: Vec<u8>) -> Result<Vec<u8>> {
    let app = app_file(repository, sample);
    if !app.is_file() {
        return Ok(module);
    }
    let folder = output(repository).join("packing");
    let (from, to) =
        (folder.join(format!("{}.module.wasm", sample.name)), folder.join(format!("{}.wasm", sample.name)));
    write(&from, &module)?;
    let mut emit = process::cargo();
    emit.args(["run", "--quiet", "--package", "guest-linux-agent", "--", "pack"]).arg(&from);
    let outcome = emit.arg("--app").arg(&app).arg("--output").arg(&to).output().context("cannot run emit")?;
    if !outcome.status.success() {
        bail!("emit pack: {}", String::from_utf8_lossy(&outcome.stderr).trim());
    }
    read(&to)
}

fn app_file(repository: &Path, sample: &Sample) -> PathBuf {
    examples(repository).join(sample.name).join("app.toml")
}

fn compare(options: Options<'_>, sample: &Sample, recorded: Option<&Entry>) -> Result<Verdict> {
    const AGAIN: &str = "run `cargo xtask examples --install`";
    if !sample.committed {
        return Ok(Verdict::Failed("no module of it is committed, so there is nothing to compare with".to_owned()));
    }
    let Some(recorded) = recorded else {
        return Ok(Verdict::Failed(format!("the manifest does not know it; {AGAIN}")));
    };
    let path = prebuilt(options.repository, sample.name);
    let Ok(committed) = fs::read(&path) else {
        return Ok(Verdict::Failed(format!("{} cannot be read; {AGAIN}", path.display())));
    };
    if manifest::sha256(&committed) != recorded.sha256 {
        return Ok(Verdict::Failed(format!("{} is not the module of the manifest; {AGAIN}", path.display())));
    }
    if source_digest(options.repository, sample)? != recorded.source_sha256 {
        return Ok(Verdict::Failed(format!("its sources changed since the committed module was built; {AGAIN}")));
    }
    Ok(match make(options, sample, Some(&recorded.toolchain))? {
        Made::Not(verdict) => verdict,
        Made::Module { toolchain, .. } if toolchain != recorded.toolchain => {
            Verdict::BuildsElsewhere { here: toolchain, recorded: recorded.toolchain.clone() }
        }
        Made::Module { module, .. } if module == committed => Verdict::Identical,
        Made::Module { module, .. } => Verdict::Failed(format!(
            "the same toolchain made other bytes: {} now, {} committed; {AGAIN}",
            module.len(),
            committed.len()
        )),
    })
}

fn entry(repository: &Path, sample: &Sample, module: &[u8], toolchain: String) -> Result<Entry> {
    Ok(Entry {
        name: sample.name.to_owned(),
        about: sample.about.to_owned(),
        world: sample.world.to_owned(),
        language: sample.recipe.language().to_owned(),
        source: source(sample.recipe, sample.name),
        toolchain,
        bytes: module.len(),
        sha256: manifest::sha256(module),
        source_sha256: source_digest(repository, sample)?,
    })
}

/// A digest over everything of ours that a module is made from. It tells a machine without a toolchain that a committed
/// module is out of date.
fn source_digest(repository: &Path, sample: &Sample) -> Result<String> {
    let examples = examples(repository);
    let folder = examples.join(sample.name);
    let mut digest = manifest::Digest::default();
    for path in files_below(&folder)? {
        let name = path.strip_prefix(&folder).context("a file found below a folder lies in it")?;
        digest.add(&name.to_string_lossy(), &read(&path)?);
    }
    if matches!(sample.recipe, Recipe::RustCommand | Recipe::RustReactor) {
        digest.add("Cargo.toml", &read(&examples.join("Cargo.toml"))?);
    }
    if sample.recipe == Recipe::RustReactor {
        if fs::read_to_string(folder.join("Cargo.toml"))?.contains(AUTHORS_CRATE) {
            add_authors_crate(&examples, &mut digest)?;
        }
        digest.add("Cargo.lock", &read(&examples.join("Cargo.lock"))?);
        let interface = String::from_utf8(read(&repository.join("runner/wit/atoll.wit"))?)?;
        digest.add("atoll.wit", without_comments(&interface).as_bytes());
    }
    Ok(digest.finish())
}

/// How a sample depends on the crate for authors.
const AUTHORS_CRATE: &str = "path = \"../atoll\"";

/// Of the crate for authors what goes into a module: the simulated node does not.
fn add_authors_crate(examples: &Path, digest: &mut manifest::Digest) -> Result<()> {
    let folder = examples.join("atoll");
    for path in files_below(&folder)? {
        let name = path.strip_prefix(&folder).context("a file found below a folder lies in it")?;
        if !name.starts_with("src/double") {
            digest.add(&format!("atoll/{}", name.display()), &read(&path)?);
        }
    }
    Ok(())
}

/// A better comment in the interface makes no module out of date.
fn without_comments(interface: &str) -> String {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    interface
        .lines()
        .map(words)
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn examples(repository: &Path) -> PathBuf {
    repository.join("examples")
}

fn prebuilt(repository: &Path, name: &str) -> PathBuf {
    examples(repository).join("prebuilt").join(name).with_extension("wasm")
}

fn output(repository: &Path) -> PathBuf {
    repository.join("target/examples")
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// All files below a folder, sorted, without those that an editor left (hidden ones, `*~`).
fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(files_below(&path)?);
        } else if !name.starts_with('.') && !name.ends_with('~') {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests;
