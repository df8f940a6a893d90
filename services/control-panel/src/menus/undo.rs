//! Undoing a removal: what the audit holds of it is brought back as it was. The way back is the number of its entry, so that it
//! stays the way of that removal, however large it was and whatever is removed after it.

use postern_proto::account::v1::{AddListMembersRequest, AuditEntry, RestoreAuditEntryRequest};

use crate::{call::Failure, layout::said::Said, place::Place};

/// Of the entry, in forms.
pub(super) const FIELD: &str = "audit-id";

/// Says that something was removed, with the way back; none where nothing was.
pub(super) fn offered(said: Said, to: String, audit_id: i64) -> Said {
    if audit_id == 0 { said } else { said.undo(to, &[(FIELD, &audit_id.to_string())]) }
}

/// Brings back what the entry of the form tells of; whose it may be is decided by account. Returns the entry of the restoring.
pub(super) async fn removal(place: &Place) -> Result<AuditEntry, Failure> {
    let audit_id = place.visit.form.get(FIELD).parse().map_err(|_| Failure::BadForm)?;
    let request = RestoreAuditEntryRequest { audit_id };
    let restored = place.calls().audit().restore_audit_entry(request).await?.into_inner().entry;
    restored.ok_or(Failure::NotFound)
}

/// How many members came back, by the entry of the restoring.
pub(super) fn members_of(entry: &AuditEntry) -> i64 {
    let back: AddListMembersRequest = serde_json::from_str(&entry.after_json).unwrap_or_default();
    i64::try_from(back.addresses.len()).unwrap_or(i64::MAX)
}
