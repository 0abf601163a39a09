//! NAME: greets its arguments.

fn main() {
    for name in std::env::args().skip(1) {
        println!("Hello, {name}!");
    }
}
