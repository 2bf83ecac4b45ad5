//! Makes the backend's words fit to be shown: one line, bounded, without control characters, addresses and tokens.
//! In: foreign text. Out: text for a person or a model, or nothing if nothing is left of it.

use std::net::{IpAddr, SocketAddr};

const LONGEST_MESSAGE: usize = 500;
const LONGEST_TOKEN: usize = 64;

/// The first line with words in it. A stack trace has more lines; they are not shown.
pub(super) fn message(text: &str) -> Option<String> {
    let line = text.lines().find(|line| !line.trim().is_empty())?;
    let line: String = line
        .chars()
        .take(4 * LONGEST_MESSAGE)
        .map(|c| if c.is_control() { ' ' } else { c })
        .filter(|c| !is_invisible(*c))
        .collect();
    let words: Vec<&str> = line.split_whitespace().map(word).collect();
    let mut message = words.join(" ");
    if message.chars().count() > LONGEST_MESSAGE {
        message = message.chars().take(LONGEST_MESSAGE - 1).collect();
        message.push('…');
    }
    (!message.is_empty()).then_some(message)
}

/// An id or a time: short, printable, without spaces; anything else is dropped whole.
pub(super) fn token(text: &str) -> Option<String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:+".contains(&byte);
    let is_token = !text.is_empty() && text.len() <= LONGEST_TOKEN && text.bytes().all(is_plain);
    is_token.then(|| text.to_owned())
}

fn word(word: &str) -> &str {
    let bare = word.trim_matches(|c: char| "\"'`(),;<>".contains(c));
    let bare = bare.trim_end_matches([':', '.']);
    if bare.contains("://") || is_address(bare) {
        "[address]"
    } else if bare.contains("eyJ") && bare.len() > 20 {
        // How every JWT begins: `{"` in base64.
        "[token]"
    } else {
        word
    }
}

/// `10.0.0.5`, `[::1]:5432`, `db.internal:5432`, also behind `tcp:` or `host=`, or before a path.
fn is_address(word: &str) -> bool {
    let word = word
        .rsplit_once(['=', '@'])
        .map_or(word, |(_, value)| value);
    let word = word.split('/').next().unwrap_or(word);
    if word.parse::<SocketAddr>().is_ok() {
        return true;
    }
    match word.parse::<IpAddr>() {
        Ok(_) => word.len() > 2, // `::` is punctuation
        Err(_) => is_host_with_port(word),
    }
}

fn is_host_with_port(word: &str) -> bool {
    let Some((host, port)) = word.rsplit_once(':') else {
        return false;
    };
    let names_host = host == "localhost"
        || host.contains('.') && host.starts_with(|c: char| c.is_ascii_alphabetic());
    names_host && (2..=5).contains(&port.len()) && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// Zero-width characters and those that turn the direction of text: what is read must be what is there.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{message, token};

    #[test]
    fn ordinary_words_stay_as_they_are() {
        for text in [
            "note not found",
            "version mismatch: version mismatch: expected 3, actual 5",
            "invalid action: \"pín\" (at 12:30, v1.2:3)",
            "Rate limit exceeded. Please retry after 1 seconds.",
            "ratio 1:50 :: see POST /v1/sync/sessions",
        ] {
            assert_eq!(message(text).as_deref(), Some(text));
        }
    }

    #[test]
    fn addresses_and_tokens_are_taken_out() {
        let cases = [
            ("see http://10.0.0.5:8080/v1/x?y=1 now", "see [address] now"),
            ("Get \"http://db.internal/\": EOF", "Get [address] EOF"),
            (
                "dial tcp 10.0.0.5:5432: connect: connection refused",
                "dial tcp [address] connect: connection refused",
            ),
            ("dial tcp [::1]:5432: refused", "dial tcp [address] refused"),
            (
                "lookup db.internal on 127.0.0.11:53: none",
                "lookup db.internal on [address] none",
            ),
            (
                "from fe80::1, localhost:80 and db.internal:5432.",
                "from [address] [address] and [address]",
            ),
            ("host=10.1.2.3 user=app@10.1.2.3:99", "[address] [address]"),
            ("10.1.2.3/v1", "[address]"),
            (
                "bad token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2ln",
                "bad token [token]",
            ),
        ];
        for (said, shown) in cases {
            assert_eq!(message(said).as_deref(), Some(shown));
        }
    }

    #[test]
    fn only_the_first_line_without_what_cannot_be_seen() {
        let said = "\n \npanic:\u{1b}[31m boom\u{7}\u{202e}\u{200b}!\ngoroutine 1 [running]";
        assert_eq!(message(said).as_deref(), Some("panic: [31m boom !"));
        assert_eq!(message("\u{7}\n\r\n"), None);
        assert_eq!(message(""), None);
    }

    #[test]
    fn a_long_message_ends_in_an_ellipsis() {
        let shown = message(&"ä".repeat(100_000)).unwrap();
        assert_eq!(shown.chars().count(), 500);
        assert!(shown.ends_with('…'));
    }

    #[test]
    fn a_token_is_short_and_plain_or_nothing() {
        assert_eq!(
            token("2025-11-20T10:00:00.5Z").as_deref(),
            Some("2025-11-20T10:00:00.5Z")
        );
        for bad in ["", "a b", "a\nb", "<b>", &"a".repeat(65)] {
            assert_eq!(token(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_said_is_shown_bounded_and_in_one_line(said in "\\PC*|.*|[\\x00-\\x7f]*") {
            if let Some(shown) = message(&said) {
                prop_assert!(shown.chars().count() <= 500);
                prop_assert!(!shown.chars().any(char::is_control));
            }
        }
    }
}
