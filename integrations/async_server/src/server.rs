//! The server: HTTP/1.1 without pipelining, one task per connection.

use std::io::{self, ErrorKind, Write};
use std::str;
use std::sync::Arc;
use std::time::Duration;

use httparse::Status;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::Result;
use crate::memory::{Memory, Request};

/// How long a client may take to send a request once it has begun: meanwhile it has a slot.
const PATIENCE: Duration = Duration::from_secs(5);

const HEADERS_MAX: usize = 32;

pub(crate) async fn serve<M: Memory>(listener: TcpListener, memory: Arc<M>) -> io::Result<()> {
    loop {
        let (stream, peer) = listener.accept().await?;
        let memory = Arc::clone(&memory);
        tokio::spawn(async move {
            if let Err(error) = converse(stream, &*memory).await {
                eprintln!("connection to {peer}: {error}");
            }
        });
    }
}

async fn converse<M: Memory>(mut stream: TcpStream, memory: &M) -> Result<()> {
    stream.set_nodelay(true)?;
    loop {
        // Nothing is taken before there is something to read: a client that is silent occupies no slot.
        if stream.peek(&mut [0]).await? == 0 {
            return Ok(());
        }
        let mut request = memory.request().await?;
        let mut input = memory.buffer().await?;
        let input = input.as_mut();
        timeout(PATIENCE, receive(&mut stream, &mut request, input, memory.buffer_size())).await??;
        let mut output = memory.buffer().await?;
        let output = output.as_mut();
        respond(&request, input, output)?;
        stream.write_all(output).await?;
    }
}

/// Reads a request: its bytes into `input`, and its head from there into `request`.
async fn receive(stream: &mut TcpStream, request: &mut Request, input: &mut Vec<u8>, size_max: usize) -> Result<()> {
    while !parse(request, input)? {
        read(stream, input, size_max).await?;
    }
    let end = request.body_start.saturating_add(request.body_length);
    while input.len() < end {
        read(stream, input, size_max).await?;
    }
    if input.len() > end { Err("a request before the last one was answered".into()) } else { Ok(()) }
}

async fn read(stream: &mut TcpStream, input: &mut Vec<u8>, size_max: usize) -> io::Result<()> {
    if input.len() >= size_max {
        return Err(io::Error::new(ErrorKind::InvalidData, format!("a request of more than {size_max} bytes")));
    }
    match stream.read_buf(input).await? {
        0 => Err(ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// Returns whether the head is complete.
fn parse(request: &mut Request, input: &[u8]) -> Result<bool> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut headers);
    let Status::Complete(body_start) = head.parse(input)? else { return Ok(false) };
    request.method.push_str(head.method.unwrap_or_default());
    request.path.push_str(head.path.unwrap_or_default());
    request.body_start = body_start;
    let length = head.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    request.body_length = match length {
        Some(header) => str::from_utf8(header.value)?.parse()?,
        None => 0,
    };
    Ok(true)
}

fn respond(request: &Request, input: &[u8], output: &mut Vec<u8>) -> io::Result<()> {
    let body = &input[request.body_start..][..request.body_length];
    match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/uppercase") => {
            write!(output, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len())?;
            output.extend(body.iter().map(u8::to_ascii_uppercase));
        }
        _ => write!(output, "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")?,
    }
    Ok(())
}
