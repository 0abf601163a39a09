//! Calls of WASI in a row, each held to its answer: a module that ends with the number of the first step that went wrong.

use runner_container::{Manifest, embed};
use runner_executor::fake::FakeNode;
use runner_interfaces::cell::CellStatus;

use crate::{
    support::{configuration, node, state},
    wasi::{command, functions},
};

/// Where texts of the test lie; below it a test may do what it wants.
const TEXTS_AT: u32 = 65536;

/// A module under construction.
pub(crate) struct Script {
    files: Vec<(String, Vec<u8>)>,
    data: String,
    body: String,
    steps: Vec<String>,
    free: u32,
}

impl Script {
    /// A container with these files, each with its content.
    pub(crate) fn with_files(files: &[(&str, &[u8])]) -> Self {
        let files = files.iter().map(|(path, content)| ((*path).to_owned(), content.to_vec())).collect();
        Self { files, data: String::new(), body: String::new(), steps: Vec::new(), free: TEXTS_AT }
    }

    /// Places a text; address and length.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> [i64; 2] {
        let at = self.free;
        let escaped: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
        self.data += &format!("(data (i32.const {at}) \"{escaped}\")");
        self.free += u32::try_from(bytes.len()).expect("a short text");
        [i64::from(at), bytes.len() as i64]
    }

    fn step(&mut self, what: String, expected: i64, expression: &str) {
        self.steps.push(what);
        let step = self.steps.len();
        self.body += &format!("(call $want (i32.const {step}) (i32.const {expected}) {expression})\n");
    }

    /// Calls a function, which must answer `errno`.
    #[track_caller]
    pub(crate) fn call(&mut self, name: &str, arguments: &[i64], errno: i64) -> &mut Self {
        let (_, types) = functions().find(|(known, _)| *known == name).expect("a function of the specification");
        let types: Vec<&str> = types.split_whitespace().collect();
        assert_eq!(types.len(), arguments.len(), "{name}");
        let arguments: Vec<String> =
            types.iter().zip(arguments).map(|(ty, argument)| format!("({ty}.const {argument})")).collect();
        let line = std::panic::Location::caller().line();
        let what = format!("line {line}: {name} {arguments:?} must answer {errno}");
        self.step(what, errno, &format!("(call ${name} {})", arguments.join(" ")));
        self
    }

    /// Opens a path below a descriptor for reading, which must answer `errno`; the new descriptor is written to address 0.
    #[track_caller]
    pub(crate) fn open(&mut self, descriptor: i64, path: &str, how: i64, errno: i64) -> &mut Self {
        self.open_with(descriptor, path, how, READING, errno)
    }

    /// The same with rights of the test's choice, for itself and for what is opened below it.
    #[track_caller]
    pub(crate) fn open_with(&mut self, descriptor: i64, path: &str, how: i64, rights: i64, errno: i64) -> &mut Self {
        let [at, length] = self.bytes(path.as_bytes());
        self.call("path_open", &[descriptor, 1, at, length, how, rights, rights, 0, 0], errno)
    }

    /// Calls a function of a descriptor and a path, which must answer `errno`.
    #[track_caller]
    pub(crate) fn path(&mut self, name: &str, descriptor: i64, path: &str, errno: i64) -> &mut Self {
        let [at, length] = self.bytes(path.as_bytes());
        self.call(name, &[descriptor, at, length], errno)
    }

    /// One vector at address 16: so many bytes to `address`.
    pub(crate) fn vector(&mut self, address: u32, length: u32) -> &mut Self {
        self.body += &format!(
            "(i32.store (i32.const 16) (i32.const {address})) (i32.store (i32.const 20) (i32.const {length}))\n"
        );
        self
    }

    /// The 32-bit number at `address` must be `expected`.
    #[track_caller]
    pub(crate) fn holds(&mut self, address: u32, expected: i64) -> &mut Self {
        let line = std::panic::Location::caller().line();
        let what = format!("line {line}: {expected} at {address}");
        self.step(what, expected, &format!("(i32.load (i32.const {address}))"));
        self
    }

    /// The byte at `address` must be `expected`.
    #[track_caller]
    pub(crate) fn holds_byte(&mut self, address: u32, expected: u8) -> &mut Self {
        let line = std::panic::Location::caller().line();
        let what = format!("line {line}: byte {expected} at {address}");
        self.step(what, expected.into(), &format!("(i32.load8_u (i32.const {address}))"));
        self
    }

    /// These bytes must be at `address`.
    #[track_caller]
    pub(crate) fn holds_text(&mut self, address: u32, expected: &str) -> &mut Self {
        for (at, byte) in (address..).zip(expected.bytes()) {
            self.holds_byte(at, byte);
        }
        self
    }

    /// Anything in the text format, between two steps.
    pub(crate) fn code(&mut self, text: &str) -> &mut Self {
        self.body += text;
        self
    }

    /// The packed module.
    pub(crate) fn module(&self) -> Vec<u8> {
        let files: Vec<(&str, &[u8])> =
            self.files.iter().map(|(path, content)| (path.as_str(), content.as_slice())).collect();
        let manifest = Manifest { name: "test".into(), ..Manifest::default() };
        embed(&command(&self.data, &self.body), &manifest, &files).expect("valid files")
    }

    /// Runs it; every step must hold.
    #[track_caller]
    pub(crate) fn assert_works(&self) -> (FakeNode, CellStatus) {
        let mut node = node();
        let status = node.run(&self.module(), &configuration(&["one", "two"]));
        let (step, answer) = (status.exit_code / 1000, status.exit_code % 1000);
        let wrong = usize::try_from(step).ok().and_then(|step| self.steps.get(step.checked_sub(1)?));
        assert!(
            status.exit_code == 0 && state(&status) == runner_interfaces::cell::ContainerState::Finalised,
            "{} {wrong:?} was {answer} (exit code {})",
            runner_executor::fake::detail(&status),
            status.exit_code
        );
        (node, status)
    }
}

/// Rights of a C library that opens for reading.
pub(crate) const READING: i64 = !(1 | 1 << 6 | 1 << 8 | 1 << 22) & ((1 << 30) - 1);
