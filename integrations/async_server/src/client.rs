//! The load: connections that send one request after another, and time the answers.

use std::io::{self, ErrorKind, Write};
use std::net::SocketAddr;
use std::str;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use httparse::Status;
use indicatif::ProgressBar;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task;

use crate::Result;

/// Room for the head of a request or an answer.
pub(crate) const HEAD: usize = 128;

/// Bytes that are sent at once: other tasks run before the next ones, so a server waits for them.
const PIECE: usize = 4_096;

/// Requests of a connection until progress is shown.
const STEP: usize = 50;

pub(crate) struct Load {
    pub(crate) connections: usize,
    /// Of each connection.
    pub(crate) requests: usize,
    /// Of the largest body; the smallest has a quarter of it.
    pub(crate) body_size: usize,
}

pub(crate) struct Round {
    pub(crate) time: Duration,
    /// In nanoseconds.
    pub(crate) latencies: Histogram<u64>,
}

impl Load {
    pub(crate) async fn run(&self, server: SocketAddr, progress: &ProgressBar) -> Result<Round> {
        let text: Arc<[u8]> = (b'a'..=b'z').cycle().take(self.body_size).collect();
        let mut streams = Vec::with_capacity(self.connections);
        for _ in 0..self.connections {
            streams.push(TcpStream::connect(server).await?);
        }
        let start = Instant::now();
        let connections = streams.into_iter().zip(1..).map(|(stream, seed)| {
            let connection = Connection {
                stream,
                text: Arc::clone(&text),
                random: Random(seed),
                sent: Vec::new(),
                received: Vec::new(),
            };
            tokio::spawn(connection.run(self.requests, progress.clone()))
        });
        let mut latencies = Histogram::new(3)?;
        for connection in connections.collect::<Vec<_>>() {
            latencies.add(connection.await??)?;
        }
        Ok(Round { time: start.elapsed(), latencies })
    }
}

struct Connection {
    stream: TcpStream,
    /// What bodies are cut from.
    text: Arc<[u8]>,
    random: Random,
    sent: Vec<u8>,
    received: Vec<u8>,
}

impl Connection {
    async fn run(mut self, requests: usize, progress: ProgressBar) -> Result<Histogram<u64>> {
        self.stream.set_nodelay(true)?;
        let mut latencies = Histogram::new(3)?;
        for request in 1..=requests {
            let length = self.text.len() - self.random.below(self.text.len() * 3 / 4 + 1);
            self.sent.clear();
            write!(self.sent, "POST /uppercase HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n")?;
            self.sent.extend_from_slice(&self.text[..length]);
            let start = Instant::now();
            for piece in self.sent.chunks(PIECE) {
                self.stream.write_all(piece).await?;
                task::yield_now().await;
            }
            let body = self.receive().await?;
            latencies.record(start.elapsed().as_nanos() as u64)?;
            if self.received.len() - body != length || !self.received[body..].eq_ignore_ascii_case(&self.text[..length])
            {
                return Err("the answer is not what was asked for".into());
            }
            if request % STEP == 0 {
                progress.inc(STEP as u64);
            }
        }
        progress.inc((requests % STEP) as u64);
        Ok(latencies)
    }

    /// Reads an answer, and returns where its body starts.
    async fn receive(&mut self) -> Result<usize> {
        self.received.clear();
        self.received.reserve(HEAD + self.text.len());
        let mut end = None;
        loop {
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err(io::Error::from(ErrorKind::UnexpectedEof).into());
            }
            if end.is_none() {
                end = parse(&self.received)?;
            }
            if let Some((body, end)) = end {
                if self.received.len() >= end {
                    return Ok(body);
                }
            }
        }
    }
}

/// Where the body starts and ends, if the head is complete.
fn parse(answer: &[u8]) -> Result<Option<(usize, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; 4];
    let mut head = httparse::Response::new(&mut headers);
    let Status::Complete(body) = head.parse(answer)? else { return Ok(None) };
    if head.code != Some(200) {
        return Err(format!("the server answered with status {:?}", head.code).into());
    }
    let length =
        head.headers.iter().find(|header| header.name == "content-length").ok_or("an answer without length")?;
    Ok(Some((body, body + str::from_utf8(length.value)?.parse::<usize>()?)))
}

/// The generator `xorshift64*`.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % end
    }
}
