//! `clock`: the time since the node started.

use wasmi::{Caller, Linker};

use super::super::{Unknown, enter, function};
use crate::host::Host;

pub(super) fn define(linker: &mut Linker<Host>, module: &str, name: &str) -> Result<(), Unknown> {
    match name {
        "now" => function::define(linker, module, name, now),
        _ => return Err(Unknown),
    }?;
    Ok(())
}

fn now(caller: &mut Caller<'_, Host>) -> u64 {
    enter(caller);
    caller.data().now().nanoseconds()
}
