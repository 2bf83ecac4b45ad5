//! What `build/rustc` has the compiler do: told by `compiler/rustc`, which only says which arguments it was
//! given.

use std::{fs, process::Command};

const LIBRARY: &str =
    "--crate-name toolbridge --edition=2024 src/lib.rs -C opt-level=s -C linker-plugin-lto --x";
const PROGRAM: &str =
    "--crate-name toolbridge --edition=2024 src/main.rs -C opt-level=s -C lto=fat --x";

/// The arguments that this toolchain's compiler would be called with.
fn arguments(release: &str, words: &str) -> String {
    let folder = env!("CARGO_MANIFEST_DIR");
    let told = Command::new(format!("{folder}/build/rustc"))
        .arg(format!("{folder}/tests/it/compiler/rustc"))
        .args(words.split(' '))
        .env("RELEASE", release)
        .env_remove("RECORD_PROFILE_IN")
        .output()
        .unwrap();
    assert!(told.status.success(), "{told:?}");
    String::from_utf8(told.stdout).unwrap().trim().to_owned()
}

/// The toolchain of the profile that is there.
fn recorded() -> String {
    let names = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/build")).unwrap();
    let mut names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let release = names.find_map(|name| {
        let end = name.strip_prefix("profile-")?;
        let release = end.strip_suffix("-x86_64-unknown-linux-gnu.profdata")?;
        Some(release.to_owned())
    });
    release.expect("build/ has a profile")
}

#[test]
fn a_release_of_the_product_is_compiled_with_the_profile_of_its_toolchain() {
    let release = recorded();
    for words in [LIBRARY, PROGRAM] {
        let told = arguments(&release, words);
        assert!(told.starts_with(words), "{told}");
        let profile = format!(
            "profile-use={}",
            concat!(env!("CARGO_MANIFEST_DIR"), "/build/profile-")
        );
        assert!(told.contains(&profile), "{told}");
    }
}

#[test]
fn whatever_else_is_compiled_is_compiled_as_cargo_says() {
    let release = recorded();
    let others = [
        "--crate-name hyper --edition=2021 src/lib.rs -C opt-level=s -C linker-plugin-lto --x",
        "--crate-name toolbridge --edition=2024 src/lib.rs -C embed-bitcode=no --x",
        "--crate-name toolbridge --edition=2024 src/lib.rs -C opt-level=s -C codegen-units=4 --x",
        "--crate-name toolbridge --edition=2024 src/main.rs -C opt-level=s -C lto=fat --target x86_64-unknown-linux-gnu",
    ];
    for words in others {
        assert_eq!(arguments(&release, words), words);
    }
    assert_eq!(arguments("1.0.0", LIBRARY), LIBRARY);
    assert_eq!(arguments("1.0.0", PROGRAM), PROGRAM);
}
