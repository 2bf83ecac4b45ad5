//! What the child prints, as lines of our log. In: a pipe with any bytes. Out: one event a line at the target `child`,
//! whole, never longer than is allowed, and without anything that could pass for a line of ours or steer a terminal.

use std::{io, mem};

use tokio::{
    io::{AsyncBufReadExt, BufReader},
    net::unix::pipe::Receiver,
};

/// The bytes of a line that are logged; the rest is counted.
const LONGEST: usize = 8 * 1024;

/// A line that is still being printed.
#[derive(Default)]
struct Line {
    bytes: Vec<u8>,
    dropped: usize,
}

/// Logs what comes out of `pipe`, until its end.
pub(super) async fn log(stream: &'static str, pipe: Receiver) {
    let mut reader = BufReader::with_capacity(LONGEST, pipe);
    let mut line = Line::default();
    while let Ok(length) = read(&mut reader, &mut line, |text, dropped| {
        say(stream, text, dropped);
    })
    .await
    {
        if length == 0 {
            break;
        }
    }
    if !line.is_empty() {
        let (text, dropped) = line.taken();
        say(stream, &text, dropped);
    }
}

/// Reads once; how many bytes.
async fn read(
    reader: &mut BufReader<Receiver>,
    line: &mut Line,
    say: impl FnMut(&str, usize),
) -> io::Result<usize> {
    let bytes = reader.fill_buf().await?;
    let length = bytes.len();
    line.goes_on(bytes, say);
    reader.consume(length);
    Ok(length)
}

fn say(stream: &'static str, text: &str, dropped: usize) {
    if dropped == 0 {
        tracing::info!(target: "child", { child.stream = stream }, "{text}");
    } else {
        tracing::info!(target: "child", { child.stream = stream, child.dropped_bytes = dropped }, "{text}");
    }
}

impl Line {
    /// Takes more bytes; `say` is told of each line that is complete with them.
    fn goes_on(&mut self, bytes: &[u8], mut say: impl FnMut(&str, usize)) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (content, is_end) = match piece.strip_suffix(b"\n") {
                Some(content) => (content, true),
                None => (piece, false),
            };
            let room = LONGEST.saturating_sub(self.bytes.len());
            let kept = content.get(..room).unwrap_or(content);
            self.bytes.extend_from_slice(kept);
            self.dropped += content.len() - kept.len();
            if is_end {
                let (text, dropped) = self.taken();
                say(&text, dropped);
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// As text that is safe to print, and how many bytes are missing.
    fn taken(&mut self) -> (String, usize) {
        let bytes = mem::take(&mut self.bytes);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(&bytes);
        let text = String::from_utf8_lossy(bytes);
        let mut shown = String::with_capacity(text.len());
        for char in text.chars() {
            if char.is_control() && char != '\t' {
                shown.extend(char.escape_default());
            } else {
                shown.push(char);
            }
        }
        (shown, mem::take(&mut self.dropped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<(String, usize)> {
        let mut line = Line::default();
        let mut said = Vec::new();
        for piece in pieces {
            line.goes_on(piece, |text, dropped| said.push((text.to_owned(), dropped)));
        }
        if !line.is_empty() {
            said.push(line.taken());
        }
        said
    }

    fn texts(pieces: &[&[u8]]) -> Vec<String> {
        lines(pieces).into_iter().map(|(text, _)| text).collect()
    }

    #[test]
    fn lines_are_whole_however_they_arrive() {
        assert_eq!(
            texts(&[b"on", b"e\ntw", b"o\r\n\nlast"]),
            ["one", "two", "", "last"]
        );
        assert_eq!(texts(&[b"one\n"]), ["one"]);
        assert_eq!(texts(&[]), Vec::<String>::new());
    }

    #[test]
    fn a_character_that_arrives_in_two_halves_is_one() {
        assert_eq!(texts(&[b"caf\xc3", b"\xa9\n"]), ["café"]);
    }

    #[test]
    fn any_bytes_become_text_that_steers_no_terminal() {
        let said = texts(&[b"\x00\xff\x1b[2J\rINFO forged\n"]);
        assert_eq!(said, ["\\u{0}\u{fffd}\\u{1b}[2J\\rINFO forged"]);
    }

    #[test]
    fn a_line_without_an_end_costs_bounded_memory_and_says_what_is_missing() {
        let piece = vec![b'x'; LONGEST - 1];
        let mut line = Line::default();
        for _ in 0..100 {
            line.goes_on(&piece, |_, _| panic!("there is no line yet"));
            assert!(
                line.bytes.capacity() <= 2 * LONGEST,
                "{}",
                line.bytes.capacity()
            );
        }
        let mut said = Vec::new();
        line.goes_on(b"end\nnext\n", |text, dropped| {
            said.push((text.len(), dropped))
        });
        let all = 100 * piece.len() + 3;
        assert_eq!(said, [(LONGEST, all - LONGEST), (4, 0)]);
    }
}
