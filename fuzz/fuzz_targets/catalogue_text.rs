//! Any bytes for a `tools.yaml`: loading ends with a catalogue whose tools can be planned, or with problems that can be
//! printed; never with a panic.
#![no_main]

use std::hint::black_box;

use libfuzzer_sys::fuzz_target;
use serde_json::Map;
use toolbridge::catalogue::Catalogue;

fuzz_target!(|bytes: &[u8]| {
    match Catalogue::parse("tools.yaml", bytes) {
        Ok(catalogue) => {
            black_box(catalogue.lints().to_string());
            for tool in catalogue.tools() {
                let _ = black_box(tool.plan(Map::new()));
            }
        }
        // The report cuts the text at columns and draws carets under it: as much to get wrong as in reading.
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a word");
            black_box(problems.to_string());
        }
    }
});
