//! The Linux host as a domain's process sees it.

pub(crate) mod confinement;
pub(crate) mod control;
pub(crate) mod event_loop;
pub(crate) mod handover;
pub(crate) mod kernel;
pub(crate) mod mailbox;
pub(crate) mod mapping;
pub(crate) mod priority;
