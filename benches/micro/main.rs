//! The steps of a call one by one, without a network. `cargo bench --bench micro` times them with divan; for
//! scripts/instructions, `micro cases` says their names and `micro count CASE` runs one between two marks that valgrind
//! knows. What the steps are is in `cases`; what the backend answers and
//! the large catalogue are those of the end-to-end bench.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program of the benches may fail loudly"
)]

#[path = "../src/answers.rs"]
#[expect(unreachable_pub, reason = "public in the package it belongs to")]
mod answers;
mod cases;
#[path = "../src/catalogue.rs"]
#[expect(unreachable_pub, reason = "public in the package it belongs to")]
mod catalogue;

use std::{env, hint::black_box, process::ExitCode};

use cases::{CASES, Case, Run};

/// The one note that can be read, in `answers`.
const NOTE: &str = "0b8f6c1e-7a52-4f0c-9d6a-2f1f3c5e7a90";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["cases"] => CASES.iter().for_each(|case| println!("{}", case.name)),
        ["count", name] => match find(name) {
            Some(case) => count(case),
            None => {
                eprintln!("no such case: {name}");
                return ExitCode::FAILURE;
            }
        },
        _ => divan::main(),
    }
    ExitCode::SUCCESS
}

fn find(name: &str) -> Option<&'static Case> {
    CASES.iter().find(|case| case.name == name)
}

#[divan::bench(args = CASES.iter().map(|case| case.name))]
fn step(bencher: divan::Bencher<'_, '_>, name: &str) {
    let mut make = find(name).unwrap().maker();
    bencher
        .with_inputs(&mut make)
        .bench_local_values(|run| run());
}

/// Runs a case once, so that what is made on first use is there, and then as often as it is counted.
fn count(case: &Case) {
    let mut make = case.maker();
    make()();
    let runs = (0..case.runs).map(|_| make()).collect();
    counted(runs);
    println!("{}", case.runs);
}

/// What valgrind counts, by this name: from its beginning to its end, on all threads.
#[inline(never)]
fn counted(runs: Vec<Run>) {
    for run in runs {
        black_box(run)();
    }
}
