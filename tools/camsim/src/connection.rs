//! One client's TCP connection: bytes in, bytes out with a bounded backlog, and its session.

use crate::session::Session;
use mio::net::TcpStream;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

/// Received bytes that no message has been made of yet.
const INPUT_MAX: usize = 256 * 1024;

/// One client.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) input: Vec<u8>,
    /// What the socket did not take yet.
    output: Vec<u8>,
    pub(crate) session: Option<Session>,
    /// For digest authentication.
    pub(crate) nonce: String,
    /// The reason for which it is to be closed once the backlog is out.
    pub(crate) closing: Option<&'static str>,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, peer: SocketAddr, nonce: String) -> Self {
        Self {
            stream,
            peer,
            input: Vec::new(),
            output: Vec::new(),
            session: None,
            nonce,
            closing: None,
        }
    }

    /// Bytes that wait for the client to read.
    pub(crate) fn backlog(&self) -> usize {
        self.output.len()
    }

    /// Reads what has arrived; `Ok(false)` when the client has closed.
    pub(crate) fn receive(&mut self) -> io::Result<bool> {
        let mut buffer = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(false),
                Ok(n) => self.input.extend_from_slice(&buffer[..n]),
                Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(true),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
            if self.input.len() > INPUT_MAX {
                return Err(io::Error::new(
                    ErrorKind::InvalidData,
                    "too much unread input",
                ));
            }
        }
    }

    /// Sends the backlog, then `bytes`; what the socket does not take waits.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.output.is_empty() {
            let sent = write_some(&mut self.stream, &self.output)?;
            self.output.drain(..sent);
        }
        let sent = if self.output.is_empty() {
            write_some(&mut self.stream, bytes)?
        } else {
            0
        };
        self.output.extend_from_slice(&bytes[sent..]);
        if self.output.is_empty() && self.output.capacity() > 0 {
            self.output = Vec::new();
        }
        Ok(())
    }
}

/// Writes until the socket takes no more.
fn write_some(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(n) => sent += n,
            Err(e) if e.kind() == ErrorKind::WouldBlock => break,
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(sent)
}
