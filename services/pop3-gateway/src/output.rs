//! What waits to be written. Replies are gathered and go out in one write for each batch; message content is queued
//! without a copy. Memory is given back when all is written.

use std::{
    collections::VecDeque,
    fmt::{self, Write as _},
    io::IoSlice,
};

use bytes::{Buf, Bytes, BytesMut};
use postern_mail::Reason;

/// Shorter pieces are copied: a queue of tiny slices would cost more than their octets.
const PIECE_MIN_BYTES: usize = 1024;

/// Octets on their way to the peer.
#[derive(Debug, Default)]
pub(crate) struct Output {
    pieces: VecDeque<Bytes>,
    tail: BytesMut,
    queued: usize,
}

impl Output {
    /// Queues a copy.
    pub(crate) fn put(&mut self, octets: &[u8]) {
        self.tail.extend_from_slice(octets);
        self.queued += octets.len();
    }

    /// Queues a piece, large ones without a copy.
    pub(crate) fn push(&mut self, piece: Bytes) {
        if piece.len() < PIECE_MIN_BYTES {
            return self.put(&piece);
        }
        if !self.tail.is_empty() {
            self.pieces.push_back(self.tail.split().freeze());
        }
        self.queued += piece.len();
        self.pieces.push_back(piece);
    }

    /// Queues one line with its CRLF.
    pub(crate) fn line(&mut self, text: impl fmt::Display) {
        let before = self.tail.len();
        // Writing into memory cannot fail.
        let _ = write!(self.tail, "{text}\r\n");
        self.queued += self.tail.len() - before;
    }

    /// Queues `+OK text`.
    pub(crate) fn ok(&mut self, text: impl fmt::Display) {
        self.line(format_args!("+OK {text}"));
    }

    /// Queues `-ERR` with the failure table's text.
    pub(crate) fn refuse(&mut self, reason: Reason) {
        self.line(format_args!("-ERR {}", reason.pop3_text()));
    }

    /// Queues `-ERR` with more said after the table's text.
    pub(crate) fn refuse_with(&mut self, reason: Reason, detail: &str) {
        self.line(format_args!("-ERR {}", reason.pop3_text_with(detail)));
    }
}

impl Buf for Output {
    fn remaining(&self) -> usize {
        self.queued
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&self.tail[..], |piece| &piece[..])
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let all = self.pieces.iter().map(|piece| &piece[..]).chain([&self.tail[..]]);
        let mut filled = 0;
        for (slot, octets) in slices.iter_mut().zip(all.filter(|octets| !octets.is_empty())) {
            *slot = IoSlice::new(octets);
            filled += 1;
        }
        filled
    }

    fn advance(&mut self, mut count: usize) {
        self.queued = self.queued.saturating_sub(count);
        while let Some(front) = self.pieces.front_mut() {
            if count < front.len() {
                return front.advance(count);
            }
            count -= front.len();
            self.pieces.pop_front();
        }
        self.tail.advance(count.min(self.tail.len()));
        if self.queued == 0 {
            *self = Self::default();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_kept_and_memory_given_back() {
        let mut output = Output::default();
        output.ok("one");
        output.push(Bytes::from(vec![b'x'; 5000]));
        output.push(Bytes::from_static(b"tiny\r\n"));
        output.refuse(Reason::UnknownCommand);
        let expected =
            [b"+OK one\r\n".to_vec(), vec![b'x'; 5000], b"tiny\r\n-ERR command not recognized\r\n".to_vec()];
        let expected = expected.concat();
        assert_eq!(output.remaining(), expected.len());
        let mut slices = [IoSlice::new(&[]); 8];
        assert_eq!(output.chunks_vectored(&mut slices), 3);
        let mut written = Vec::new();
        while output.has_remaining() {
            let step = output.chunk().len().min(777);
            written.extend_from_slice(&output.chunk()[..step]);
            output.advance(step);
        }
        assert_eq!(written, expected);
        assert_eq!(output.tail.capacity(), 0);
    }

    #[test]
    fn p_07_every_failure_fits_one_line_of_512_octets() {
        for reason in Reason::ALL {
            let mut output = Output::default();
            output.refuse(*reason);
            let line = output.copy_to_bytes(output.remaining());
            assert!(line.len() <= 512 && line.ends_with(b"\r\n"), "{reason:?}");
        }
    }
}
