//! `node`: where the container runs, and as what. Each function answers a string, in room that the container makes.

use alloc::string::String;

use wasmi::{Caller, Error, Linker};

use super::super::{Unknown, enter, function};
use crate::{delivery, host::Host};

pub(super) fn define(linker: &mut Linker<Host>, module: &str, name: &str) -> Result<(), Unknown> {
    let text: fn(&Host) -> &String = match name {
        "board" => |host| &host.configuration.node.board,
        "version" => |host| &host.configuration.node.version,
        "substrate" => |host| &host.configuration.node.substrate,
        "container-name" => |host| &host.configuration.name,
        "container-version" => |host| &host.configuration.version,
        _ => return Err(Unknown),
    };
    function::define(linker, module, name, move |caller: &mut Caller<'_, Host>, result: u32| {
        answer(caller, result, text)
    })?;
    Ok(())
}

fn answer(caller: &mut Caller<'_, Host>, result: u32, text: fn(&Host) -> &String) -> Result<(), Error> {
    enter(caller);
    let text = text(caller.data()).clone();
    Ok(delivery::answer_text(caller, result, &text)?)
}
