//! Admission with the real warden, against a guest, cells and drivers that only exist here: whole dialogs as `emit` holds
//! them, every refusal, and hostile bytes from each side.

mod node;

mod audit;
mod channels;
mod dialog;
mod hostile;
mod life;
mod logs;
mod plans;
mod rights;
mod schedules;
mod sessions;
mod signatures;
mod uploads;
