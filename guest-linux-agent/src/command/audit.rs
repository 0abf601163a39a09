//! The audit log, shown, verified, saved: `emit audit`.

use std::{path::Path, thread, time::Duration};

use serde_json::json;
use shared_ring_messages::{Answer, AuditPage, Request};

use super::{Context, print, unexpected};
use crate::{
    arguments::Audit,
    audit::{
        Chain, Link, gap,
        saved::{self, Saved},
        show,
    },
    exit::Failure,
    session::{Error, Result, Session},
    show::hexadecimal,
    terminal,
};

/// How often a follower asks: at once for a person, no load for the node.
const WAIT: Duration = Duration::from_millis(100);

/// The first minor version of the protocol that has the log.
const SINCE_MINOR: u16 = 1;

pub(super) fn audit(context: &Context, arguments: &Audit) -> Result<u8> {
    let mut out = Out { context, is_shown: !arguments.verify && arguments.save.is_none(), is_begun: false };
    if let Some(path) = &arguments.file {
        return show_file(&mut out, path, arguments);
    }
    out.is_shown |= arguments.follow;
    let mut session = context.session()?;
    if session.minor() < SINCE_MINOR {
        return Err(Error::new(Failure::Version, "the node is older than this emit and keeps no audit log"));
    }
    let mut saved = arguments.save.as_deref().map(Saved::open).transpose()?;
    let goes_on = saved.as_ref().filter(|saved| saved.span().is_some()).map(|saved| saved.chain().clone());
    if goes_on.is_some() && arguments.since.is_some() {
        let message = "the file goes on where it ends; leave out `--since`, or save to another file";
        return Err(Error::new(Failure::Usage, message));
    }
    let before = saved.as_ref().and_then(Saved::span);
    let mut chain = goes_on.unwrap_or_else(|| Chain::from(arguments.since.unwrap_or(0)));
    let mut dropped = 0;
    loop {
        let page = page(&mut session, chain.next())?;
        if page.lost > 0 {
            let (from, to) = (chain.next(), chain.next().saturating_add(page.lost));
            // Behind what was saved, or seen, nothing may be missing; before it, it is only gone.
            if chain.span().is_some() && !(arguments.follow && saved.is_none()) {
                return Err(dropped_error(from, to));
            }
            out.lost(page.lost)?;
            dropped = page.lost;
        }
        let links = chain.take(&page)?;
        links.iter().try_for_each(|link| out.show(link))?;
        if let Some(saved) = &mut saved {
            saved.add(&links)?;
        }
        if page.next < page.end {
            continue;
        }
        if !arguments.follow {
            return out.end(&chain, dropped, page.held, saved.map(|saved| (before, saved)), arguments);
        }
        thread::sleep(WAIT);
    }
}

fn page(session: &mut Session, cursor: u64) -> Result<AuditPage> {
    match session.ask(Request::Audit { cursor })? {
        Answer::Audit(page) => Ok(*page),
        other => Err(unexpected(&other)),
    }
}

/// What was saved, as what is asked for.
fn show_file(out: &mut Out, path: &Path, arguments: &Audit) -> Result<u8> {
    let since = arguments.since.unwrap_or(0);
    let chain = saved::each(path, |link| if link.number >= since { out.show(&link) } else { Ok(()) })?;
    out.end(&chain, 0, 0, None, arguments)
}

fn dropped_error(from: u64, to: u64) -> Error {
    let error = gap(from, to);
    let message = format!("{}: the node dropped them from its full log", error.message);
    Error { message, hint: "save more often; what is left can be saved to another file", ..error }
}

struct Out<'a> {
    context: &'a Context<'a>,
    is_shown: bool,
    is_begun: bool,
}

impl Out<'_> {
    /// One line an entry, for a script as for a person, so that a follower reads them as they come.
    fn show(&mut self, link: &Link) -> Result<()> {
        if !self.is_shown {
            return Ok(());
        }
        if self.context.json() {
            return terminal::output(format!("{}\n", show::json(link)).as_bytes());
        }
        if !self.is_begun {
            self.is_begun = true;
            terminal::output(show::HEADER.as_bytes())?;
        }
        terminal::output(show::text(link).as_bytes())
    }

    fn lost(&self, lost: u64) -> Result<()> {
        if !self.is_shown {
            return Ok(());
        }
        if self.context.json() {
            return terminal::output(format!("{}\n", json!({ "lost": lost })).as_bytes());
        }
        terminal::note(&format!("{lost} entries were dropped before these"));
        Ok(())
    }

    /// What it came to: said where it was asked for.
    fn end(
        &self,
        chain: &Chain,
        dropped: u64,
        held: u64,
        saved: Option<(Option<(u64, u64)>, Saved)>,
        arguments: &Audit,
    ) -> Result<u8> {
        if self.is_shown {
            self.held(held)?;
            return Ok(0);
        }
        let (before, span) = saved.as_ref().map_or((None, chain.span()), |(before, saved)| (*before, saved.span()));
        let mut text = match span {
            Some((first, last)) => format!("whole from entry {first} to {last}"),
            None => format!("no entries from {} on", arguments.since.unwrap_or(0)),
        };
        if dropped > 0 {
            text.push_str(&format!("; {dropped} before them were dropped"));
        }
        if held > 0 {
            text.push_str(&format!("; {held} more are counted and not written yet"));
        }
        let added = span.map_or(0, |(first, last)| match before {
            Some((_, before)) => last - before,
            None => last - first + 1,
        });
        if saved.is_some() {
            text.push_str(&format!("; {added} added to the file"));
        }
        let mut value = json!({
            "whole": true,
            "first": span.map(|(first, _)| first),
            "last": span.map(|(_, last)| last),
            "head": chain.head().filter(|_| span.is_some()).map(|hash| hexadecimal(&hash)),
            "lost": dropped,
            "held": held,
        });
        if saved.is_some() {
            value["added"] = json!(added);
        }
        print(self.context, &value, &format!("{text}\n"))?;
        Ok(0)
    }

    fn held(&self, held: u64) -> Result<()> {
        if held == 0 {
            return Ok(());
        }
        if self.context.json() {
            return terminal::output(format!("{}\n", json!({ "held": held })).as_bytes());
        }
        terminal::note(&format!("{held} more, like the last of their kind, counted and not written yet"));
        Ok(())
    }
}
