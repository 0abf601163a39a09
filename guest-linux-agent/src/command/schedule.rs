//! Who has a schedule and what was promised: `emit schedule`.

use shared_ring_messages::{Answer, Request};

use super::{Context, print, unexpected, write_picture};
use crate::{
    arguments::Schedule,
    exit::Failure,
    schedule,
    session::{Error, Result},
};

pub(super) fn schedule(context: &Context, arguments: &Schedule) -> Result<u8> {
    let mut session = context.session()?;
    schedule::check_version(&session)?;
    let table = match session.ask(Request::Schedule)? {
        Answer::Schedule(table) => table,
        other => return Err(unexpected(&other)),
    };
    if let Some(path) = &arguments.svg {
        let picture = schedule::picture(&table).map_err(|why| Error::new(Failure::Internal, why))?;
        write_picture(path, picture)?;
    }
    print(context, &schedule::json(&table), &schedule::text(&table))?;
    Ok(0)
}
