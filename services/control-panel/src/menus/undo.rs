//! Undoing a removal: what the audit holds of it is brought back as it was.

use postern_proto::account::v1::{ListAuditEntriesRequest, RestoreAuditEntryRequest};

use crate::{call::Failure, place::Place};

/// Restores the newest entry that is asked for; it must be one of this domain.
pub(crate) async fn newest(place: &Place, request: ListAuditEntriesRequest) -> Result<(), Failure> {
    if !request.name.ends_with(&format!("@{}", place.name())) {
        return Err(Failure::NotFound);
    }
    let entries = place.calls().audit().list_audit_entries(request).await?.into_inner().entries;
    let entry = entries.first().ok_or(Failure::NotFound)?;
    let request = RestoreAuditEntryRequest { audit_id: entry.audit_id };
    place.calls().audit().restore_audit_entry(request).await?;
    Ok(())
}
