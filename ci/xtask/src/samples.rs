//! `cargo xtask examples`: the sample containers, built or compared with what is committed.

use anyhow::{Result, bail};

use crate::{
    examples::{self, Options, Report},
    process,
};

/// What to do with the samples.
#[derive(Debug, clap::Args)]
pub(crate) struct SampleOptions {
    /// Which; all by default
    names: Vec<String>,
    /// Replace the committed modules
    #[arg(long, conflicts_with = "compare")]
    install: bool,
    /// Compare with the committed modules
    #[arg(long)]
    compare: bool,
}

/// Builds or compares, and reports each sample.
pub(crate) fn run(options: &SampleOptions) -> Result<()> {
    let repository = process::root();
    let say = |line: &str| println!("{line}");
    let work = Options { repository: &repository, only: &options.names, install: options.install, progress: &say };
    let report = if options.compare { examples::rebuild_and_compare(work) } else { examples::build(work) }?;
    match report.failed() {
        0 => Ok(()),
        count => bail!("{count} samples failed; there are {}", examples::names().collect::<Vec<_>>().join(", ")),
    }
}

/// All samples compared, for the test command.
pub(crate) fn compare_all() -> Result<Report> {
    let say = |line: &str| eprintln!("{line}");
    examples::rebuild_and_compare(Options { repository: &process::root(), only: &[], install: false, progress: &say })
}
