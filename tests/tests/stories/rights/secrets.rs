//! Nothing that is secret is told to who reads the audit.

use sqlx::PgPool;

/// What passwords are set to: found in no audit entry.
pub(super) const CANARY: &str = "canary-in-the-mine";

const AUDIT_PROTO: &str = include_str!("../../../../proto/postern/account/v1/audit.proto");

/// Every hash that is stored, as text that could have got out.
pub(super) async fn hashes(database: &PgPool) -> anyhow::Result<Vec<String>> {
    Ok(sqlx::query_scalar(
        "select password_phc from account.customers where password_phc <> ''
         union select password_phc from account.mailboxes where password_phc is not null
         union select encode(secret_sha256, 'hex') from account.api_tokens
         union select encode(secret_sha256, 'base64') from account.api_tokens
         union select encode(secret_sha256, 'hex') from account.app_passwords
         union select encode(secret_sha256, 'base64') from account.app_passwords
         union select encode(secret, 'hex') from account.second_factors
         union select encode(secret, 'base64') from account.second_factors
         union select encode(unnest(recovery_sha256), 'hex') from account.second_factors
         union select encode(unnest(recovery_sha256), 'base64') from account.second_factors",
    )
    .fetch_all(database)
    .await?)
}

pub(super) async fn are_in_no_audit(database: &PgPool, secrets: &[String]) -> anyhow::Result<()> {
    let entries: Vec<String> =
        sqlx::query_scalar("select audit::text from account.audit").fetch_all(database).await?;
    let done: Vec<String> =
        sqlx::query_scalar("select distinct kind || ' ' || action from account.audit order by 1")
            .fetch_all(database)
            .await?;
    println!("{} audit entries: {}; {} secrets", entries.len(), done.join(", "), secrets.len());
    for told in [
        "api-token create",
        "app-password create",
        "mailbox set-password",
        "customer set-password",
        "second-factor delete",
    ] {
        assert!(done.iter().any(|deed| deed == told), "{told} is in the audit: {done:?}");
    }
    for kind in done.iter().filter_map(|deed| deed.split_whitespace().next()) {
        assert!(AUDIT_PROTO.contains(&format!("`{kind}`")), "{kind} is not told in audit.proto");
    }
    assert!(secrets.len() > 8 && secrets.iter().all(|secret| secret.len() > 8), "there are secrets");
    for entry in &entries {
        for secret in secrets.iter().map(String::as_str).chain(["$argon2", "pst_", "pss_"]) {
            assert!(!entry.contains(secret), "{secret} is in the audit: {entry}");
        }
    }
    Ok(())
}
