//! `clock`: the time since the node started.

use wasmi::{Caller, Linker};

use super::super::{Unknown, enter};
use crate::host::Host;

pub(super) fn define(linker: &mut Linker<Host>, module: &str, name: &str) -> Result<(), Unknown> {
    match name {
        "now" => linker.func_wrap(module, name, now),
        _ => return Err(Unknown),
    }?;
    Ok(())
}

fn now(mut caller: Caller<'_, Host>) -> u64 {
    enter(&mut caller);
    caller.data().now().nanoseconds()
}
