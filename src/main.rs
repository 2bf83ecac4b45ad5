//! The binary: arguments in, exit code out; everything else is the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    toolbridge::cli::run(std::env::args_os())
}
