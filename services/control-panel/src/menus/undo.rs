//! Undoing a removal: what the audit holds of it is brought back as it was.

use postern_proto::account::v1::{ListAuditEntriesRequest, RestoreAuditEntryRequest};

use crate::{call::Failure, place::Place};

/// Brings back what the last removal of this kind took away, of the name that the form asks for; the name must be one of this
/// domain. Returns the name.
pub(super) async fn removal(place: &Place, kind: &str) -> Result<String, Failure> {
    let name = place.visit.form.get("name").to_owned();
    if !name.ends_with(&format!("@{}", place.name())) {
        return Err(Failure::NotFound);
    }
    let request = ListAuditEntriesRequest {
        kind: kind.to_owned(),
        action: "delete".to_owned(),
        name: name.clone(),
        page_size: 1,
        ..ListAuditEntriesRequest::default()
    };
    let entries = place.calls().audit().list_audit_entries(request).await?.into_inner().entries;
    let entry = entries.first().ok_or(Failure::NotFound)?;
    let request = RestoreAuditEntryRequest { audit_id: entry.audit_id };
    place.calls().audit().restore_audit_entry(request).await?;
    Ok(name)
}
