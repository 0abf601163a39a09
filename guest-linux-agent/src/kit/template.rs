//! The files of a new container, by language and world. They build as they are, and `tests/cli/building.rs` builds them.

use crate::arguments::{Language, Shape};

/// The node's interfaces, which go with every container that uses them.
const WIT: &str = include_str!("../../../runner/wit/atoll.wit");

/// What stands in the templates for the container's name.
const NAME: &str = "NAME";

/// Path and content of each file.
pub(crate) fn files(name: &str, language: Language, shape: Shape) -> Vec<(String, String)> {
    let reactor = shape == Shape::Reactor;
    let app = if reactor {
        include_str!("../../templates/app-reactor.toml")
    } else {
        include_str!("../../templates/app-wasi.toml")
    };
    let command = if reactor { "deploy" } else { "run" };
    let mut files = vec![
        ("app.toml".to_owned(), app.to_owned()),
        ("README.md".to_owned(), include_str!("../../templates/README.md").replace("COMMAND", command)),
        (".gitignore".to_owned(), include_str!("../../templates/gitignore").to_owned()),
    ];
    files.extend(sources(language, shape).iter().map(|(path, text)| (path.replace(NAME, name), (*text).to_owned())));
    if reactor {
        files.push(("wit/atoll.wit".to_owned(), WIT.to_owned()));
    }
    for (path, text) in &mut files {
        if !["wit/atoll.wit", "atoll.h"].contains(&path.as_str()) {
            *text = text.replace(NAME, name);
        }
    }
    files
}

fn sources(language: Language, shape: Shape) -> &'static [(&'static str, &'static str)] {
    const PACKAGE: (&str, &str) = ("package.json", include_str!("../../templates/package.json"));
    match (language, shape) {
        (Language::Rust, Shape::Reactor) => &[
            ("Cargo.toml", include_str!("../../templates/rust-reactor/Cargo.toml")),
            ("src/lib.rs", include_str!("../../templates/rust-reactor/lib.rs")),
        ],
        (Language::Rust, Shape::Wasi) => &[
            ("Cargo.toml", include_str!("../../templates/rust-wasi/Cargo.toml")),
            ("src/main.rs", include_str!("../../templates/rust-wasi/main.rs")),
        ],
        (Language::C, Shape::Reactor) => &[
            ("NAME.c", include_str!("../../templates/c-reactor/container.c")),
            ("atoll.h", include_str!("../../templates/c-reactor/atoll.h")),
        ],
        (Language::C, Shape::Wasi) => &[("NAME.c", include_str!("../../templates/c-wasi/container.c"))],
        (Language::Wat, Shape::Reactor) => &[("NAME.wat", include_str!("../../templates/wat-reactor/container.wat"))],
        (Language::Wat, Shape::Wasi) => &[("NAME.wat", include_str!("../../templates/wat-wasi/container.wat"))],
        (Language::Assemblyscript, Shape::Reactor) => {
            &[PACKAGE, ("assembly/index.ts", include_str!("../../templates/assemblyscript-reactor/index.ts"))]
        }
        (Language::Assemblyscript, Shape::Wasi) => {
            &[PACKAGE, ("assembly/index.ts", include_str!("../../templates/assemblyscript-wasi/index.ts"))]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_placeholder_is_left_and_the_name_is_there() {
        for language in [Language::Rust, Language::C, Language::Wat, Language::Assemblyscript] {
            for shape in [Shape::Reactor, Shape::Wasi] {
                let files = files("blinker", language, shape);
                for (path, text) in &files {
                    let left = text
                        .split(|letter: char| !letter.is_ascii_uppercase())
                        .any(|word| word == "NAME" || word == "COMMAND");
                    assert!(!left && !path.contains("NAME"), "{path}: {text}");
                }
                assert!(files.iter().any(|(path, text)| path == "app.toml" && text.contains("name = \"blinker\"")));
                assert!(files.iter().any(|(path, text)| path == ".gitignore" && text.contains("/blinker.wasm")));
            }
        }
    }
}
