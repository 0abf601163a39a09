//! How punctual a container is: `emit jitter`.

use shared_ring_messages::{Answer, Request};

use super::{Context, print, unexpected, write_picture};
use crate::{
    arguments::Jitter,
    exit::Failure,
    jitter,
    session::{Error, Result},
};

/// The first minor version of the protocol that tells it.
const SINCE_MINOR: u16 = 2;

pub(super) fn jitter(context: &Context, arguments: &Jitter) -> Result<u8> {
    let mut session = context.session()?;
    if session.minor() < SINCE_MINOR {
        return Err(Error::new(Failure::Version, "the node is older than this emit and keeps no schedules"));
    }
    let report = match session.ask(Request::Timing(arguments.name.clone()))? {
        Answer::Timing(report) => report,
        other => return Err(unexpected(&other)),
    };
    if let Some(path) = &arguments.svg {
        write_picture(path, jitter::picture(&report))?;
    }
    print(context, &jitter::json(&report), &jitter::text(&report))?;
    Ok(0)
}
