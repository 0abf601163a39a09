//! What a person may type about keys and signatures.

use std::path::PathBuf;

use clap::Args;
use runner_tokens::Role;

/// Where keys are.
#[derive(Debug, Args)]
pub(crate) struct KeyPlace {
    /// The directory of keys; by default $XDG_CONFIG_HOME/atoll/keys or ~/.config/atoll/keys
    #[arg(long = "keys", visible_alias = "directory", value_name = "DIRECTORY", env = "ATOLL_KEYS", global = true)]
    pub(crate) directory: Option<PathBuf>,
}

/// How a private key is opened.
#[derive(Debug, Args)]
pub(crate) struct Passphrase {
    /// The passphrase is the first line of this file; asked for at the terminal otherwise
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
}

/// `emit keys new`.
#[derive(Debug, Args)]
#[command(after_help = "\
A key is never overwritten. The private key is PKCS#8, encrypted with scrypt and AES-256: `openssl pkey -in NAME.pem` reads it.

Examples:
  emit keys new dev --role developer
  emit keys new plant --role owner --passphrase-file /run/secrets/plant
  openssl genpkey -algorithm ed25519 | emit keys new dev --role developer --from -")]
pub(crate) struct KeyNew {
    /// What to call it: letters, digits, `-` and `_`
    pub(crate) name: String,
    /// What it signs: developer (code), provider (files), integrator (which code with which files and which app.toml),
    /// owner (rights, and changes of keys)
    #[arg(long, value_parser = role)]
    pub(crate) role: Role,
    #[command(flatten)]
    pub(crate) passphrase: Passphrase,
    /// Leave the private key unencrypted: for tests, and where the disk is
    #[arg(long, conflicts_with = "passphrase_file")]
    pub(crate) no_passphrase: bool,
    /// Take this private key (PKCS#8, PEM) instead of making one; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) from: Option<PathBuf>,
}

/// `emit keys update`.
#[derive(Debug, Args)]
#[command(after_help = "\
A node carries it out until its next start; after that its image counts again. A key that was lost is taken out of the next
image too.

Example:
  emit keys update --add new.pub --revoke 0123456789abcdef --key plant -o plant.keys")]
pub(crate) struct KeyUpdate {
    /// A public key's file, with its role. May be given several times
    #[arg(long, value_name = "FILE", required_unless_present = "revoke")]
    pub(crate) add: Vec<PathBuf>,
    /// The id or the name of a key that is not to be believed any more. May be given several times
    #[arg(long, value_name = "ID|NAME")]
    pub(crate) revoke: Vec<String>,
    /// The owner's key: its name, or its private file
    #[arg(long, value_name = "NAME|FILE")]
    pub(crate) key: String,
    #[command(flatten)]
    pub(crate) passphrase: Passphrase,
    /// Where to
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: PathBuf,
    /// The number that goes up with each change; by default the time, in seconds since 1970
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) sequence: Option<u64>,
    /// Only for this board; by default for any
    #[arg(long, value_name = "BOARD")]
    pub(crate) board: Option<String>,
}

/// `emit sign`.
#[derive(Debug, Args)]
#[command(after_help = "\
Each role signs after those whose word it relies on: developer and provider, then integrator, then owner. A signature that an
earlier role's new one makes void is taken out, and told.

Examples:
  emit sign blinker.wasm --as developer --key dev
  emit sign blinker.wasm --as integrator --key plant --expires 90d
  emit sign blinker.wasm --as owner --key owner --integrator plant --grant gpio:LED:out --grant timer:10ms")]
pub(crate) struct Sign {
    /// The container, as `emit pack` or `emit build` made it
    pub(crate) file: PathBuf,
    /// The role to sign in; by default the key's
    #[arg(long = "as", value_name = "ROLE", value_parser = role)]
    pub(crate) role: Option<Role>,
    /// The key to sign with: its name, or its private file
    #[arg(long, value_name = "NAME|FILE")]
    pub(crate) key: String,
    #[command(flatten)]
    pub(crate) place: KeyPlace,
    #[command(flatten)]
    pub(crate) passphrase: Passphrase,
    /// Where to; by default the same file
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Take over from this container, an earlier version, the tokens that hold for this one too: an owner's, for instance
    #[arg(long, value_name = "FILE")]
    pub(crate) carry: Option<PathBuf>,
    /// The number that never goes down on a node; by default the time, in seconds since 1970
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) sequence: Option<u64>,
    /// Not valid from then on: in so long (`90d`), or from that day (`2027-01-31`) or second (`2027-01-31T12:00:00Z`), in UTC.
    /// By default it has no end
    #[arg(long, value_name = "DURATION|DATE", value_parser = expiry)]
    pub(crate) expires: Option<Expiry>,
    /// Only for this board (`emit info` shows a node's); by default for any. Integrator and owner
    #[arg(long, value_name = "BOARD")]
    pub(crate) board: Option<String>,
    /// Owner: a right that the container may have, as `deploy` takes them. May be given several times
    #[arg(long = "grant", value_name = "RIGHT")]
    pub(crate) grants: Vec<String>,
    /// Owner: it may have no rights
    #[arg(long, conflicts_with = "grants")]
    pub(crate) no_rights: bool,
    /// Owner: the integrator who is trusted to say what runs with these rights
    #[arg(long, value_name = "NAME|ID")]
    pub(crate) integrator: Option<String>,
}

/// `emit verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
It says what a node with these keys would say, as far as that can be known without one: which sequences a node has accepted
already, it cannot. Ends with 7 where the file would be refused.

Examples:
  emit verify blinker.wasm
  emit verify blinker.wasm --keys fleet --policy policy.toml")]
pub(crate) struct Verify {
    /// The container, or a change of keys
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) place: KeyPlace,
    /// The board that it is to run on; by default the policy's, else whichever the tokens are for
    #[arg(long, value_name = "BOARD")]
    pub(crate) board: Option<String>,
    /// The board's policy: shows which rights it leaves
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Option<PathBuf>,
}

/// When a token ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// So many seconds after it was made.
    In(u64),
    /// In seconds since 1970.
    At(u64),
}

impl Expiry {
    /// In seconds since 1970, for a token that is made then.
    pub(crate) const fn after(self, issued: u64) -> u64 {
        match self {
            Self::In(seconds) => issued.saturating_add(seconds),
            Self::At(second) => second,
        }
    }
}

fn expiry(text: &str) -> Result<Expiry, String> {
    if let Ok(duration) = humantime::parse_duration(text) {
        return match duration.as_secs() {
            0 => Err("it would end at once".into()),
            seconds => Ok(Expiry::In(seconds)),
        };
    }
    let day = format!("{text}T00:00:00Z");
    let time = humantime::parse_rfc3339(text).or_else(|_| humantime::parse_rfc3339(&day));
    let since = time.ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    let since = since.ok_or("expected a duration as `90d`, or a date as `2027-01-31`")?;
    Ok(Expiry::At(since.as_secs()))
}

/// Named ones, so that another word is told which there are.
fn role(text: &str) -> Result<Role, String> {
    Role::of_name(text).ok_or_else(|| {
        let names: Vec<_> = Role::ALL.iter().map(|role| role.name()).collect();
        format!("there are {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_duration_or_a_date() {
        assert_eq!(expiry("90d"), Ok(Expiry::In(90 * 86400)));
        assert_eq!(expiry("2027-02-01"), Ok(Expiry::At(1_801_440_000)));
        assert_eq!(expiry("2027-02-01T00:00:01Z"), Ok(Expiry::At(1_801_440_001)));
        assert_eq!(Expiry::In(10).after(5), 15);
        assert_eq!(Expiry::At(10).after(50), 10);
        for wrong in ["", "soon", "90", "0s", "2027-02-30", "1960-01-01", "2027-02-01T00:00"] {
            assert!(expiry(wrong).is_err(), "{wrong}");
        }
    }
}
