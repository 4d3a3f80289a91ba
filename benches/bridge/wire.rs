//! As much of HTTP/1.1 as the two ends of a measurement need: messages with a length, on connections that are kept.

/// One message of a connection, as far as it was read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Of an answer.
    pub(crate) status: u16,
    pub(crate) head_bytes: usize,
    pub(crate) bytes: usize,
    pub(crate) keeps_open: bool,
}

/// The message that `buffer` begins with; `None` until it is whole.
pub(crate) fn message(buffer: &[u8]) -> Option<Message> {
    let head_bytes = buffer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&buffer[..head_bytes]).expect("a head is text");
    let mut lines = head.split("\r\n");
    let first = lines.next().expect("a head has a first line");
    let mut body_bytes = 0;
    let mut keeps_open = true;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            body_bytes = value.trim().parse().expect("a length is a number");
        } else if name.eq_ignore_ascii_case("connection") {
            keeps_open = !value.trim().eq_ignore_ascii_case("close");
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            assert!(value.is_empty(), "a body without a length ({value}) is not read here");
        }
    }
    let bytes = head_bytes + body_bytes;
    let status = first.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0);
    (buffer.len() >= bytes).then_some(Message { status, head_bytes, bytes, keeps_open })
}
