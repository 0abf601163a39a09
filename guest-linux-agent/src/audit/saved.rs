//! Entries that were saved: a file with a line of JSON each, chained as they came.
//!
//! A line holds the bytes that are chained and the two hashes, and nothing that could be read another way than they say.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};
use shared_ring_messages::AuditHash;

use super::{Chain, Link};
use crate::{
    exit::Failure,
    session::{Error, Result},
    show::hexadecimal,
};

/// A file that entries are added to, whole as far as it goes.
#[derive(Debug)]
pub(crate) struct Saved {
    path: PathBuf,
    file: File,
    chain: Chain,
}

impl Saved {
    /// Opens the file or makes it, and verifies what is in it.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path);
        let file = file.map_err(|error| cannot("open", path, &error))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let message = format!("another emit is saving to {}", path.display());
            return Err(Error::new(Failure::File, message));
        }
        let chain = each_of(&file, path, |_| Ok(()))?;
        Ok(Self { path: path.to_owned(), file, chain })
    }

    /// The first and the last entry in it.
    pub(crate) fn span(&self) -> Option<(u64, u64)> {
        self.chain.span()
    }

    /// The chain as far as the file goes.
    pub(crate) fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Adds entries, which are on the disk then.
    pub(crate) fn add(&mut self, links: &[Link]) -> Result<()> {
        if links.is_empty() {
            return Ok(());
        }
        if let (None, Some(first)) = (self.chain.span(), links.first()) {
            self.chain.skip_to(first.number);
        }
        let mut lines = String::new();
        for link in links {
            self.chain.add(link)?;
            lines.push_str(&line(link));
        }
        let written = self.file.write_all(lines.as_bytes()).and_then(|()| self.file.sync_data());
        written.map_err(|error| cannot("write", &self.path, &error))
    }
}

/// Verifies a file and has `take` look at each entry; answers the chain.
pub(crate) fn each(path: &Path, take: impl FnMut(Link) -> Result<()>) -> Result<Chain> {
    let file = File::open(path).map_err(|error| cannot("read", path, &error))?;
    each_of(&file, path, take)
}

fn each_of(file: &File, path: &Path, mut take: impl FnMut(Link) -> Result<()>) -> Result<Chain> {
    let mut chain = Chain::from(0);
    let in_file = |error: Error| Error { message: format!("{}: {}", path.display(), error.message), ..error };
    for (index, line) in BufReader::new(file).split(b'\n').enumerate() {
        let line = line.map_err(|error| cannot("read", path, &error))?;
        let parsed = parse(&line).ok_or_else(|| {
            let message = format!("{}: line {} is no entry of the audit log", path.display(), index + 1);
            Error { hint: "a line that is cut off was being written; take it out", ..super::broken(message) }
        })?;
        let Line { number, previous, hash, entry } = parsed;
        // The first line may be of any number.
        if index == 0 && number != 0 {
            chain.skip_to(number);
        }
        let link = Link::of(number, previous, &entry, hash).map_err(in_file)?;
        chain.add(&link).map_err(in_file)?;
        take(link)?;
    }
    Ok(chain)
}

fn line(link: &Link) -> String {
    let value = json!({
        "number": link.number,
        "previous": hexadecimal(&link.previous),
        "entry": hexadecimal(&link.entry),
        "hash": hexadecimal(&link.hash),
    });
    format!("{value}\n")
}

struct Line {
    number: u64,
    previous: AuditHash,
    entry: Vec<u8>,
    hash: AuditHash,
}

fn parse(line: &[u8]) -> Option<Line> {
    let value: Value = serde_json::from_slice(line).ok()?;
    let bytes = |field: &str| bytes(value[field].as_str()?);
    Some(Line {
        number: value["number"].as_u64()?,
        previous: bytes("previous")?.try_into().ok()?,
        entry: bytes("entry")?,
        hash: bytes("hash")?.try_into().ok()?,
    })
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let digit = |letter: u8| char::from(letter).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

fn cannot(what: &str, path: &Path, error: &std::io::Error) -> Error {
    Error::new(Failure::File, format!("cannot {what} {}: {error}", path.display()))
}
