//! BDAT: content in chunks of a known size (RFC 3030), to delivery while it comes in.

use std::time::Duration;

use bytes::Buf as _;
use postern_mail::Reason;
use postern_smtp::{chunk::ChunkReader, command::Chunk};

use super::{
    Connection, Gone, Slowest,
    content::{Pace, Way},
};
use crate::session::{Envelope, Event};

/// A message between its first chunk and its last.
pub(super) struct Chunks {
    envelope: Envelope,
    way: Way,
    reader: ChunkReader,
    pace: Pace,
}

impl Chunks {
    /// Between two chunks; ends when the memory of the message was given to faster ones.
    pub(super) async fn lost(&self) {
        self.way.lost().await;
    }

    /// Nothing of it is to be kept.
    pub(super) fn give_up(&mut self, reason: Reason) {
        self.way.give_up(reason);
    }

    /// The client was waited for between two chunks, and sent no content: whoever fills the time with other commands holds the
    /// message no longer than who drips.
    pub(super) fn is_too_slow(&mut self, waited: Duration, slowest: Slowest) -> bool {
        self.pace.is_too_slow(0, waited, slowest)
    }
}

impl Connection {
    /// Reads one chunk to its end, whatever it holds. `first` begins a message.
    pub(super) async fn chunk(&mut self, chunk: Chunk, first: Option<Box<Envelope>>) -> Result<Event, Gone> {
        let begun = match first {
            Some(envelope) => Some(Chunks {
                way: self.way(&envelope),
                envelope: *envelope,
                reader: ChunkReader::new(self.gateway.data_limits),
                pace: Pace::default(),
            }),
            None => self.chunks.take(),
        };
        // The session has no chunk without a first one.
        let Some(mut chunks) = begun else { return Err(Gone) };
        if let Some(event) = self.octets(chunk.size_bytes, Some(&mut chunks)).await? {
            return Ok(event);
        }
        if chunk.last {
            let Chunks { envelope, mut way, mut reader, .. } = chunks;
            if let Some(flaw) = reader.finish() {
                way.give_up(flaw);
            }
            let answer = way.finish(&self.session_id).await;
            self.log(&envelope, reader.size_bytes(), answer);
            return Ok(Event::ContentAnswered(answer));
        }
        if let Some(flaw) = chunks.reader.flaw() {
            self.log(&chunks.envelope, chunks.reader.size_bytes(), Err(flaw));
            return Ok(Event::ChunkAnswered(Err(flaw)));
        }
        self.chunks = Some(chunks);
        Ok(Event::ChunkAnswered(Ok(chunk.size_bytes)))
    }

    /// Reads over a chunk that nobody wants; the event that comes next.
    pub(super) async fn discard(&mut self, size_bytes: u64) -> Result<Event, Gone> {
        match self.octets(size_bytes, None).await? {
            Some(event) => Ok(event),
            None => self.next_event().await,
        }
    }

    /// Takes exactly so many octets off the input. An event when the session ends before.
    async fn octets(
        &mut self,
        size_bytes: u64,
        mut chunks: Option<&mut Chunks>,
    ) -> Result<Option<Event>, Gone> {
        self.flush().await?;
        let mut unwanted = Pace::default();
        let mut left = size_bytes;
        if let Some(chunks) = &mut chunks {
            // What came with the command, which nobody counted.
            chunks.pace.came(usize::try_from(left).unwrap_or(usize::MAX).min(self.input.len()));
        }
        loop {
            let here = usize::try_from(left).unwrap_or(usize::MAX).min(self.input.len());
            if let Some(Chunks { way, reader, .. }) = &mut chunks {
                if reader.feed(&self.input[..here]) {
                    way.push(&self.input[..here]);
                }
                if let Some(flaw) = reader.flaw() {
                    way.give_up(flaw);
                }
            }
            self.input.advance(here);
            left -= here as u64;
            if left == 0 {
                return Ok(None);
            }
            self.free_input();
            let more = match &mut chunks {
                Some(Chunks { way, pace, .. }) => {
                    way.send_ahead().await;
                    tokio::select! {
                        biased;
                        () = way.lost() => {
                            way.give_up(Reason::InsufficientStorage);
                            None
                        }
                        more = self.more_content(pace) => more?,
                    }
                }
                None => self.more_content(&mut unwanted).await?,
            };
            if let Some(event) = more {
                return Ok(Some(event));
            }
        }
    }
}
