//! Requests whose header lines are written byte by byte, because a client library would mend them: other cases, folded
//! lines, spaces before the colon. Plain HTTP only; each has a connection of its own, which ends with the answer.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_TYPE};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{Answer, MOST_BYTES, Message};

/// For the whole exchange.
const PATIENCE: Duration = Duration::from_secs(30);

/// Sends a message with its extra lines and reads until the other side hangs up.
pub(super) async fn send(message: &Message) -> Result<Answer, String> {
    let exchange = timeout(PATIENCE, exchange(message)).await;
    let bytes = exchange.map_err(|_| "no answer in time".to_owned())?;
    let bytes = bytes.map_err(|_| "the connection broke".to_owned())?;
    read(&bytes).ok_or_else(|| "no HTTP answer".to_owned())
}

async fn exchange(message: &Message) -> std::io::Result<Vec<u8>> {
    let url = &message.url;
    let port = url.port_or_known_default().unwrap_or_default();
    let host = url.host_str().unwrap_or_default();
    let mut stream = TcpStream::connect(format!("{host}:{port}")).await?;
    stream.write_all(&written(message, host, port)).await?;
    let mut bytes = Vec::new();
    let most = u64::try_from(MOST_BYTES).unwrap_or(u64::MAX);
    stream.take(most).read_to_end(&mut bytes).await?;
    Ok(bytes)
}

fn written(message: &Message, host: &str, port: u16) -> Vec<u8> {
    let body = message.body.as_ref().map(ToString::to_string);
    let body = body.unwrap_or_default();
    let path = message.url.path();
    let mut text = format!(
        "{} {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\nContent-Length: {}\r\n",
        message.method,
        body.len()
    )
    .into_bytes();
    for (name, value) in &message.headers {
        text.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    for line in &message.lines {
        text.extend([line.as_bytes(), b"\r\n"].concat());
    }
    text.extend(b"\r\n");
    text.extend(body.into_bytes());
    text
}

/// Status, header values and body. What is wrong with it in detail does not matter: the whole text is searched.
fn read(bytes: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let mut lines = head.lines();
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_str(value.trim()),
        ) else {
            continue;
        };
        headers.append(name, value);
    }
    headers.remove(CONTENT_TYPE);
    // A chunked body has its lengths around the JSON.
    let json = body.find('{').zip(body.rfind('}'));
    let json = json.and_then(|(from, to)| body.get(from..=to));
    Some(Answer::new(
        status,
        &headers,
        json.unwrap_or(body).as_bytes(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_whether_it_is_chunked_or_not() {
        for body in [r#"{"a":1}"#, "7\r\n{\"a\":1}\r\n0\r\n\r\n"] {
            let answer =
                read(format!("HTTP/1.1 200 OK\r\nX-A: b\r\n\r\n{body}").as_bytes()).unwrap();
            assert_eq!(
                (answer.status, answer.message.unwrap()["a"].as_u64()),
                (200, Some(1))
            );
            assert!(answer.text.contains('b'));
        }
        assert!(read(b"nothing of the kind").is_none());
    }
}
