//! Text and lists that a host call answers with, in room that the container makes.
//!
//! The canonical ABI has the callee's memory allocated by the caller's own `cabi_realloc`. That is container code, so it
//! runs as all of it does: in slices of fuel, under the hook's limit, with the control word looked at in between; the call that
//! needs the room is suspended meanwhile. What the allocator answers is checked like any address.

use alloc::boxed::Box;

use wasmi::{Caller, Func, Store, ValType};

use crate::{
    engine::{Execution, copy_fuel},
    host::Host,
    memory::{Fault, GuestMemory, length_u32, offset},
    wait::{Wait, suspend},
    worlds::charge,
};

/// The most that one call hands over, in bytes.
pub(crate) const MAX_DELIVERY_BYTES: usize = 4096;

/// Fuel of one run of the allocator. A garbage collector that looks at all of a memory of a few MiB needs some millions; one
/// that needs more will not come back.
pub(crate) const ALLOCATOR_FUEL: u64 = 10_000_000;

/// Bytes of a string or a list as it is answered: address and length.
const PAIR_BYTES: u32 = 8;

/// Alignment of that pair.
const PAIR_ALIGNMENT: u32 = 4;

/// Fuel of handing something over, without its bytes: the room for it, and the way to the allocator and back.
pub(crate) const DELIVERY_FUEL: u64 = 300;

/// How often each byte is copied: out of where it was, and into the room that the container made.
const COPIES: u32 = 2;

/// The container's `cabi_realloc`.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Allocator {
    /// It exports none.
    Missing,
    /// What it exports takes or answers something else.
    OfAnotherType,
    /// It is there.
    Function(Func),
}

impl Allocator {
    pub(crate) fn of(function: Option<Func>, store: &Store<Host>) -> Self {
        let Some(function) = function else {
            return Self::Missing;
        };
        let ty = function.ty(store);
        if ty.params() == [ValType::I32; 4] && ty.results() == [ValType::I32] {
            Self::Function(function)
        } else {
            Self::OfAnotherType
        }
    }

    fn function(self) -> Result<Func, Fault> {
        match self {
            Self::Function(function) => Ok(function),
            Self::Missing => Err(Fault::NoAllocator { exported: false }),
            Self::OfAnotherType => Err(Fault::NoAllocator { exported: true }),
        }
    }
}

/// What is to be handed over.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    bytes: Box<[u8]>,
    /// Alignment of an element.
    alignment: u32,
    /// Elements, as the container counts them.
    count: u32,
    /// Where the container expects address and length.
    at: u32,
}

/// Ends a host call that answers a string: its address and length come to lie at `at`. What is longer than
/// [`MAX_DELIVERY_BYTES`] is cut between two characters.
pub(crate) fn answer_text<T>(caller: &mut Caller<'_, Host>, at: u32, text: &str) -> Result<T, Fault> {
    let text = &text[..text.floor_char_boundary(MAX_DELIVERY_BYTES)];
    answer_list(caller, at, text.as_bytes(), 1)
}

/// Ends a host call that answers a list of elements of `element_bytes` (1, 2, 4 or 8), which is their alignment too: the
/// list's address and length come to lie at `at`. At the most [`MAX_DELIVERY_BYTES`].
pub(crate) fn answer_list<T>(
    caller: &mut Caller<'_, Host>,
    at: u32,
    bytes: &[u8],
    element_bytes: u32,
) -> Result<T, Fault> {
    charge(caller, DELIVERY_FUEL + copy_fuel(COPIES * length_u32(bytes.len())));
    let (memory, host) = GuestMemory::of(caller)?;
    prepare(host, &memory, at, bytes, element_bytes)?;
    suspend(host, Wait::Allocate)
}

/// Has `bytes` handed over before the host call comes back; for one that waited and whose wait is over.
pub(crate) fn prepare(
    host: &mut Host,
    memory: &GuestMemory<'_>,
    at: u32,
    bytes: &[u8],
    element_bytes: u32,
) -> Result<(), Fault> {
    if !at.is_multiple_of(PAIR_ALIGNMENT) {
        return Err(Fault::Misaligned { address: at });
    }
    memory.slice(at, PAIR_BYTES)?;
    // Known before the allocator runs: whoever cannot be answered hears of it at the first call.
    host.allocator.function()?;
    let bytes = &bytes[..bytes.len().min(MAX_DELIVERY_BYTES)];
    host.delivery = Some(Delivery {
        bytes: bytes.into(),
        alignment: element_bytes,
        count: length_u32(bytes.len()) / element_bytes,
        at,
    });
    Ok(())
}

/// The call of the allocator that makes room for what waits.
pub(crate) fn request(host: &Host) -> Result<Execution, Fault> {
    let function = host.allocator.function()?;
    let (alignment, length) =
        host.delivery.as_ref().map_or((1, 0), |delivery| (delivery.alignment, length_u32(delivery.bytes.len())));
    // No old block: address and length 0.
    Ok(Execution::Allocate(function, [0, 0, alignment.cast_signed(), length.cast_signed()]))
}

/// Hands over what waits, into the room that the allocator answered.
pub(crate) fn complete(store: &mut Store<Host>, address: u32) -> Result<(), Fault> {
    let memory = store.data().memory.ok_or(Fault::NoMemory)?;
    let Some(delivery) = store.data_mut().delivery.take() else {
        return Ok(());
    };
    let mut memory = GuestMemory::new(memory.data_mut(store));
    let length = length_u32(delivery.bytes.len());
    if !address.is_multiple_of(delivery.alignment) {
        return Err(Fault::AllocatedMisaligned { address, alignment: delivery.alignment });
    }
    memory.write(address, &delivery.bytes).map_err(|_| Fault::AllocatedOutside { address, length })?;
    memory.write_u32(delivery.at, address)?;
    memory.write_u32(offset(delivery.at, PAIR_ALIGNMENT)?, delivery.count)
}
