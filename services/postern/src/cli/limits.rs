//! `postern limits`: how much of everything a customer may have, and has.

use clap::{Args, Subcommand};
use postern_proto::account::v1::{
    CustomerLimits, GetLimitsRequest, Limits, UpdateLimitsRequest, limits_service_client::LimitsServiceClient,
};

use super::{Failure, operator::Operator, table::Table};

/// On the wire: no limit, whatever the platform's default is.
const NO_LIMIT: i64 = -1;

/// What can be done with limits.
#[derive(Debug, Subcommand)]
pub enum LimitsCommand {
    /// Show the limits of a customer beside what is used
    #[command(after_help = "Example:\n  postern limits show homepage")]
    Show {
        /// Login of the customer
        customer: String,
    },
    /// Change those limits that are named, keep the others
    #[command(
        after_help = "Each is a number, `none` (no limit) or `default` (the platform's).\n\nExample:\n  \
                      postern limits set homepage --mailboxes 50 --storage 20G --forwards default"
    )]
    Set {
        /// Login of the customer
        customer: String,
        #[command(flatten)]
        named: Named,
    },
}

/// What one limit is to be: `None` is absent on the wire, what holds unless something is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted(pub(super) Option<i64>);

/// Limits that were named.
#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
pub struct Named {
    /// Domains, with their second names
    #[arg(long, value_name = "N", value_parser = count)]
    domains: Option<Wanted>,
    /// Mailboxes, without default boxes
    #[arg(long, value_name = "N", value_parser = count)]
    mailboxes: Option<Wanted>,
    /// Forwards
    #[arg(long, value_name = "N", value_parser = count)]
    forwards: Option<Wanted>,
    /// Mailing lists
    #[arg(long, value_name = "N", value_parser = count)]
    lists: Option<Wanted>,
    /// Members of all lists together
    #[arg(long, value_name = "N", value_parser = count)]
    list_members: Option<Wanted>,
    /// Autoresponders
    #[arg(long, value_name = "N", value_parser = count)]
    autoresponders: Option<Wanted>,
    /// Octets of all boxes together; K, M and G are of 1024
    #[arg(long, value_name = "SIZE", value_parser = size)]
    storage: Option<Wanted>,
    /// Octets of one box that has no quota of its own
    #[arg(long, value_name = "SIZE", value_parser = size)]
    mailbox_storage: Option<Wanted>,
    /// Recipients outside in an hour, of all logins together
    #[arg(long, value_name = "N", value_parser = count)]
    messages_per_hour: Option<Wanted>,
}

impl LimitsCommand {
    pub(super) async fn run(self, operator: &Operator) -> Result<(), Failure> {
        let mut client = LimitsServiceClient::new(operator.account.clone());
        match self {
            Self::Show { customer } => {
                let answer = client.get_limits(GetLimitsRequest { customer }).await?.into_inner();
                operator.show(&answer, |a| table(&a.limits.clone().unwrap_or_default()))
            }
            Self::Set { customer, named } => {
                let request = GetLimitsRequest { customer };
                let found = client.get_limits(request).await?.into_inner().limits.unwrap_or_default();
                let limits = Some(named.over(found.limits.unwrap_or_default()));
                // The etag: what somebody else changed meanwhile is not undone unseen.
                let wanted = CustomerLimits {
                    customer: found.customer,
                    limits,
                    etag: found.etag,
                    ..CustomerLimits::default()
                };
                let request = UpdateLimitsRequest { limits: Some(wanted) };
                let answer = client.update_limits(request).await?.into_inner();
                operator.show(&answer, |a| table(&a.limits.clone().unwrap_or_default()))
            }
        }
    }
}

impl Named {
    /// What was set, with what was named put over it.
    fn over(self, set: Limits) -> Limits {
        let put = |wanted: Option<Wanted>, was: Option<i64>| wanted.map_or(was, |Wanted(limit)| limit);
        Limits {
            domains: put(self.domains, set.domains),
            mailboxes: put(self.mailboxes, set.mailboxes),
            forwards: put(self.forwards, set.forwards),
            lists: put(self.lists, set.lists),
            list_members: put(self.list_members, set.list_members),
            autoresponders: put(self.autoresponders, set.autoresponders),
            storage_bytes: put(self.storage, set.storage_bytes),
            mailbox_storage_bytes: put(self.mailbox_storage, set.mailbox_storage_bytes),
            messages_per_hour: put(self.messages_per_hour, set.messages_per_hour),
        }
    }
}

/// `50`, `none`, `default`.
fn count(text: &str) -> Result<Wanted, String> {
    wanted(text, "a number, `none` or `default`", |digits| digits.parse().ok())
}

/// `500M`, `20G`, octets without a letter, `none`, `default`.
pub(super) fn size(text: &str) -> Result<Wanted, String> {
    wanted(text, "octets, as in 500M or 20G, `none` or `default`", |text| {
        let (digits, unit) = match text.bytes().last()? {
            b'K' | b'k' => (&text[..text.len() - 1], 1 << 10),
            b'M' | b'm' => (&text[..text.len() - 1], 1 << 20),
            b'G' | b'g' => (&text[..text.len() - 1], 1 << 30),
            _ => (text, 1),
        };
        digits.parse::<i64>().ok()?.checked_mul(unit)
    })
}

fn wanted(text: &str, form: &str, read: impl Fn(&str) -> Option<i64>) -> Result<Wanted, String> {
    match text {
        "default" => Ok(Wanted(None)),
        "none" => Ok(Wanted(Some(NO_LIMIT))),
        _ => read(text).filter(|n| *n >= 0).map(|n| Wanted(Some(n))).ok_or_else(|| format!("must be {form}")),
    }
}

fn table(shown: &CustomerLimits) -> Table {
    let (set, holds) = (shown.limits.unwrap_or_default(), shown.effective.unwrap_or_default());
    let used = shown.usage.unwrap_or_default();
    let mut table = Table::new(["LIMIT", "SET", "HOLDS", "USED"], "no limits");
    let mut row = |name: &str, set: Option<i64>, holds: Option<i64>, used: Option<i64>| {
        let used = used.map(|used| used.to_string()).unwrap_or_default();
        table.row([name.to_owned(), limit(set, "default"), limit(holds, "none"), used]);
    };
    row("domains", set.domains, holds.domains, Some(used.domains));
    row("mailboxes", set.mailboxes, holds.mailboxes, Some(used.mailboxes));
    row("forwards", set.forwards, holds.forwards, Some(used.forwards));
    row("lists", set.lists, holds.lists, Some(used.lists));
    row("list-members", set.list_members, holds.list_members, Some(used.list_members));
    row("autoresponders", set.autoresponders, holds.autoresponders, Some(used.autoresponders));
    row("storage", set.storage_bytes, holds.storage_bytes, Some(used.storage_bytes));
    row("mailbox-storage", set.mailbox_storage_bytes, holds.mailbox_storage_bytes, None);
    row("messages-per-hour", set.messages_per_hour, holds.messages_per_hour, None);
    table
}

fn limit(limit: Option<i64>, absent: &str) -> String {
    match limit {
        None => absent.to_owned(),
        Some(NO_LIMIT) => "none".to_owned(),
        Some(limit) => limit.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_letters_and_words_have_meanings() {
        assert_eq!(size("20G"), Ok(Wanted(Some(20 << 30))));
        assert_eq!(size("1k"), Ok(Wanted(Some(1024))));
        assert_eq!(size("7"), Ok(Wanted(Some(7))));
        assert_eq!(size("none"), Ok(Wanted(Some(-1))));
        assert_eq!(count("default"), Ok(Wanted(None)));
        assert_eq!(count("0"), Ok(Wanted(Some(0))));
        for text in ["", "G", "-1", "1T", "1.5G", "9223372036854775807K", "1é"] {
            assert!(size(text).is_err(), "{text}");
        }
        assert!(count("5K").is_err());
    }
}
