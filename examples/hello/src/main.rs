//! `hello`: an ordinary Rust program as a container (WASI preview 1, world "command").
//!
//! It exists to show what needs no adapting: `std` arguments, environment, standard output and exit code work as they do
//! in a shell. `emit run hello.wasm Ada exit=3` greets Ada and ends with 3; without `exit=N` it ends with 0.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut code = 0;
    let mut names = Vec::new();
    for argument in std::env::args().skip(1) {
        match argument.strip_prefix("exit=").map(str::parse) {
            Some(Ok(number)) => code = number,
            Some(Err(_)) => {
                eprintln!("hello: `{argument}` names no exit code (0 to 255)");
                return ExitCode::from(2);
            }
            None => names.push(argument),
        }
    }
    if names.is_empty() {
        names.push(String::from("world"));
    }
    println!("Hello, {}!", names.join(" and "));
    for (position, argument) in std::env::args().enumerate() {
        println!("argument {position}: {argument}");
    }
    match std::env::var("GREETING") {
        Ok(greeting) => println!("GREETING: {greeting}"),
        Err(_) => println!("GREETING is not set"),
    }
    ExitCode::from(code)
}
