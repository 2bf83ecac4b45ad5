//! The binary.
#![expect(clippy::print_stdout, reason = "x")]
fn main() {
    let c = toolbridge::catalogue::Catalogue::shipped().unwrap();
    let l: Vec<_> = c
        .tools()
        .iter()
        .map(toolbridge::catalogue::tokens::listed)
        .collect();
    let s = serde_json::json!({"tools": l}).to_string();
    println!(
        "{} {} bytes",
        toolbridge::catalogue::tokens::count(&s),
        s.len()
    );
    println!("cl100k {}", bpe_openai::cl100k_base().count(s.as_str()));
}
