//! The binary: arguments in, exit code out; everything else is the library.

use std::process::ExitCode;

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    toolbridge::cli::run(std::env::args_os())
}
