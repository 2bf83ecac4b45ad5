//! Two words for the linker of a release. The functions that a start and a call run (`build/functions.txt`, made by
//! `scripts/functions`) are put beside each other, so that fewer pages of the binary are read and stay in memory; and
//! relocations are packed. In: what Cargo says of the build. Out: nothing where the linker may be another one than the
//! toolchain's own LLD. Names that this build does not have are passed over: a list of another toolchain orders nothing
//! and breaks nothing.

#![expect(
    clippy::disallowed_methods,
    reason = "the environment is how Cargo speaks to build scripts"
)]

use std::{env, path::Path, process::Command};

const PLATFORM: &str = "x86_64-unknown-linux-gnu";

const FUNCTIONS: &str = "build/functions.txt";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Cargo does not know of what build/rustc reads.
    println!("cargo:rerun-if-changed=build");
    if !is("PROFILE", "release") || !links_by_own_lld() {
        return;
    }
    let folder = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let functions = Path::new(&folder).join(FUNCTIONS);
    if functions.exists() {
        links_with(&format!("--symbol-ordering-file={}", functions.display()));
        links_with("--no-warn-symbol-ordering");
    }
    if unpacks_relocations() {
        links_with("-z,pack-relative-relocs");
    }
}

fn links_with(word: &str) {
    println!("cargo:rustc-link-arg-bin=toolbridge=-Wl,{word}");
}

fn is(variable: &str, value: &str) -> bool {
    env::var(variable).is_ok_and(|it| it == value)
}

/// Since 1.90 rustc links by the LLD that comes with it on this platform, where it comes with it (those of distributions
/// do without), unless somebody asks for another linker.
fn links_by_own_lld() -> bool {
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    if !is("TARGET", PLATFORM)
        || ["linker", "fuse-ld"]
            .iter()
            .any(|word| flags.contains(word))
    {
        return false;
    }
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let own = format!("lib/rustlib/{PLATFORM}/bin/gcc-ld/ld.lld");
    said(&rustc, &["--print", "sysroot"])
        .is_some_and(|sysroot| Path::new(&sysroot).join(own).exists())
}

/// glibc does since 2.36. What is built here runs with this one or a newer one.
fn unpacks_relocations() -> bool {
    let version = said("getconf", &["GNU_LIBC_VERSION"]);
    let version = version
        .as_deref()
        .and_then(|it| it.strip_prefix("glibc 2."));
    let minor = version.and_then(|it| it.parse::<u32>().ok());
    is("HOST", PLATFORM) && minor.is_some_and(|minor| minor >= 36)
}

fn said(program: &str, words: &[&str]) -> Option<String> {
    let said = Command::new(program).args(words).output().ok()?;
    let text = String::from_utf8(said.stdout).ok()?;
    Some(text.trim().to_owned())
}
