//! What an announced upload may look like, before a cell is reserved for it.

use alloc::format;

use shared_ring_messages::{DeployRequest, ErrorCode, MAX_ARGUMENT_BYTES, MAX_ARGUMENTS, MAX_NAME_BYTES};

use crate::failure::{Failure, Quoted};

/// `[a-z0-9][a-z0-9._-]*`, at the most [`MAX_NAME_BYTES`].
pub(crate) fn check_name(name: &str) -> Result<(), Failure> {
    let refused = |why: &str| Failure::new(ErrorCode::InvalidName, format!("the name {} {why}", Quoted(name)));
    if name.is_empty() {
        return Err(Failure::new(ErrorCode::InvalidName, "the name is empty"));
    }
    if name.len() > MAX_NAME_BYTES {
        return Err(refused(&format!("has {} bytes; names have at most {MAX_NAME_BYTES}", name.len())));
    }
    let begins = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    if !begins(name.as_bytes()[0]) {
        return Err(refused("does not begin with a letter a to z or a digit"));
    }
    match name
        .chars()
        .find(|letter| !(letter.is_ascii_lowercase() || letter.is_ascii_digit() || "._-".contains(*letter)))
    {
        Some(letter) => {
            Err(refused(&format!("has the character {letter:?}; names have a to z, 0 to 9, `.`, `_` and `-`")))
        }
        None => Ok(()),
    }
}

/// Numbers and sizes, and that a program can read them: WASI ends each with a zero byte.
pub(crate) fn check_arguments(request: &DeployRequest) -> Result<(), Failure> {
    let too_many = |detail| Failure::new(ErrorCode::TooManyArguments, detail);
    let count = request.arguments.len() + request.environment.len();
    if count > MAX_ARGUMENTS {
        return Err(too_many(format!("{count} arguments and variables; at most {MAX_ARGUMENTS} together")));
    }
    let variables = request.environment.iter().map(|(name, value)| name.len() + value.len());
    let bytes: usize = request.arguments.iter().map(|argument| argument.len()).chain(variables).sum();
    if bytes > MAX_ARGUMENT_BYTES {
        return Err(too_many(format!("{bytes} bytes of arguments and variables; at most {MAX_ARGUMENT_BYTES}")));
    }
    let variables = request.environment.iter().flat_map(|(name, value)| [name, value]);
    if let Some(text) = request.arguments.iter().chain(variables).find(|text| text.contains('\0')) {
        return Err(Failure::protocol(format!("the argument or variable {} has a zero byte", Quoted(text))));
    }
    match request.environment.iter().find(|(name, _)| name.is_empty() || name.contains('=')) {
        Some((name, _)) => Err(Failure::protocol(format!("{} cannot be a variable's name", Quoted(name)))),
        None => Ok(()),
    }
}

/// Something, and no more than the board's limit and the cell's region have room for.
pub(crate) fn check_size(size: u32, limit: u32) -> Result<(), Failure> {
    let refused = |detail| Err(Failure::new(ErrorCode::ModuleSize, detail));
    match size {
        0 => refused(format!("the module has 0 bytes; at most {limit}")),
        size if size > limit => refused(format!("the module has {size} bytes; at most {limit}")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use alloc::{string::String, vec, vec::Vec};

    use super::*;

    #[test]
    fn names_are_what_the_contract_says() {
        for name in ["a", "0", "blinker", "a.b_c-d", &"x".repeat(MAX_NAME_BYTES)] {
            assert_eq!(check_name(name), Ok(()));
        }
        for name in ["", "-a", ".a", "A", "a b", "a/b", "ä", "a\n", &"x".repeat(MAX_NAME_BYTES + 1)] {
            assert_eq!(check_name(name).unwrap_err().code, ErrorCode::InvalidName, "{name}");
        }
    }

    fn request(arguments: Vec<String>, environment: Vec<(String, String)>) -> DeployRequest {
        DeployRequest {
            name: "a".into(),
            size: 1,
            sha256: [0; 32],
            grants: Vec::new(),
            arguments,
            environment,
            start: false,
            attached: false,
        }
    }

    #[test]
    fn arguments_and_variables_count_together() {
        let variable = || (String::from("N"), String::from("v"));
        let half = MAX_ARGUMENTS / 2;
        assert_eq!(check_arguments(&request(vec!["a".into(); half], vec![variable(); half])), Ok(()));
        let too_many = request(vec!["a".into(); half + 1], vec![variable(); half]);
        assert_eq!(check_arguments(&too_many).unwrap_err().code, ErrorCode::TooManyArguments);
        let too_long = request(vec!["a".repeat(MAX_ARGUMENT_BYTES)], vec![variable()]);
        assert_eq!(check_arguments(&too_long).unwrap_err().code, ErrorCode::TooManyArguments);
        assert_eq!(check_arguments(&request(vec!["a".repeat(MAX_ARGUMENT_BYTES)], vec![])), Ok(()));
    }

    #[test]
    fn what_no_program_could_read_is_refused() {
        for bad in [
            request(vec!["a\0b".into()], vec![]),
            request(vec![], vec![("N".into(), "\0".into())]),
            request(vec![], vec![(String::new(), "v".into())]),
            request(vec![], vec![("A=B".into(), "v".into())]),
        ] {
            assert_eq!(check_arguments(&bad).unwrap_err().code, ErrorCode::Protocol);
        }
    }
}
