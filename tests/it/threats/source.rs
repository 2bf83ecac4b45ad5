//! What only the source can show: how signatures are compared, which cryptography is compiled in, and who reads the clock.

use std::{fs, path::Path};

/// Every source file with its path; tests at the end of a file are cut off, files of tests left out.
fn sources(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_test = ["tests", "fixtures"]
            .iter()
            .any(|it| path.file_stem().is_some_and(|stem| stem == *it));
        if is_test {
            continue;
        }
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|it| it == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let code = text
                .split("#[cfg(test)]\nmod tests {")
                .next()
                .unwrap()
                .to_owned();
            found.push((path.display().to_string(), code));
        }
    }
    found
}

fn all() -> Vec<(String, String)> {
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

/// A line that compares what only a constant-time comparison may.
fn compares_a_signature(line: &str) -> bool {
    let code = line
        .split("//")
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase()
        // What a key is for.
        .replace("publickeyuse::signature", "");
    let compares = ["==", "!=", ".eq(", "assert_eq", ".ne("];
    let kept = ["mac.", "finalize", "into_bytes", "signature", "hex::encode"];
    compares.iter().any(|it| code.contains(it)) && kept.iter().any(|it| code.contains(it))
}

#[test]
fn nothing_compares_a_signature_but_the_functions_made_for_it() {
    for planted in [
        "if expected == mac.finalize().into_bytes() {",
        "signature != ours",
        "signature.eq(&ours)",
    ] {
        assert!(compares_a_signature(planted), "{planted}");
    }
    let mut verified = 0;
    for (path, text) in all() {
        for line in text.lines() {
            assert!(!compares_a_signature(line), "{path}: {line}");
        }
        if text.contains("Hmac") {
            // Either it makes signatures only, or it checks them in constant time.
            let checks = text.contains("verify_slice(");
            assert!(checks || text.contains(".finalize()"), "{path}");
            verified += usize::from(checks);
        }
        // Tokens are checked by the crypto crate and by nothing else.
        assert!(
            !text.contains("hmac::") || !path.contains("/auth/"),
            "{path}"
        );
    }
    assert_eq!(
        verified, 1,
        "the sandbox checks signatures, and nobody else"
    );
}

#[test]
fn one_cryptography_is_compiled_in() {
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock");
    let lock = fs::read_to_string(lock).unwrap();
    let versions = |name: &str| lock.matches(&format!("\nname = \"{name}\"\n")).count();
    // What the other back end of jsonwebtoken would bring; the first has a timing leak that nobody has mended.
    for name in [
        "rsa",
        "p256",
        "p384",
        "ed25519-dalek",
        "openssl",
        "native-tls",
    ] {
        assert_eq!(versions(name), 0, "{name}");
    }
    for name in ["aws-lc-rs", "rustls", "hmac", "sha2"] {
        assert_eq!(versions(name), 1, "{name}");
    }
    // The crate for WorkOS pins an older one, for tokens that it never sees here; both stand on the one aws-lc-rs.
    assert_eq!(versions("jsonwebtoken"), 2);
}

#[test]
fn the_wall_clock_is_read_in_one_place() {
    for (path, text) in all() {
        let reads = text.contains("SystemTime::now") || text.contains("UNIX_EPOCH");
        assert!(!reads || path.ends_with("src/clock.rs"), "{path}");
    }
}
