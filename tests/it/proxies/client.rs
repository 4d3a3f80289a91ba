//! HTTP/1.1 by hand: the tests send paths, headers and half requests that a well-bred client would not.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Clone, Debug)]
pub(super) struct Request {
    method: &'static str,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
    chunked: bool,
}

pub(super) fn post(path: &str, body: &str) -> Request {
    Request { method: "POST", path: path.to_owned(), headers: Vec::new(), body: body.to_owned(), chunked: false }
}

impl Request {
    pub(super) fn method(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    /// Adds a header, or replaces one that would be made here (`Host`, `Content-Length`).
    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The body is sent as it is and said to be in chunks.
    pub(super) fn chunked(self) -> Self {
        Self { chunked: true, ..self }
    }

    fn head(&self) -> String {
        let length = if self.chunked {
            ("Transfer-Encoding", "chunked".to_owned())
        } else {
            ("Content-Length", self.body.len().to_string())
        };
        let made = [("Host", "bridge.example.com".to_owned()), ("Connection", "close".to_owned()), length];
        let is_given = |name: &str| self.headers.iter().any(|(given, _)| given == name);
        let mut lines = vec![format!("{} {} HTTP/1.1", self.method, self.path)];
        lines.extend(made.iter().filter(|(name, _)| !is_given(name)).map(|(name, value)| format!("{name}: {value}")));
        lines.extend(self.headers.iter().map(|(name, value)| format!("{name}: {value}")));
        lines.join("\r\n") + "\r\n\r\n"
    }
}

#[derive(Debug)]
pub(super) struct Answered {
    /// 0 where the connection ended without an answer.
    pub(super) status: u16,
    headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Answered {
    /// `name` in lower case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
        let headers = lines.filter_map(|line| line.split_once(": "));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        Self { status: status.unwrap_or(0), headers, body: body.to_owned() }
    }
}

/// Sends the whole request and reads to the end of the connection, at the same time: an answer may come before the
/// body is through.
pub(super) async fn exchange(address: SocketAddr, request: Request) -> Answered {
    let (mut read, mut write) = TcpStream::connect(address).await.unwrap().into_split();
    let bytes = request.head() + &request.body;
    let send = async {
        // Whoever answers early may close before it has read all.
        let _sent = write.write_all(bytes.as_bytes()).await;
    };
    let receive = async { Answered::parse(&read_on(&mut read).await) };
    let (answered, ()) = timeout(PATIENCE, async { tokio::join!(receive, send) }).await.expect("an answer in time");
    answered
}

/// Sends the head, waits for `100 Continue`, and only then sends the body.
pub(super) async fn exchange_after_continue(address: SocketAddr, request: Request) -> Answered {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let whole = async {
        stream.write_all(request.head().as_bytes()).await.unwrap();
        let mut interim = Vec::new();
        while !interim.ends_with(b"\r\n\r\n") {
            interim.push(stream.read_u8().await.expect("an interim answer"));
        }
        assert_eq!(Answered::parse(&String::from_utf8(interim).unwrap()).status, 100);
        stream.write_all(request.body.as_bytes()).await.unwrap();
        Answered::parse(&read_on(&mut stream).await)
    };
    timeout(PATIENCE, whole).await.expect("an answer in time")
}

/// Sends the request and leaves without waiting for an answer.
pub(super) async fn hang_up(address: SocketAddr, request: Request) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all((request.head() + &request.body).as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    timeout(PATIENCE, read_on(&mut stream)).await.expect("the other end closes too");
}

/// All until the end; a connection that is reset has ended too.
async fn read_on(read: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(length @ 1..) = read.read(&mut piece).await {
        bytes.extend_from_slice(&piece[..length]);
    }
    String::from_utf8(bytes).unwrap()
}
