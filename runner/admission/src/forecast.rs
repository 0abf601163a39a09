//! What a node with some policy would answer, for who asks without a node (`emit verify`): by the node's own code, so that
//! both say the same.

use alloc::{string::String, vec::Vec};

use runner_interfaces::policy::{BoardLimits, BoardPolicy};

use crate::policy::Policy;

/// The rights that a signed container would have whose manifest asks for these and whose owner grants those, in their text form.
///
/// # Errors
/// Why it would be refused, in the node's words.
pub fn rights_of_signed(
    limits: BoardLimits,
    board: BoardPolicy,
    asked: &[String],
    granted: &[String],
) -> Result<Vec<String>, String> {
    // Nobody asks which policy it was.
    let policy = Policy { limits, board, sha256: [0; 32] };
    policy.resolve_signed(asked, granted).map(|rights| rights.texts).map_err(|failure| failure.detail)
}
