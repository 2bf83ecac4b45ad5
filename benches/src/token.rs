//! The token of every call, and the key set that it is checked with. RS256, as identity providers sign.

use anyhow::Result;
use jsonwebtoken::{Algorithm, EncodingKey, Header, jwk::Jwk};
use serde_json::json;

use crate::now_ms;

/// `iss` of the token.
pub const ISSUER: &str = "https://issuer.bench.example";

/// `aud` of the token.
pub const AUDIENCE: &str = "https://bench.example/mcp";

const KEY: &[u8] = include_bytes!("../../tests/keys/rsa.pem");
const KEY_ID: &str = "bench";

/// A token that is good for a day.
///
/// # Errors
/// Where the key cannot be read.
pub fn signed() -> Result<String> {
    let mut header = Header::new(Algorithm::RS256);
    header.kid = Some(KEY_ID.to_owned());
    let now = now_ms() / 1000;
    let claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "user_bench", "iat": now, "exp": now + 86_400,
        "sid": "session_bench", "scope": "openid profile email",
    });
    Ok(jsonwebtoken::encode(&header, &claims, &key()?)?)
}

/// The key set that the token's issuer would publish.
///
/// # Errors
/// Where the key cannot be read.
pub fn key_set() -> Result<String> {
    let mut jwk = Jwk::from_encoding_key(&key()?, Algorithm::RS256)?;
    jwk.common.key_id = Some(KEY_ID.to_owned());
    Ok(json!({ "keys": [jwk] }).to_string())
}

fn key() -> Result<EncodingKey> {
    Ok(EncodingKey::from_rsa_pem(KEY)?)
}
