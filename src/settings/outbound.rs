//! `identity.*`: which token the backend gets. In: keys and two secrets. Out: [`OutboundSettings`], in which an exchange
//! without endpoint and audience, or a signature without a key that signs, cannot be written down.

mod exchange;
mod mint;

use crate::identity::outbound::{ExchangeSettings, MintSettings};

use super::{
    Stage,
    keys::{self, Key},
    parse,
    problem::Wrong,
    reader::Reader,
    secrets::Secret,
    tokens,
};

/// Which token the backend gets.
#[derive(Clone, Debug)]
pub enum OutboundSettings {
    /// `identity.token = "forward"`: the caller's own.
    Forward,
    /// `identity.token = "exchange"`: one from a token endpoint.
    Exchange(ExchangeSettings),
    /// `identity.token = "mint"`: one that is signed here.
    Mint(MintSettings),
}

/// `identity.token`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token {
    Forward,
    Exchange,
    Mint,
}

/// The secrets of the section as they were read; `Err` stands for a problem that is reported already.
pub(super) struct Secrets<'a> {
    pub(super) client: Result<Option<Secret>, ()>,
    pub(super) key: Result<Option<Secret>, ()>,
    /// Which text is the published secret of development.
    pub(super) is_development: &'a dyn Fn(&str) -> bool,
}

/// `identity.token` as it is written.
pub(super) fn token(text: &str) -> Result<Token, Wrong> {
    let words = [
        ("forward", Token::Forward),
        ("exchange", Token::Exchange),
        ("mint", Token::Mint),
    ];
    parse::one_of(text, &words)
}

/// Reads `identity.*`; `None` if something is wrong with it.
pub(super) fn read(
    reader: &mut Reader,
    stage: Stage,
    secrets: Secrets<'_>,
) -> Option<OutboundSettings> {
    let chosen = reader.text(&keys::IDENTITY_TOKEN, token);
    let exchange = exchange::Written::read(reader);
    let mint = mint::Written::read(reader);
    let chosen = chosen?;
    let is_open = reader.text_again(&keys::AUTH_MODE, tokens::mode) == Some(tokens::Mode::None);
    if is_open && chosen != Token::Forward {
        let what = "`auth.mode` is `none`, so nobody has a name to ask a token for";
        let hint = "use `forward`, or `auth.mode = \"jwt\"`";
        reader.refuse(&keys::IDENTITY_TOKEN, what, hint);
    }
    match chosen {
        Token::Forward => Some(OutboundSettings::Forward),
        Token::Exchange => exchange
            .settings(reader, stage, secrets.client)
            .map(OutboundSettings::Exchange),
        Token::Mint => mint
            .settings(reader, stage, secrets)
            .map(OutboundSettings::Mint),
    }
}

/// Says that a setting without which the mode cannot work is missing.
fn missing(reader: &mut Reader, key: &Key, because: &str, hint: &str) {
    reader.refuse(key, format!("missing, and {because}"), hint);
}
