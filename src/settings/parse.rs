//! Text → typed value, one function a kind of setting. Each says what is wrong and how the value is written; a text
//! that may hide a password (a URL with `@` or a query) is described, not shown.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use url::{Host, Url};

use super::problem::{Wrong, shown};

/// `true` or `false`.
pub(super) fn boolean(text: &str) -> Result<bool, Wrong> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Wrong::new(
            format!("{} is neither true nor false", shown(text)),
            "write `true` or `false`",
        )),
    }
}

/// A whole number of things, at least one and at most a million.
pub(super) fn count(text: &str) -> Result<usize, Wrong> {
    let number = text
        .parse()
        .ok()
        .filter(|number| (1..=1_000_000).contains(number));
    number.ok_or_else(|| {
        let what = format!("{} is not a whole number from 1 to 1000000", shown(text));
        Wrong::new(what, "write it in digits, such as `100`")
    })
}

/// Header lines of a request: fewer than clients send would shut everybody out, and each place for one costs memory.
pub(super) fn header_count(text: &str) -> Result<usize, Wrong> {
    let number = text.parse().ok();
    let number = number.filter(|number| (20..=1000).contains(number));
    number.ok_or_else(|| {
        let what = format!("{} is not a whole number from 20 to 1000", shown(text));
        Wrong::new(what, "write it in digits, such as `100`")
    })
}

/// Bytes: digits alone, or with `KiB`, `MiB`, `GiB`; from 1 KiB to 1 GiB.
pub(super) fn bytes(text: &str) -> Result<usize, Wrong> {
    const UNITS: [(&str, usize); 3] = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    let unit = UNITS
        .iter()
        .find_map(|(unit, size)| Some((text.strip_suffix(unit)?, *size)));
    let (digits, size) = unit.unwrap_or((text, 1));
    let number = digits.trim_end().parse::<usize>().ok();
    let number = number.and_then(|number| number.checked_mul(size));
    number
        .filter(|bytes| ((1 << 10)..=(1 << 30)).contains(bytes))
        .ok_or_else(|| {
            let what = format!("{} is not a size from 1 KiB to 1 GiB", shown(text));
            Wrong::new(what, "write it like `4 MiB`, `512 KiB` or in bytes")
        })
}

/// A duration such as `30s` or `1h 30m` from `least` to `most`; digits alone are seconds.
pub(super) fn duration(text: &str, least: Duration, most: Duration) -> Result<Duration, Wrong> {
    let seconds = text.parse().map(Duration::from_secs).ok();
    let duration = seconds.or_else(|| humantime::parse_duration(text).ok());
    duration
        .filter(|duration| (least..=most).contains(duration))
        .ok_or_else(|| {
            let [least, most] = [least, most].map(humantime::format_duration);
            let what = format!("{} is not a duration from {least} to {most}", shown(text));
            Wrong::new(
                what,
                "write it like `30s`, `500ms` or `4h`; digits alone are seconds",
            )
        })
}

/// An address to listen on: IP address and port; `localhost` is `127.0.0.1`.
pub(super) fn listen(text: &str) -> Result<SocketAddr, Wrong> {
    let local = text
        .strip_prefix("localhost:")
        .and_then(|port| port.parse().ok());
    let local = local.map(|port| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    local.or_else(|| text.parse().ok()).ok_or_else(|| {
        let what = format!("{} is not an IP address with a port", shown(text));
        Wrong::new(
            what,
            "write it like `127.0.0.1:8001`, `0.0.0.0:8001` or `[::]:8001`",
        )
    })
}

/// An `http` or `https` URL without user, password, query or fragment.
pub(super) fn url(text: &str) -> Result<Url, Wrong> {
    const HINT: &str = "write it like `https://host.example.com`, without user, query or fragment";
    let hidden = text.contains(['@', '?', '#']);
    let name = if hidden {
        "the value".to_owned()
    } else {
        shown(text)
    };
    let Ok(url) = Url::parse(text) else {
        return Err(Wrong::new(format!("{name} is not a URL"), HINT));
    };
    let extra = [
        (
            "a user or a password",
            !url.username().is_empty() || url.password().is_some(),
        ),
        ("a query", url.query().is_some()),
        ("a fragment", url.fragment().is_some()),
    ];
    if let Some((part, _)) = extra.iter().find(|(_, present)| *present) {
        return Err(Wrong::new(format!("the URL has {part}"), HINT));
    }
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(Wrong::new(
            format!("{name} is not an http or https URL"),
            HINT,
        ));
    }
    Ok(url)
}

/// Whether the text means to be an http or https URL.
pub(super) fn is_web_address(text: &str) -> bool {
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")
}

/// The path of a file.
pub(super) fn path(text: &str) -> Result<PathBuf, Wrong> {
    if text.is_empty() {
        return Err(Wrong::new(
            "it is empty",
            "write a path, or remove the line",
        ));
    }
    Ok(text.into())
}

/// A URL whose path is empty.
pub(super) fn root_url(text: &str) -> Result<Url, Wrong> {
    let url = url(text)?;
    if url.path() == "/" {
        return Ok(url);
    }
    let what = format!("{} has a path", shown(text));
    Err(Wrong::new(what, "give the root URL, without `/mcp`"))
}

/// The root of an AuthKit domain, with `https://` where no scheme is given.
pub(super) fn domain(text: &str) -> Result<Url, Wrong> {
    if text.contains("://") {
        root_url(text)
    } else {
        root_url(&format!("https://{text}"))
    }
}

/// A name that clients put into `Host`: host, or host and port.
pub(super) fn host(text: &str) -> Result<String, Wrong> {
    let wrong = || {
        let what = format!("{} is not a host name", shown(text));
        Wrong::new(
            what,
            "write it like `mcp.example.com` or `mcp.example.com:8443`",
        )
    };
    if text.contains(['/', '@', '?', '#', '\\', '*']) || text.contains(char::is_whitespace) {
        return Err(wrong());
    }
    let has_host = Url::parse(&format!("http://{text}/")).is_ok_and(|url| url.has_host());
    if has_host {
        Ok(text.to_ascii_lowercase())
    } else {
        Err(wrong())
    }
}

/// A browser origin, `scheme://host[:port]`; never `*` or `null`, which would let every page in.
pub(super) fn origin(text: &str) -> Result<String, Wrong> {
    const HINT: &str = "list each origin like `https://app.example.com`";
    if text == "*" {
        let what = "`*` would let every web page call the tools in a person's name";
        return Err(Wrong::new(what, HINT));
    }
    let wrong = || Wrong::new(format!("{} is not an origin", shown(text)), HINT);
    let text = text.strip_suffix('/').unwrap_or(text).to_ascii_lowercase();
    let (_, authority) = text.split_once("://").ok_or_else(wrong)?;
    let odd = |char: char| char.is_whitespace() || char.is_control();
    if authority.is_empty()
        || authority.contains(['/', '@', '?', '#', '\\', '*'])
        || authority.contains(odd)
    {
        return Err(wrong());
    }
    let has_host = Url::parse(&text).is_ok_and(|url| url.has_host());
    if has_host { Ok(text) } else { Err(wrong()) }
}

/// Text that may stand between quotes in a `WWW-Authenticate` header.
pub(super) fn header_text(text: &str) -> Result<String, Wrong> {
    let allowed = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
    if !text.trim().is_empty() && text.bytes().all(allowed) {
        return Ok(text.to_owned());
    }
    let what = if text.trim().is_empty() {
        "it is empty".to_owned()
    } else {
        format!(
            "{} cannot stand in a `WWW-Authenticate` header",
            shown(text)
        )
    };
    Err(Wrong::new(
        what,
        "use printable ASCII without `\"` and `\\`",
    ))
}

/// A text without spaces, such as a scope (RFC 6749 §3.3).
pub(super) fn word(text: &str) -> Result<String, Wrong> {
    if text.contains(' ') {
        let what = format!("{} has a space in it", shown(text));
        return Err(Wrong::new(what, "write each by itself, without spaces"));
    }
    header_text(text)
}

/// One of a few words.
pub(super) fn one_of<T: Copy>(text: &str, words: &[(&str, T)]) -> Result<T, Wrong> {
    let found = words.iter().find(|(word, _)| *word == text);
    found.map(|(_, value)| *value).ok_or_else(|| {
        let words: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        let what = format!("{} is not one of its values", shown(text));
        Wrong::new(what, format!("use {}", words.join(", ")))
    })
}

/// Whether what is sent there stays on this machine.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_and_bounds() {
        assert_eq!(bytes("4 MiB").unwrap(), 4 << 20);
        assert_eq!(bytes("4096").unwrap(), 4096);
        for wrong in [
            "",
            "4 MB",
            "-1",
            "1",
            "2 GiB",
            "99999999999999999999 KiB",
            "18446744073709551615 GiB",
        ] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_have_units_and_bounds() {
        let parse = |text| duration(text, Duration::from_millis(1), Duration::from_secs(60));
        assert_eq!(parse("7").unwrap(), Duration::from_secs(7));
        assert_eq!(parse("500ms").unwrap(), Duration::from_millis(500));
        for wrong in [
            "",
            "0",
            "2m",
            "-1s",
            "soon",
            "18446744073709551615",
            "99999999999999999999y",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_url_with_a_password_is_refused_without_being_shown() {
        for text in [
            "https://u:hunter2@host",
            "https://host/?key=hunter2",
            "https://host/#hunter2",
            "//u:hunter2@",
        ] {
            let wrong = url(text).unwrap_err();
            assert!(!format!("{wrong:?}").contains("hunter2"), "{wrong:?}");
        }
        assert!(url("https://hunter2@host").is_err());
    }

    #[test]
    fn an_origin_is_scheme_and_host() {
        assert_eq!(
            origin("https://App.example.com/").unwrap(),
            "https://app.example.com"
        );
        assert_eq!(
            origin("vscode-webview://panel").unwrap(),
            "vscode-webview://panel"
        );
        for wrong in [
            "*",
            "null",
            "https://*.example.com",
            "app.example.com",
            "https://a/b",
            "https://u@a",
            "https://",
        ] {
            assert!(origin(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_host_is_a_name_and_perhaps_a_port() {
        assert_eq!(
            host("MCP.example.com:8443").unwrap(),
            "mcp.example.com:8443"
        );
        assert_eq!(host("[::1]:8001").unwrap(), "[::1]:8001");
        for wrong in ["", "*", "https://a", "a/b", "a b", "a:port"] {
            assert!(host(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_this_machine_is_loopback() {
        let loopback = |text| is_loopback(&Url::parse(text).unwrap());
        assert!(
            loopback("http://localhost:1")
                && loopback("http://127.9.9.9")
                && loopback("http://[::1]")
        );
        assert!(
            !loopback("http://localhost.example.com")
                && !loopback("http://0.0.0.0")
                && !loopback("http://10.0.0.1")
        );
    }
}
