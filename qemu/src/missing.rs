//! Something this machine lacks, and how to get it.
//!
//! Kept apart from every other failure: a test that meets it is skipped and says why, a person gets the next command to
//! type, and neither is mistaken for a defect.

use std::fmt;

/// A tool, package or toolchain that is not here. Found in an [`anyhow::Error`] with `downcast_ref`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// What is not here.
    pub what: String,
    /// What a person does to get it.
    pub remedy: String,
}

impl Missing {
    /// Says what is missing and what to do about it.
    pub fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}; {}", self.what, self.remedy)
    }
}

impl std::error::Error for Missing {}
