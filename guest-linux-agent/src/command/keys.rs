//! `emit keys`: those on this machine, and changes of those that a node believes.

#[cfg(feature = "kit")]
pub(super) mod own;

use std::path::Path;

use serde_json::json;
use shared_ring_messages::{Answer, MAX_CHANGE_BYTES, Request};

use super::{Context, print, unexpected};
use crate::{
    arguments::{KeyVerb, Keys},
    exit::Failure,
    module,
    session::{Error, Result},
};

pub(super) fn keys(context: &Context, arguments: &Keys) -> Result<u8> {
    match &arguments.verb {
        KeyVerb::Send { file } => send(context, file),
        #[cfg(feature = "kit")]
        verb => own::keys(context, &arguments.place, verb),
    }
}

/// The node believes the owner's signature, and nobody who sends it.
fn send(context: &Context, file: &Path) -> Result<u8> {
    let token = module::read_file(file)?;
    if token.len() > MAX_CHANGE_BYTES {
        let message = format!("{} is no change of keys: one has at most {MAX_CHANGE_BYTES} bytes", file.display());
        let hint = "`emit keys update` writes one, where emit has the developer's verbs";
        return Err(Error { hint, ..Error::new(Failure::File, message) });
    }
    match context.ask(Request::ChangeKeys { token })? {
        Answer::KeysChanged { stopped, barred } => {
            let file = file.display().to_string();
            let mut text = format!("{file}: the node carried it out; `emit info` lists its keys\n");
            for name in &stopped {
                text.push_str(&format!("{name}: is stopped, for a revoked key signed it\n"));
            }
            for name in &barred {
                text.push_str(&format!("{name}: has ended and cannot be started again, for a revoked key signed it\n"));
            }
            print(context, &json!({ "sent": file, "stopped": stopped, "barred": barred }), &text)?;
            Ok(0)
        }
        other => Err(unexpected(&other)),
    }
}
