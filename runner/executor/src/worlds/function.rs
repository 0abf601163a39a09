//! Host functions as the linker gets them: a call that costs more fuel than the slice has left ends the slice behind it.
//!
//! The interpreter looks for fuel where a piece of straight code begins and not where a host function returns, so a piece with many calls would run
//! all of them in one slice. Here the call is done, its answer is kept, and the container is suspended; its next slice begins with the
//! answer.

use wasmi::{Caller, Error, Linker, Val, WasmRet, WasmTy, errors::LinkerError};

use crate::{host::Host, memory::Fault};

/// What a host call answers, where it answers anything. A float is its bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Nothing,
    I32(i32),
    I64(i64),
    F64(u64),
}

impl Answer {
    /// As the interpreter takes it.
    pub(crate) fn value(self) -> Option<Val> {
        match self {
            Self::Nothing => None,
            Self::I32(value) => Some(Val::I32(value)),
            Self::I64(value) => Some(Val::I64(value)),
            Self::F64(bits) => Some(Val::F64(wasmi::F64::from_bits(bits))),
        }
    }
}

macro_rules! answers {
    ($($value:ty: $answer:expr),*) => {$(
        impl From<$value> for Answer {
            fn from(value: $value) -> Self {
                $answer(value)
            }
        }

        impl Outcome for $value {
            type Value = Self;

            fn outcome(self) -> Result<Self, Error> {
                Ok(self)
            }
        }
    )*};
}

answers! {
    (): |()| Self::Nothing,
    i32: Self::I32,
    u32: |value: u32| Self::I32(value.cast_signed()),
    i64: Self::I64,
    u64: |value: u64| Self::I64(value.cast_signed()),
    f64: |value: f64| Self::F64(value.to_bits())
}

/// What a host function returns: what it answers, or that with an error.
pub(crate) trait Outcome {
    type Value: Copy + Into<Answer>;

    fn outcome(self) -> Result<Self::Value, Error>;
}

impl<T: Copy + Into<Answer>> Outcome for Result<T, Error> {
    type Value = T;

    fn outcome(self) -> Result<T, Error> {
        self
    }
}

/// A function of the host with such parameters.
pub(crate) trait HostFunction<Parameters>: Sized {
    /// Offers it as `module.name`.
    fn define(self, linker: &mut Linker<Host>, module: &str, name: &str) -> Result<(), LinkerError>;
}

macro_rules! host_functions {
    ($(($($parameter:ident)*))*) => {$(
        impl<F, R, $($parameter),*> HostFunction<($($parameter,)*)> for F
        where
            F: Fn(&mut Caller<'_, Host>, $($parameter),*) -> R + Send + Sync + 'static,
            R: Outcome,
            Result<R::Value, Error>: WasmRet,
            $($parameter: WasmTy,)*
        {
            fn define(self, linker: &mut Linker<Host>, module: &str, name: &str) -> Result<(), LinkerError> {
                #[allow(non_snake_case, reason = "a parameter is called like its type")]
                let function = move |mut caller: Caller<'_, Host>, $($parameter: $parameter),*| {
                    let value = self(&mut caller, $($parameter),*).outcome()?;
                    end_slice_if_overdrawn(&mut caller, value.into())?;
                    Ok(value)
                };
                linker.func_wrap(module, name, function).map(drop)
            }
        }
    )*};
}

host_functions! { () (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E G) (A B C D E G H) (A B C D E G H I) (A B C D E G H I J) }

/// Offers a host function as `module.name`.
pub(crate) fn define<Parameters>(
    linker: &mut Linker<Host>,
    module: &str,
    name: &str,
    function: impl HostFunction<Parameters>,
) -> Result<(), LinkerError> {
    function.define(linker, module, name)
}

fn end_slice_if_overdrawn(caller: &mut Caller<'_, Host>, answer: Answer) -> Result<(), Fault> {
    let host = caller.data_mut();
    if host.overdrawn_fuel == 0 {
        return Ok(());
    }
    host.answer = Some(answer);
    Err(Fault::Suspended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_the_interpreters_value() {
        assert!(Answer::from(()).value().is_none());
        assert!(matches!(Answer::from(u32::MAX).value(), Some(Val::I32(-1))));
        assert!(matches!(Answer::from(u64::MAX).value(), Some(Val::I64(-1))));
        assert!(matches!(Answer::from(-0.5).value(), Some(Val::F64(value)) if value.to_bits() == (-0.5_f64).to_bits()));
    }
}
