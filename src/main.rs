//! The binary.
#![expect(clippy::print_stdout, reason = "x")]
fn main() {
    match toolbridge::catalogue::Catalogue::load(std::path::Path::new(
        &std::env::args().nth(1).unwrap_or_default(),
    )) {
        Ok(c) => println!("{c:?} {}", c.lints()),
        Err(p) => println!("{p}"),
    }
}
