//! Frames of `ImportMessages`: which message they belong to, checked, and handed to `transfer`.

use std::collections::HashMap;

use postern_mail::Reason;
use postern_mesh::failure;
use postern_proto::{
    delivery::v1::{
        ImportCourse, ImportMessagesRequest, ImportMessagesResponse, ImportRefusal, ImportedMessage,
    },
    google::Timestamp,
};
use tonic::{Status, Streaming};
use uuid::Uuid;

use crate::{
    store::Store,
    transfer::{Arrival, Course, Import, ImportError, Opening, Refusal, Report, Told},
};

/// Content of one frame, octets.
const FRAME_CONTENT_MAX_BYTES: usize = 256 * 1024;
/// Characters of the name of a file, and of a message in it.
const NAME_MAX_CHARS: usize = 200;
/// First second after the year 9999.
const TIME_END_SECONDS: i64 = 253_402_300_800;

/// Writes down that an import begins, when its first frame asks for that.
pub(super) async fn course(store: &Store, first: &ImportMessagesRequest) -> Result<Option<Course>, Status> {
    if first.import_id.is_empty() {
        return Ok(None);
    }
    let import_id = Uuid::try_parse(&first.import_id).map_err(|_| invalid("import_id: not a UUID"))?;
    if !is_plain(&first.file_name) {
        return Err(invalid("file_name: at most 200 characters, none of them a control character"));
    }
    if first.total_bytes < 0 {
        return Err(invalid("total_bytes: not negative"));
    }
    let opening = Opening {
        import_id,
        mailbox_id: first.mailbox_id,
        file_name: first.file_name.clone(),
        total_bytes: first.total_bytes,
    };
    match Course::begin(store, &opening).await {
        Ok(Some(course)) => Ok(Some(course)),
        Ok(None) => Err(invalid("import_id: there was an import of this id")),
        Err(error) => {
            tracing::warn!(%error, "an import cannot be written down now");
            Err(failure::status(Reason::Unavailable))
        }
    }
}

fn is_plain(name: &str) -> bool {
    name.chars().count() <= NAME_MAX_CHARS && !name.chars().any(char::is_control)
}

/// Reads the stream to its end; `first` is its first frame.
pub(super) async fn take_all(
    mut import: Import,
    mut course: Option<Course>,
    first: ImportMessagesRequest,
    frames: &mut Streaming<ImportMessagesRequest>,
) -> Result<ImportMessagesResponse, Status> {
    let taken = take_frames(&mut import, &mut course, first, frames).await;
    if taken.is_err() {
        // What came whole before it broke off stays; when that cannot be written, the error above says so already.
        let _ = import.finish().await;
    }
    if let Some(course) = course {
        course.end(import.report(), taken.as_ref().err().map(failure::reason_of)).await;
    }
    taken.map(|()| response(import.report()))
}

async fn take_frames(
    import: &mut Import,
    course: &mut Option<Course>,
    first: ImportMessagesRequest,
    frames: &mut Streaming<ImportMessagesRequest>,
) -> Result<(), Status> {
    let mut frame = ImportMessagesRequest {
        begin: first.begin,
        content: first.content,
        end: first.end,
        broken: first.broken,
        ..ImportMessagesRequest::default()
    };
    loop {
        let octets = frame.content.len();
        take(import, frame).await?;
        if let Some(course) = course {
            course.came(octets, import.report()).await;
        }
        match frames.message().await? {
            Some(next) => frame = next,
            None if import.is_open() => return Err(invalid("end: the stream ended within a message")),
            None => return import.finish().await.map_err(|error| status(&error)),
        }
    }
}

async fn take(import: &mut Import, frame: ImportMessagesRequest) -> Result<(), Status> {
    let opens = frame.mailbox_id != 0
        || !frame.import_id.is_empty()
        || !frame.file_name.is_empty()
        || frame.total_bytes != 0;
    if opens {
        return Err(invalid("mailbox_id, import_id, file_name, total_bytes: only in the first frame"));
    }
    if frame.content.len() > FRAME_CONTENT_MAX_BYTES {
        return Err(invalid("content: at most 256 KiB in one frame"));
    }
    if let Some(begin) = frame.begin {
        if import.is_open() {
            return Err(invalid("begin: the message before has no end"));
        }
        if !is_plain(&begin.name) {
            return Err(invalid("begin.name: at most 200 characters, none of them a control character"));
        }
        import.begin_message(arrival(&begin)?, begin.name);
    }
    if !import.is_open() {
        let is_empty = frame.content.is_empty() && !frame.end && !frame.broken;
        return if is_empty {
            Ok(())
        } else {
            Err(invalid("begin: missing before the content of a message"))
        };
    }
    if frame.broken {
        if !frame.end {
            return Err(invalid("broken: only with the end of a message"));
        }
        import.break_message();
        return Ok(());
    }
    let taken = async {
        if !frame.content.is_empty() {
            import.content(frame.content).await?;
        }
        if frame.end { import.end_message().await } else { Ok(()) }
    };
    taken.await.map_err(|error| status(&error))
}

fn arrival(begin: &ImportedMessage) -> Result<Arrival, Status> {
    let Some(Timestamp { seconds, nanos }) = begin.receive_time else { return Ok(None) };
    if !(0..TIME_END_SECONDS).contains(&seconds) || !(0..1_000_000_000).contains(&nanos) {
        return Err(invalid("begin.receive_time: from 1970 to 9999"));
    }
    Ok(Some(seconds * 1_000_000 + i64::from(nanos) / 1000))
}

/// An import as it is told.
pub(super) fn told(told: Told) -> ImportCourse {
    let (imported_count, duplicate_count, refused_count) = told.counts;
    let refusal = |Refusal { index, reason, name }| ImportRefusal { index, reason, name };
    ImportCourse {
        import_id: told.opening.import_id.to_string(),
        mailbox_id: told.opening.mailbox_id,
        file_name: told.opening.file_name,
        state: i32::from(told.state),
        total_bytes: told.opening.total_bytes,
        read_bytes: told.read_bytes,
        imported_count,
        duplicate_count,
        refused_count,
        refusals: told.refusals.into_iter().map(refusal).collect(),
        reason: told.reason,
        begin_time: Some(super::timestamp(told.begin_micros)),
        end_time: told.end_micros.map(super::timestamp),
    }
}

fn response(report: &Report) -> ImportMessagesResponse {
    let refusal = |refusal: &Refusal<Reason>| ImportRefusal {
        index: refusal.index,
        reason: refusal.reason.name().to_owned(),
        name: refusal.name.clone(),
    };
    ImportMessagesResponse {
        imported_count: report.imported,
        duplicate_count: report.duplicates,
        refused_count: report.refused,
        refusals: report.refusals.iter().map(refusal).collect(),
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
