//! What the audit tells, in words: to the owner of the things, and to staff. Each kind of thing, and all that is done to one, has a
//! word in every language; what a newer version wrote is shown as it stands.

pub(crate) mod difference;
mod words;

use postern_mesh::{
    audit::{Action, Thing},
    identity::Role,
};
use postern_proto::account::v1::AuditEntry;

use crate::texts::Texts;

/// What an entry is about.
pub(crate) fn thing(texts: Texts, entry: &AuditEntry) -> String {
    Thing::parse(&entry.kind).map_or_else(|| entry.kind.clone(), |thing| texts.say(thing_key(thing)))
}

/// What was done, as it stands behind the name of the thing.
pub(crate) fn done(texts: Texts, entry: &AuditEntry) -> String {
    match (Thing::parse(&entry.kind), Action::parse(&entry.action)) {
        // The name is that of the list.
        (Some(Thing::ListMember), Some(Action::Create)) => texts.say("activity-members-create"),
        (Some(Thing::ListMember), Some(Action::Delete)) => texts.say("activity-members-delete"),
        (_, Some(action)) => texts.say(action_key(action)),
        (_, None) => entry.action.clone(),
    }
}

/// Who did it: a person, somebody's tool, or the platform.
pub(crate) fn role(texts: Texts, entry: &AuditEntry) -> String {
    let known = Role::ALL.into_iter().find(|role| role.as_str() == entry.actor_role);
    known.map_or_else(|| entry.actor_role.clone(), |role| texts.say(role_key(role)))
}

/// All kinds to choose from, as the audit and as people name them; any of them first.
pub(crate) fn things(texts: Texts) -> Vec<(&'static str, String)> {
    let known = Thing::ALL.iter().map(|thing| (thing.as_str(), texts.say(thing_key(*thing))));
    [("", texts.say("activity-any"))].into_iter().chain(known).collect()
}

/// The same of what is done.
pub(crate) fn actions(texts: Texts) -> Vec<(&'static str, String)> {
    let known = Action::ALL.iter().map(|action| (action.as_str(), texts.say(action_key(*action))));
    [("", texts.say("activity-any"))].into_iter().chain(known).collect()
}

fn thing_key(thing: Thing) -> &'static str {
    match thing {
        Thing::Customer => "activity-kind-customer",
        Thing::Limits => "activity-kind-limits",
        Thing::Domain => "activity-kind-domain",
        Thing::Mailbox => "activity-kind-mailbox",
        Thing::Box => "activity-kind-box",
        Thing::Forward => "activity-kind-forward",
        Thing::List => "activity-kind-list",
        Thing::ListMember => "activity-kind-list-member",
        Thing::Autoresponder => "activity-kind-autoresponder",
        Thing::DefaultAddress => "activity-kind-default-address",
        Thing::AppPassword => "activity-kind-app-password",
        Thing::SecondFactor => "activity-kind-second-factor",
        Thing::PanelSession => "activity-kind-panel-session",
        Thing::ApiToken => "activity-kind-api-token",
        Thing::Lock => "activity-kind-lock",
        Thing::Grant => "activity-kind-grant",
        Thing::SendingLimit => "activity-kind-sending-limit",
        Thing::QueueEntry => "activity-kind-queue-entry",
    }
}

fn action_key(action: Action) -> &'static str {
    match action {
        Action::Create => "activity-action-create",
        Action::Update => "activity-action-update",
        Action::Delete => "activity-action-delete",
        Action::Restore => "activity-action-restore",
        Action::SetPassword => "activity-action-set-password",
        Action::Verify => "activity-action-verify",
        Action::Release => "activity-action-release",
        Action::Clear => "activity-action-clear",
        Action::Import => "activity-action-import",
        Action::Merge => "activity-action-merge",
        Action::Revoke => "activity-action-revoke",
        Action::End => "activity-action-end",
        Action::RecoveryCode => "activity-action-recovery-code",
        Action::Refused => "activity-action-refused",
        Action::Unsubscribe => "activity-action-unsubscribe",
        Action::Suspend => "activity-action-suspend",
        Action::Reached => "activity-action-reached",
        Action::Retry => "activity-action-retry",
        Action::Hold => "activity-action-hold",
        Action::Remove => "activity-action-remove",
        Action::RemoveSilently => "activity-action-remove-silently",
    }
}

fn role_key(role: Role) -> &'static str {
    match role {
        Role::Service => "activity-role-service",
        Role::Operator => "activity-role-operator",
        Role::Support => "activity-role-support",
        Role::Customer => "activity-role-customer",
        Role::Mailbox => "activity-role-mailbox",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::texts::Language;

    #[test]
    fn whatever_is_done_has_a_word_in_every_language() {
        for texts in Language::ALL.map(Texts) {
            for thing_of in Thing::ALL {
                for action in Action::ALL {
                    for of in Role::ALL {
                        let entry = AuditEntry {
                            kind: thing_of.as_str().to_owned(),
                            action: action.as_str().to_owned(),
                            actor_role: of.as_str().to_owned(),
                            ..AuditEntry::default()
                        };
                        for word in [thing(texts, &entry), done(texts, &entry), role(texts, &entry)] {
                            // What has no text is shown by its key.
                            assert!(!word.is_empty() && !word.starts_with("activity-"), "{word}: {entry:?}");
                        }
                    }
                }
            }
            assert_eq!(
                (things(texts).len(), actions(texts).len()),
                (Thing::ALL.len() + 1, Action::ALL.len() + 1)
            );
        }
    }

    #[test]
    fn words_of_a_newer_version_are_shown_as_they_stand() {
        let entry = AuditEntry {
            kind: "robot".to_owned(),
            action: "<dance>".to_owned(),
            actor_role: "choir".to_owned(),
            ..AuditEntry::default()
        };
        let texts = Texts::default();
        let told = (thing(texts, &entry), done(texts, &entry), role(texts, &entry));
        assert_eq!(told, ("robot".to_owned(), "<dance>".to_owned(), "choir".to_owned()));
    }
}
