//! How much heap admission may need, so that a substrate can give it that much.

use runner_interfaces::link::MAX_SESSIONS;

use crate::{
    audit::AUDIT_HEAP_BYTES,
    events::{MAX_EVENT_TEXT_BYTES, MAX_EVENTS},
    log::{MAX_LOG_BYTES, MAX_LOG_RECORDS},
    session::MAX_UNREAD_BYTES,
    used::COUNTED_BYTES,
};

const KIB: usize = 1024;

/// A session: the answers that it has not read, and the unfinished frame (8 KiB in a vector that doubles).
const SESSION_BYTES: usize = MAX_UNREAD_BYTES + 16 * KIB;

/// A container: its log (a place in it takes 32 bytes), 32 KiB for its name, rights and at the most 64 arguments of together
/// 4 KiB, and twice as much for its channels, as it declares them and as the node knows them: the texts of a manifest, less than
/// 16 KiB, and 16 channels with a service of 8 attributes each, 48 bytes an attribute; and what the drivers had counted when it
/// came.
const CONTAINER_BYTES: usize = MAX_LOG_BYTES + MAX_LOG_RECORDS * 32 + 3 * 32 * KIB + COUNTED_BYTES;

/// A manifest from its decoding until its module was looked over, which is at the end of an upload and not while a long frame is
/// decoded: 20 times its size at the most (`runner_container::Manifest::decode`). And the tokens that go with it, ten times
/// (`runner_tokens`, `tests/heap.rs`).
const MANIFEST_BYTES: usize = 20 * runner_container::MAX_MANIFEST_BYTES + 10 * runner_tokens::MAX_TOKEN_BYTES;

/// An event with the longest name and text; the list has room for half as many again as it grows.
const EVENTS_BYTES: usize = MAX_EVENTS * (MAX_EVENT_TEXT_BYTES + shared_ring_messages::MAX_NAME_BYTES + 2 * 96);

/// A frame while it is decoded: a vector gets room for as many elements as it claims, at the most as many as bytes are left
/// of the frame (8 KiB), and none is larger than two strings (48 bytes).
const DECODING_BYTES: usize = 8 * KIB * 48;

/// An answer while it is made: all containers with their arguments, and its frame in three shapes.
const ANSWERING_BYTES: usize = 128 * KIB;

/// The policy: its region's names as bytes and decoded, and once more as a container's labels.
const POLICY_BYTES: usize = 64 * KIB;

/// The most heap that admission has in use at a time, in bytes, without what an allocator adds. `module_limit_bytes` is the
/// board's.
pub const fn worst_case_heap_bytes(cells: usize, module_limit_bytes: usize) -> usize {
    MAX_SESSIONS * SESSION_BYTES
        + cells * CONTAINER_BYTES
        + if DECODING_BYTES > MANIFEST_BYTES { DECODING_BYTES } else { MANIFEST_BYTES }
        + ANSWERING_BYTES
        + POLICY_BYTES
        + EVENTS_BYTES
        + AUDIT_HEAP_BYTES
        + module_limit_bytes
}
