//! The hooks of a container, and how they are exported.

use crate::Error;

/// What `on_loop` wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// To be called again.
    Again,
    /// To end.
    Finish,
}

/// A container. Its state is shared between the hooks (`&self`, so `Cell` for what changes): `on_stop` also runs while `on_loop`
/// waits, and that wait never comes back. For the same reason nothing should be borrowed from a `RefCell` over a wait.
pub trait Reactor: Sized {
    /// Called once: opens and arms everything.
    ///
    /// # Errors
    /// Whatever keeps the container from running; it fails, and says this.
    fn on_start() -> Result<Self, Error>;

    /// Called again and again until it answers [`Next::Finish`]. Waits for something in it, and reacts.
    fn on_loop(&self) -> Next;

    /// Called once when the container has finished or is asked to stop, also while `on_loop` waits.
    fn on_stop(&self) {}
}

/// Exports a type that implements [`Reactor`] as the container, with a panic handler and an allocator that refuses. Once a
/// container; natively it does nothing.
#[macro_export]
macro_rules! reactor {
    ($container:ty) => {
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            static CONTAINER: $crate::exported::Place<$container> = $crate::exported::Place::new();

            #[global_allocator]
            static ALLOCATOR: $crate::exported::FailAllocator = $crate::exported::FailAllocator;

            #[panic_handler]
            fn panic(info: &::core::panic::PanicInfo<'_>) -> ! {
                $crate::exported::log_panic(info);
                ::core::arch::wasm32::unreachable()
            }

            struct Exported;

            impl $crate::bindings::Guest for Exported {
                fn on_start() -> $crate::bindings::Status {
                    CONTAINER.start()
                }

                fn on_loop() -> $crate::bindings::Next {
                    CONTAINER.turn()
                }

                fn on_stop() {
                    CONTAINER.stop();
                }
            }

    $crate::bindings::export!(Exported with_types_in $crate::bindings);
        };
    };
}

/// Where the container lies between its hooks.
#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code, reason = "a static of a type that is not `Sync`")]
mod place {
    use core::cell::OnceCell;

    use super::{Next, Reactor};
    use crate::bindings;

    /// See [`super::Reactor`].
    #[derive(Debug)]
    pub struct Place<T>(OnceCell<T>);

    // SAFETY: a module has one thread: this is compiled only without the `atomics` feature, without which its memory cannot be
    // shared.
    #[cfg(not(target_feature = "atomics"))]
    unsafe impl<T> Sync for Place<T> {}

    impl<T> Place<T> {
        #[allow(missing_docs, clippy::new_without_default, reason = "for a macro only")]
        pub const fn new() -> Self {
            Self(OnceCell::new())
        }
    }

    #[allow(missing_docs, reason = "for a macro only")]
    impl<T: Reactor> Place<T> {
        pub fn start(&self) -> bindings::Status {
            match T::on_start() {
                // A cell starts an instance once.
                Ok(container) => self.0.set(container).map_or(bindings::Status::Busy, |()| bindings::Status::Ok),
                Err(error) => error.into(),
            }
        }

        pub fn turn(&self) -> bindings::Next {
            match self.0.get().map(T::on_loop) {
                Some(Next::Again) => bindings::Next::Again,
                Some(Next::Finish) | None => bindings::Next::Finish,
            }
        }

        pub fn stop(&self) {
            if let Some(container) = self.0.get() {
                container.on_stop();
            }
        }
    }
}
#[cfg(target_arch = "wasm32")]
pub use place::Place;
