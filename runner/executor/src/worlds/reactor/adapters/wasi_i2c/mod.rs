//! `wasi:i2c`: a module a draft.

mod draft_2024_03_19;

pub(super) use draft_2024_03_19::DRAFT as DRAFT_2024_03_19;
