//! Any bytes for a `tools.yaml`: loading ends with a catalogue or with problems that can be printed, never with a panic.
#![no_main]

use std::hint::black_box;

use libfuzzer_sys::fuzz_target;
use toolbridge::catalogue::Catalogue;

fuzz_target!(|bytes: &[u8]| {
    match Catalogue::parse("tools.yaml", bytes) {
        Ok(catalogue) => {
            for tool in catalogue.tools() {
                black_box(tool);
            }
        }
        // The report cuts the text at columns and draws carets under it: as much to get wrong as in reading.
        Err(problems) => {
            black_box(problems.to_string());
        }
    }
});
