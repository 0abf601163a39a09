//! A board's policy, and what a node with it says of rights.
//!
//! Read by the code that builds it into an image, and asked by the code that the node asks: what this says, a node says.

use std::path::Path;

use pd_system_description::policy::Policy;
use runner_admission::rights_of_signed;

use crate::{
    exit::Failure,
    session::{Error, Result},
};

/// A policy that was read.
#[derive(Debug)]
pub(crate) struct BoardRules(Policy);

impl BoardRules {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        Policy::load(path).map(Self).map_err(|error| Error::new(Failure::File, error.to_string()))
    }

    /// The board that it is for.
    pub(crate) fn board(&self) -> &str {
        &self.0.board.board
    }

    pub(crate) fn allows_unsigned(&self) -> bool {
        self.0.board.allow_unsigned
    }

    /// The rights of a container that asks for these and was granted those; or why it is refused.
    pub(crate) fn rights(&self, asked: &[String], granted: &[String]) -> std::result::Result<Vec<String>, String> {
        rights_of_signed(self.0.limits, self.0.board.clone(), asked, granted)
    }

    /// Why nobody may have that right.
    pub(crate) fn forbids(&self, right: &str) -> Option<String> {
        let right = [right.to_owned()];
        self.rights(&right, &right).err()
    }
}
