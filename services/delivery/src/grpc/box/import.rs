//! Frames of `ImportMessages`: which message they belong to, checked, and handed to `transfer`.

use std::collections::HashMap;

use postern_mail::Reason;
use postern_mesh::failure;
use postern_proto::{
    delivery::v1::{ImportMessagesRequest, ImportMessagesResponse, ImportRefusal, ImportedMessage},
    google::Timestamp,
};
use tonic::{Status, Streaming};

use crate::transfer::{Arrival, Import, ImportError, Report};

/// Content of one frame, octets.
const FRAME_CONTENT_MAX_BYTES: usize = 256 * 1024;
/// First second after the year 9999.
const TIME_END_SECONDS: i64 = 253_402_300_800;

/// Reads the stream to its end; `first` is its first frame.
pub(super) async fn take_all(
    mut import: Import,
    first: ImportMessagesRequest,
    frames: &mut Streaming<ImportMessagesRequest>,
) -> Result<ImportMessagesResponse, Status> {
    let mut frame = ImportMessagesRequest { mailbox_id: 0, ..first };
    loop {
        take(&mut import, frame).await?;
        match frames.message().await? {
            Some(next) => frame = next,
            None if import.is_open() => return Err(invalid("end: the stream ended within a message")),
            None => return Ok(response(import.finish().await.map_err(|error| status(&error))?)),
        }
    }
}

async fn take(import: &mut Import, frame: ImportMessagesRequest) -> Result<(), Status> {
    if frame.mailbox_id != 0 {
        return Err(invalid("mailbox_id: only in the first frame"));
    }
    if frame.content.len() > FRAME_CONTENT_MAX_BYTES {
        return Err(invalid("content: at most 256 KiB in one frame"));
    }
    if let Some(begin) = frame.begin {
        if import.is_open() {
            return Err(invalid("begin: the message before has no end"));
        }
        import.begin_message(arrival(begin)?);
    }
    if !import.is_open() {
        let is_empty = frame.content.is_empty() && !frame.end;
        return if is_empty {
            Ok(())
        } else {
            Err(invalid("begin: missing before the content of a message"))
        };
    }
    let taken = async {
        if !frame.content.is_empty() {
            import.content(frame.content).await?;
        }
        if frame.end { import.end_message().await } else { Ok(()) }
    };
    taken.await.map_err(|error| status(&error))
}

fn arrival(begin: ImportedMessage) -> Result<Arrival, Status> {
    let Some(Timestamp { seconds, nanos }) = begin.receive_time else { return Ok(None) };
    if !(0..TIME_END_SECONDS).contains(&seconds) || !(0..1_000_000_000).contains(&nanos) {
        return Err(invalid("begin.receive_time: from 1970 to 9999"));
    }
    Ok(Some(seconds * 1_000_000 + i64::from(nanos) / 1000))
}

fn response(report: Report) -> ImportMessagesResponse {
    let refusal = |(index, reason): (i64, Reason)| ImportRefusal { index, reason: reason.name().to_owned() };
    ImportMessagesResponse {
        imported_count: report.imported,
        duplicate_count: report.duplicates,
        refused_count: report.refused,
        refusals: report.refusals.into_iter().map(refusal).collect(),
    }
}

pub(super) fn status(error: &ImportError) -> Status {
    let counts = match error {
        ImportError::Full(report) => HashMap::from([
            ("imported_count".to_owned(), report.imported.to_string()),
            ("duplicate_count".to_owned(), report.duplicates.to_string()),
        ]),
        ImportError::Failed(_) => HashMap::new(),
    };
    failure::status_with_metadata(error.reason(), error.to_string(), counts)
}

pub(super) fn invalid(detail: &'static str) -> Status {
    failure::status_with(Reason::InvalidArgument, detail)
}
