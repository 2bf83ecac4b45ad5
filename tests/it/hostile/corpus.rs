//! Hostile requests, as bytes: the same ones in every run, made from a seed. In: a seed and how a call begins. Out:
//! attacks by category, each with how its connection goes on after the last byte.

use crate::harness::person::{BOTH_TYPES, MODERN};

/// What is larger than the sidecar of these tests takes.
pub(super) const MOST_BODY: usize = 256 * 1024;

/// One connection's worth of evil.
pub(super) struct Attack {
    pub(super) category: &'static str,
    pub(super) bytes: Vec<u8>,
    pub(super) then: Then,
}

/// What the attacker does after the last byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Waits for the end.
    Waits,
    /// Says that nothing more will come, and waits for the end.
    HalfCloses,
    /// Is gone, by a reset.
    Vanishes,
}

type Make = fn(&mut Dice, &Target) -> Vec<u8>;

/// The categories. Each is made as often as every other.
const CATEGORIES: [(&str, Make, Then); 18] = [
    ("malformed request lines", request_lines, Then::Waits),
    ("lengths that contradict", lengths, Then::Waits),
    ("header floods", header_floods, Then::Waits),
    ("huge headers", huge_headers, Then::Waits),
    ("control characters", control_characters, Then::Waits),
    ("invalid UTF-8", invalid_utf8, Then::Waits),
    ("wrong encodings", encodings, Then::Waits),
    ("JSON bombs", json_bombs, Then::Waits),
    ("deep nesting", deep_nesting, Then::Waits),
    ("wrong envelopes", envelopes, Then::Waits),
    ("oversize bodies", oversize, Then::Waits),
    ("abused chunks", chunks, Then::Waits),
    ("slow heads", slow_heads, Then::Waits),
    ("slow bodies", slow_bodies, Then::Waits),
    ("pipelined requests", pipelined, Then::Waits),
    ("half-closed sockets", any_part, Then::HalfCloses),
    ("vanished clients", any_part, Then::Vanishes),
    ("random bytes", random_bytes, Then::HalfCloses),
];

/// At least `least` attacks.
pub(super) fn attacks(seed: u64, least: usize, target: &Target) -> Vec<Attack> {
    let mut dice = Dice(seed);
    let rounds = least.div_ceil(CATEGORIES.len());
    let all = (0..rounds).flat_map(|_| CATEGORIES);
    all.map(|(category, make, then)| Attack {
        category,
        bytes: make(&mut dice, target),
        then,
    })
    .collect()
}

/// Who is attacked, and with whose token.
pub(super) struct Target {
    pub(super) host: String,
    pub(super) token: String,
}

impl Target {
    /// The head of a call but for what says how long its body is: with a good token, a bad one or none.
    fn head(&self, dice: &mut Dice) -> String {
        let mut head = format!("POST /mcp HTTP/1.1\r\nhost: {}\r\n", self.host);
        match dice.below(4) {
            0 => head.push_str("authorization: Bearer e30.e30.AAAA\r\n"),
            1 => {}
            _ => head.push_str(&format!("authorization: Bearer {}\r\n", self.token)),
        }
        let rest = format!("accept: {BOTH_TYPES}\r\ncontent-type: application/json\r\n");
        head.push_str(&rest);
        if dice.below(2) == 0 {
            let named = "mcp-method: tools/call\r\nmcp-name: get_note\r\n";
            head.push_str(&format!("mcp-protocol-version: {MODERN}\r\n{named}"));
        }
        head
    }

    fn post(&self, dice: &mut Dice, lines: &[u8], body: &[u8]) -> Vec<u8> {
        let length = format!("content-length: {}\r\n\r\n", body.len());
        [self.head(dice).as_bytes(), lines, length.as_bytes(), body].concat()
    }
}

/// Deterministic, and good enough to choose evil.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        it ^ (it >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        let length = self.below(most) + 1;
        (0..length).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

fn call_with(arguments: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"create_note","arguments":{arguments},"_meta":{{"io.modelcontextprotocol/protocolVersion":"{MODERN}","io.modelcontextprotocol/clientCapabilities":{{}},"io.modelcontextprotocol/clientInfo":{{"name":"it","version":"1"}}}}}}}}"#
    )
}

fn request_lines(dice: &mut Dice, target: &Target) -> Vec<u8> {
    let long = "a".repeat(dice.below(80_000));
    let line = dice.one(&[
        "GET".to_owned(),
        "GET /".to_owned(),
        "POST  /mcp HTTP/1.1".to_owned(),
        "POST /mcp HTTP/9.9".to_owned(),
        "POST /mcp HTTP/1.1 HTTP/1.1".to_owned(),
        "POST /mcp http/1.1".to_owned(),
        "G\0T /mcp HTTP/1.1".to_owned(),
        "G€T /mcp HTTP/1.1".to_owned(),
        "POST \\mcp HTTP/1.1".to_owned(),
        "POST mcp HTTP/1.1".to_owned(),
        "POST http://[::1/mcp HTTP/1.1".to_owned(),
        "POST http://evil.test/mcp HTTP/1.1".to_owned(),
        "POST /%00%ff%zz HTTP/1.1".to_owned(),
        "POST /../../mcp HTTP/1.1".to_owned(),
        "CONNECT 169.254.169.254:80 HTTP/1.1".to_owned(),
        "OPTIONS * HTTP/1.1".to_owned(),
        "PRI * HTTP/2.0\r\n\r\nSM".to_owned(),
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}".to_owned(),
        "SSH-2.0-OpenSSH_9.9".to_owned(),
        format!("POST /{long} HTTP/1.1"),
        format!("{long} / HTTP/1.1"),
        format!("POST /mcp?{long} HTTP/1.1"),
    ]);
    let host = &target.host;
    format!("{line}\r\nhost: {host}\r\ncontent-length: 0\r\n\r\n").into_bytes()
}

fn lengths(dice: &mut Dice, target: &Target) -> Vec<u8> {
    let one = |dice: &mut Dice| {
        dice.one(&[
            "content-length: 0",
            "content-length: 5",
            "content-length: -1",
            "content-length: +5",
            "content-length: 0x5",
            "content-length: 5, 5",
            "content-length: 5, 6",
            "content-length: 18446744073709551616",
            "content-length: 9223372036854775807",
            "content-length:",
            "content-length : 5",
            "content-length: 5\r\n content-length: 6",
            "transfer-encoding: chunked",
            "transfer-encoding: chunked, chunked",
            "transfer-encoding: xchunked",
            "transfer-encoding: chunked, identity",
            "transfer-encoding: gzip, chunked",
            "transfer-encoding : chunked",
            "transfer-encoding: \u{b}chunked",
            "Transfer_Encoding: chunked",
        ])
    };
    let both = [one(dice), one(dice)].join("\r\n");
    let body = "5\r\nhello\r\n0\r\n\r\nDELETE /v1/notes/x HTTP/1.1\r\nhost: x\r\n\r\n";
    format!("{}{both}\r\n\r\n{body}", target.head(dice)).into_bytes()
}

fn header_floods(dice: &mut Dice, target: &Target) -> Vec<u8> {
    let name = dice.one(&[
        "x",
        "cookie",
        "host",
        "authorization",
        "x-tb-tenant-id",
        "accept",
    ]);
    let number = 90 + dice.below(3000);
    let lines: String = (0..number).map(|at| format!("{name}: {at}\r\n")).collect();
    target.post(dice, lines.as_bytes(), b"{}")
}

fn huge_headers(dice: &mut Dice, target: &Target) -> Vec<u8> {
    let long = "h".repeat(20_000 + dice.below(200_000));
    let line = dice.one(&[
        format!("x: {long}\r\n"),
        format!("{long}: x\r\n"),
        format!("cookie: {long}\r\n"),
        format!("authorization: Bearer {long}\r\n"),
        format!("mcp-session-id: {long}\r\n"),
        format!("mcp-param-title: {long}\r\n"),
    ]);
    target.post(dice, line.as_bytes(), b"{}")
}

fn control_characters(dice: &mut Dice, target: &Target) -> Vec<u8> {
    let mut request = target.post(dice, b"x-a: b\r\n", call_with("{}").as_bytes());
    for _ in 0..=dice.below(4) {
        let at = dice.below(request.len());
        let evil: &[u8] = dice.one(&[
            &b"\0"[..],
            b"\r",
            b"\n",
            b"\r\n",
            b"\n\n",
            b"\x0b",
            b"\x7f",
            b"\t",
            b"\r\n ",
            b"\x1b[2J",
        ]);
        request.splice(at..at, evil.iter().copied());
    }
    request
}

fn invalid_utf8(dice: &mut Dice, target: &Target) -> Vec<u8> {
    let evil: &[u8] = dice.one(&[
        &b"\xff\xfe"[..],
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf5\x80\x80\x80",
        b"\xe2\x82",
    ]);
    let line = [b"x-a: ", evil, b"\r\nmcp-name: ", evil, b"\r\n"].concat();
    let marked = call_with(r#"{"title":"HERE","content":"HERE"}"#);
    let parts: Vec<&[u8]> = marked.split("HERE").map(str::as_bytes).collect();
    let body = parts.join(evil);
    let lines = dice.one(&[line, Vec::new()]);
    target.post(dice, &lines, &body)
}

fn encodings(dice: &mut Dice, target: &Target) -> Vec<u8> {
    let line = dice.one(&[
        "content-encoding: gzip\r\n",
        "content-encoding: br, gzip, deflate\r\n",
        "content-type: application/json; charset=utf-16\r\n",
        "content-type: text/plain\r\n",
        "content-type: multipart/form-data; boundary=x\r\n",
        "content-type: application/x-www-form-urlencoded\r\n",
        "content-type: \r\n",
        "accept: nothing/atall\r\n",
        "accept-encoding: gzip;q=9\r\n",
        "expect: 100-continue\r\n",
        "expect: the-worst\r\n",
        "upgrade: websocket\r\nconnection: upgrade\r\n",
        "upgrade: h2c\r\nconnection: upgrade, http2-settings\r\nhttp2-settings: AAMAAABk\r\n",
    ]);
    // The head of a gzip stream that would unpack to a thousand times its size.
    let gzip = [
        &b"\x1f\x8b\x08\0\0\0\0\0\x02\xff\xec\xc1\x01\x01"[..],
        &[0; 2000],
    ]
    .concat();
    let utf16: Vec<u8> = call_with("{}")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let plain = [b"\xef\xbb\xbf", call_with("{}").as_bytes()].concat();
    let body = dice.one(&[gzip, utf16, plain]);
    target.post(dice, line.as_bytes(), &body)
}

fn json_bombs(dice: &mut Dice, target: &Target) -> Vec<u8> {
    let size = 1000 + dice.below(40_000);
    let keys: String = (0..size / 4).map(|at| format!("\"{at}\":0,")).collect();
    let bomb = dice.one(&[
        format!("[{}0]", "0,".repeat(size)),
        format!("[{}[]]", "[],".repeat(size)),
        format!("{{{keys}\"z\":0}}"),
        format!("{{{}\"a\":0}}", "\"a\":0,".repeat(size)),
        "9".repeat(size),
        format!("-0.{}e-{}", "0".repeat(size), "9".repeat(300)),
        "1e999999999".to_owned(),
        format!("\"{}\"", "\\ud800".repeat(size / 4)),
        format!("\"{}\"", "\\u0000".repeat(size / 4)),
        format!("\"{}\"", "\u{202e}".repeat(size)),
        format!("{}1", " ".repeat(size)),
    ]);
    let body = match dice.below(5) {
        0 => bomb,
        1 => call_with(&bomb),
        2 => call_with(&format!("{{\"title\":{bomb},\"content\":\"\"}}")),
        3 => call_with(&format!(
            "{{\"title\":\"\",\"content\":\"\",\"additional_fields\":{bomb}}}"
        )),
        _ => call_with("{}").replace("\"id\":1", &format!("\"id\":{bomb}")),
    };
    target.post(dice, b"", body.as_bytes())
}

fn deep_nesting(dice: &mut Dice, target: &Target) -> Vec<u8> {
    let deep = dice.one(&[100, 128, 129, 5000, 100_000]);
    let (open, close) = dice.one(&[("[", "]"), ("{\"a\":", "}")]);
    let deep = deep.min(MOST_BODY / (open.len() + close.len()) - 1000);
    let bomb = match dice.below(3) {
        0 => open.repeat(deep),
        _ => format!("{}0{}", open.repeat(deep), close.repeat(deep)),
    };
    let body = match dice.below(3) {
        0 => bomb,
        1 => call_with(&bomb),
        // As text that a client might mean as JSON.
        _ => call_with(&format!(
            "{{\"title\":\"\",\"content\":\"\",\"tags\":\"{}\"}}",
            bomb.replace('"', "\\\"")
        )),
    };
    target.post(dice, b"", body.as_bytes())
}

fn envelopes(dice: &mut Dice, target: &Target) -> Vec<u8> {
    let batch = format!(
        "[{}1]",
        r#"{"jsonrpc":"2.0","id":1,"method":"ping"},"#.repeat(dice.below(3000))
    );
    let body = dice.one(&[
        "",
        "null",
        "0",
        "\"tools/call\"",
        "[]",
        "[[]]",
        "{}",
        r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#,
        r#"{"jsonrpc":2.0,"id":{},"method":5,"params":"x"}"#,
        r#"{"jsonrpc":"2.0","id":null,"method":"tools/call","params":[]}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":[],"arguments":5}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"../../etc/passwd"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"9999-99-99"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"completion/complete","params":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"result":{},"error":{}}"#,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":[]}}"#,
        r#"{"jsonrpc":"2.0","id":1e400,"method":"ping"}"#,
        "{\"jsonrpc\":\"2.0\"",
        "}{",
        &batch,
    ]);
    target.post(dice, b"", body.as_bytes())
}

fn oversize(dice: &mut Dice, target: &Target) -> Vec<u8> {
    let head = target.head(dice);
    let much = MOST_BODY + 1 + dice.below(MOST_BODY / 4);
    match dice.below(4) {
        // Announced, and not sent.
        0 => format!("{head}content-length: {much}\r\n\r\n{{").into_bytes(),
        1 => format!("{head}content-length: 1099511627776\r\n\r\n{{").into_bytes(),
        2 => format!("{head}content-length: {much}\r\n\r\n{}", " ".repeat(much)).into_bytes(),
        _ => {
            let chunk = format!("4000\r\n{}\r\n", " ".repeat(0x4000));
            let chunks = chunk.repeat(much.div_ceil(0x4000));
            format!("{head}transfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n").into_bytes()
        }
    }
}

fn chunks(dice: &mut Dice, target: &Target) -> Vec<u8> {
    let many = 1000 + dice.below(20_000);
    let body = dice.one(&[
        format!("1;{}\r\n{{\r\n0\r\n\r\n", "a=b;".repeat(many)),
        format!("{}0\r\n\r\n", "1;x\r\n \r\n".repeat(many)),
        "ffffffffffffffff\r\n{}\r\n0\r\n\r\n".to_owned(),
        "10000000000000000\r\n{}\r\n0\r\n\r\n".to_owned(),
        "-1\r\n{}\r\n0\r\n\r\n".to_owned(),
        "0x2\r\n{}\r\n0\r\n\r\n".to_owned(),
        "2\n{}\n0\n\n".to_owned(),
        "2\r\n{}0\r\n\r\n".to_owned(),
        "2 \r\n{}\r\n0\r\n\r\n".to_owned(),
        "\r\n\r\n".to_owned(),
        format!("2\r\n{{}}\r\n0\r\n{}\r\n", "a: b\r\n".repeat(many)),
        format!("2\r\n{{}}\r\n0\r\na: {}\r\n\r\n", "b".repeat(many)),
        format!("{}2\r\n{{}}\r\n0\r\n\r\n", "0".repeat(many)),
    ]);
    format!(
        "{}transfer-encoding: chunked\r\n\r\n{body}",
        target.head(dice)
    )
    .into_bytes()
}

fn slow_heads(dice: &mut Dice, target: &Target) -> Vec<u8> {
    let mut request = target.post(dice, b"", b"");
    let end = dice.below(request.len() - 2);
    request.truncate(end);
    request
}

fn slow_bodies(dice: &mut Dice, target: &Target) -> Vec<u8> {
    let body = call_with("{}");
    let sent = dice.below(body.len() - 1);
    let head = target.head(dice);
    match dice.below(2) {
        0 => format!(
            "{head}content-length: {}\r\n\r\n{}",
            body.len(),
            &body[..sent]
        ),
        _ => format!(
            "{head}transfer-encoding: chunked\r\n\r\n{:x}\r\n{}",
            body.len(),
            &body[..sent]
        ),
    }
    .into_bytes()
}

fn pipelined(dice: &mut Dice, target: &Target) -> Vec<u8> {
    let kinds: [Make; 5] = [
        envelopes,
        request_lines,
        encodings,
        chunks,
        control_characters,
    ];
    let ping = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
    let mut requests = target.post(dice, b"", ping.as_bytes());
    for _ in 0..=dice.below(10) {
        let make = dice.one(&kinds);
        requests.extend(make(dice, target));
    }
    requests
}

/// Of a request of any other kind, the first part.
fn any_part(dice: &mut Dice, target: &Target) -> Vec<u8> {
    let kinds: [Make; 4] = [envelopes, json_bombs, oversize, chunks];
    let make = dice.one(&kinds);
    let mut request = make(dice, target);
    let end = dice.below(request.len()) + 1;
    request.truncate(end);
    request
}

fn random_bytes(dice: &mut Dice, _: &Target) -> Vec<u8> {
    dice.bytes(4000)
}
