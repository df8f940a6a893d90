//! `postern domain`: which domains are hosted here.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use postern_proto::{
    account::v1::{
        CreateDomainRequest, DeleteDomainRequest, DmarcHandling, DnsFinding, DnsVerdict, Domain, DomainState,
        GetDomainRequest, ListDomainsRequest, ListDomainsResponse, SenderPolicy, SpamHandling,
        UpdateDomainRequest, VerifyDomainRequest, VerifyDomainResponse,
        domain_service_client::DomainServiceClient,
    },
    google::FieldMask,
};
use tonic::Request;

use super::{
    Failure,
    operator::{Operator, PAGE_SIZE, all_pages, request_id},
    table::{Fields, Table, time},
};

/// DNS may take its time.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(10);

/// What can be done with a domain.
#[derive(Debug, Subcommand)]
pub enum DomainCommand {
    /// Host a domain for a customer; its default box is created with it
    #[command(after_help = "Example:\n  postern domain add homepage.test --customer homepage --live")]
    Add {
        /// Name of the domain
        name: String,
        /// Login of the owner
        #[arg(long, value_name = "LOGIN")]
        customer: String,
        /// A second name of this domain: the same boxes, forwards and lists
        #[arg(long, value_name = "DOMAIN", default_value = "", hide_default_value = true)]
        alias_of: String,
        /// Take mail for it at once, without asking DNS
        #[arg(long)]
        live: bool,
    },
    /// List domains
    #[command(after_help = "Example:\n  postern domain list --customer homepage")]
    List {
        /// Of this customer only
        #[arg(long, value_name = "LOGIN", default_value = "", hide_default_value = true)]
        customer: String,
    },
    /// Show one domain
    #[command(after_help = "Example:\n  postern domain show homepage.test")]
    Show {
        /// Name of the domain
        name: String,
    },
    /// Ask DNS now: what the world sees of a domain, what it should see, and what to do
    #[command(after_help = "Example:\n  postern domain verify homepage.test")]
    Verify {
        /// Name of the domain
        name: String,
    },
    /// Change how a domain behaves
    #[command(
        after_help = "Examples:\n  postern domain set homepage.test --auth-only true --plaintext-login true\n  \
                            postern domain set homepage.test --senders named --allow shop --allow news\n  \
                            postern domain set homepage.test --dmarc follow\n  \
                            postern domain set homepage.test --spam quarantine --spam-mailbox spam@homepage.test\n  \
                            postern domain set homepage.test --state live"
    )]
    Set {
        /// Name of the domain
        name: String,
        /// What to change
        #[command(flatten)]
        switches: Switches,
    },
    /// Stop hosting a domain; its boxes and forwards go with it
    #[command(after_help = "Examples:\n  postern domain remove homepage.test\n  \
                      postern domain remove homepage.test --claim-of rival")]
    Remove {
        /// Name of the domain
        name: String,
        /// Only take back that this customer waits for it; the domain stays with its holder
        #[arg(long, value_name = "LOGIN")]
        claim_of: Option<String>,
    },
}

/// What can be switched; what is not named stays.
#[derive(Args, Debug)]
#[group(required = true, multiple = true)]
pub struct Switches {
    /// Whether mail is taken for it (DNS may move it on)
    #[arg(long, value_name = "STATE")]
    state: Option<State>,
    /// How long a client may send after it has checked its mail, 5 to 60 minutes; 0: as the platform's
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(i32).range(0..=60))]
    grant_minutes: Option<i32>,
    /// True: checking mail lets nobody send, only SMTP AUTH does
    #[arg(long, value_name = "BOOL")]
    auth_only: Option<bool>,
    /// Who may use it in sender addresses
    #[arg(long, value_name = "WHO")]
    senders: Option<Senders>,
    /// With `--senders named`: login of a customer who may, too (again for each); the list is replaced
    #[arg(long = "allow", value_name = "LOGIN")]
    allow: Vec<String>,
    /// What becomes of mail from strangers that fails its author's DMARC policy
    #[arg(long, value_name = "HOW")]
    dmarc: Option<Dmarc>,
    /// What becomes of mail from strangers by the word of the platform's spam scanner
    #[arg(long, value_name = "HOW")]
    spam: Option<Spam>,
    /// With `--spam quarantine`: the mailbox that spam is put into; empty: none
    #[arg(long, value_name = "ADDRESS")]
    spam_mailbox: Option<String>,
    /// True: take passwords in clear text from old mail programs, where the site leaves that to domains
    #[arg(long, value_name = "BOOL")]
    plaintext_login: Option<bool>,
}

/// States that an operator can set.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    Pending,
    Live,
    Lost,
}

/// Who may send as a domain.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Senders {
    /// Its owner's mailboxes
    Owner,
    /// Those and the customers named by --allow
    Named,
    /// Any customer
    Anyone,
}

/// What becomes of mail that fails DMARC.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Dmarc {
    /// It is delivered with a note in its header
    Note,
    /// Done as the author's domain wants: refused, or delivered with a verdict in its header
    Follow,
}

/// What becomes of mail by the word of the spam scanner.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Spam {
    /// It is not scanned
    Off,
    /// It is delivered with the verdict in its header
    Mark,
    /// Done as the scanner says: refused, put off, or delivered with the verdict in its header
    Follow,
    /// Spam is put into the mailbox of --spam-mailbox
    Quarantine,
}

impl Switches {
    fn request(self, name: String) -> UpdateDomainRequest {
        let mut domain = Domain { name, ..Domain::default() };
        let mut paths = Vec::new();
        if let Some(state) = self.state {
            domain.set_state(match state {
                State::Pending => DomainState::Pending,
                State::Live => DomainState::Live,
                State::Lost => DomainState::Lost,
            });
            paths.push("state");
        }
        if let Some(minutes) = self.grant_minutes {
            domain.grant_ttl_seconds = (minutes > 0).then_some(minutes * 60);
            paths.push("grant_ttl_seconds");
        }
        if let Some(auth_only) = self.auth_only {
            domain.auth_only = auth_only;
            paths.push("auth_only");
        }
        if let Some(senders) = self.senders {
            domain.set_sender_policy(match senders {
                Senders::Owner => SenderPolicy::Owner,
                Senders::Named => SenderPolicy::Named,
                Senders::Anyone => SenderPolicy::Anyone,
            });
            paths.push("sender_policy");
        }
        if !self.allow.is_empty() {
            domain.allowed_senders = self.allow;
            paths.push("allowed_senders");
        }
        if let Some(dmarc) = self.dmarc {
            domain.set_dmarc_handling(match dmarc {
                Dmarc::Note => DmarcHandling::Note,
                Dmarc::Follow => DmarcHandling::Follow,
            });
            paths.push("dmarc_handling");
        }
        if let Some(spam) = self.spam {
            domain.set_spam_handling(match spam {
                Spam::Off => SpamHandling::Off,
                Spam::Mark => SpamHandling::Mark,
                Spam::Follow => SpamHandling::Follow,
                Spam::Quarantine => SpamHandling::Quarantine,
            });
            paths.push("spam_handling");
        }
        if let Some(spam_mailbox) = self.spam_mailbox {
            domain.spam_mailbox = spam_mailbox;
            paths.push("spam_mailbox");
        }
        if let Some(plaintext_login) = self.plaintext_login {
            domain.plaintext_login = plaintext_login;
            paths.push("plaintext_login");
        }
        let paths = paths.into_iter().map(str::to_owned).collect();
        UpdateDomainRequest { domain: Some(domain), update_mask: Some(FieldMask { paths }) }
    }
}

impl DomainCommand {
    pub(super) async fn run(self, operator: &Operator) -> Result<(), Failure> {
        let mut client = DomainServiceClient::new(operator.account.clone());
        match self {
            Self::Add { name, customer, alias_of, live } => {
                let request =
                    CreateDomainRequest { name, customer, live, request_id: request_id(), alias_of };
                let answer = client.create_domain(request).await?.into_inner();
                operator.show(&answer, |a| added(&a.domain.clone().unwrap_or_default()))
            }
            Self::Verify { name } => {
                let mut request = Request::new(VerifyDomainRequest { name });
                request.set_timeout(VERIFY_TIMEOUT);
                operator.show(&client.verify_domain(request).await?.into_inner(), verified)
            }
            Self::Set { name, switches } => {
                let answer = client.update_domain(switches.request(name)).await?.into_inner();
                operator.show(&answer, |a| fields(&a.domain.clone().unwrap_or_default()))
            }
            Self::List { customer } => {
                let mut all = ListDomainsResponse::default();
                all_pages(async |page_token| {
                    let request = ListDomainsRequest {
                        customer: customer.clone(),
                        page_size: PAGE_SIZE,
                        page_token,
                        ..Default::default()
                    };
                    let page = client.list_domains(request).await?.into_inner();
                    all.domains.extend(page.domains);
                    Ok(page.next_page_token)
                })
                .await?;
                operator.show(&all, table)
            }
            Self::Show { name } => {
                let answer = client.get_domain(GetDomainRequest { name }).await?.into_inner();
                operator.show(&answer, |a| fields(&a.domain.clone().unwrap_or_default()))
            }
            Self::Remove { name, claim_of } => {
                let said = match &claim_of {
                    None => format!("domain {name} is removed"),
                    Some(customer) => format!("{customer} does not wait for domain {name} any more"),
                };
                let request = DeleteDomainRequest { name, claim_of: claim_of.unwrap_or_default() };
                operator.done(&client.delete_domain(request).await?.into_inner(), said)
            }
        }
    }
}

fn added(domain: &Domain) -> String {
    let (name, state, customer) = (&domain.name, state_name(domain.state), &domain.customer);
    let claim = domain.claim.clone().unwrap_or_default();
    if domain.state() == DomainState::Claimed {
        return format!(
            "domain {name} is hosted for another customer; {customer} gets it when DNS shows this record:\n  {} TXT \"{}\"\n\
             then: postern domain verify {name}",
            claim.txt_name, claim.txt_value
        );
    }
    let boxes = match domain.alias_of.as_str() {
        "" => format!("the login of its default box is {}", domain.login),
        target => format!("it is a second name of {target}"),
    };
    let next = match domain.state() {
        DomainState::Live => String::new(),
        _ => format!("\nwhat its DNS needs: postern domain verify {name}"),
    };
    format!("domain {name} is {state}; {boxes}{next}")
}

/// Where the domain stands, the records in short, and for each that is not good what to do about it.
fn verified(answer: &VerifyDomainResponse) -> String {
    let domain = answer.domain.clone().unwrap_or_default();
    let mut table = Table::new(["RECORD", "TYPE", "VERDICT", "TTL"], "nothing was asked");
    let mut to_do = String::new();
    for finding in &answer.findings {
        let verdict = match (finding.verdict(), finding.needed) {
            (DnsVerdict::Good, _) => "good",
            (DnsVerdict::Missing, true) => "MISSING",
            (DnsVerdict::Missing, false) => "missing",
            (DnsVerdict::Different, true) => "DIFFERENT",
            (DnsVerdict::Different, false) => "different",
            _ => "no answer",
        };
        let ttl = finding.ttl_seconds.map(|seconds| format!("{seconds} s")).unwrap_or_default();
        table.row([finding.name.clone(), finding.record_type.clone(), verdict.to_owned(), ttl]);
        if finding.verdict() != DnsVerdict::Good {
            to_do.push_str(&to_be_done(finding));
        }
    }
    format!("domain {} is {}{}\n\n{table}{to_do}", domain.name, state_name(domain.state), since(&domain))
}

/// One record as it is, as it should be, and the way from one to the other.
fn to_be_done(finding: &DnsFinding) -> String {
    let mut text = format!("\n{} {}: {}\n", finding.name, finding.record_type, finding.advice);
    for (head, records) in [("the world sees", &finding.found), ("expected      ", &finding.expected)] {
        for record in records {
            text.push_str(&format!("  {head}  {record}\n"));
        }
    }
    text
}

/// What more there is to say about a state.
fn since(domain: &Domain) -> String {
    if domain.grace_end_time.is_some() {
        let end = time(domain.grace_end_time.as_ref());
        return format!(", but no longer points here: it will be lost at {end}");
    }
    if domain.live_without_dns { " by the operator's word, without DNS".to_owned() } else { String::new() }
}

fn table(answer: &ListDomainsResponse) -> Table {
    let mut table = Table::new(["DOMAIN", "STATE", "CUSTOMER", "DEFAULT BOX", "ALIAS OF"], "no domains");
    for domain in &answer.domains {
        table.row([
            domain.name.clone(),
            state_name(domain.state),
            domain.customer.clone(),
            domain.login.clone(),
            domain.alias_of.clone(),
        ]);
    }
    table
}

fn fields(domain: &Domain) -> Fields {
    let grant = match (domain.auth_only, domain.grant_ttl_seconds) {
        (true, _) => "none: SMTP AUTH only".to_owned(),
        (false, Some(seconds)) => format!("{} min", seconds / 60),
        (false, None) => "as the platform's".to_owned(),
    };
    let clear = if domain.plaintext_login { "taken" } else { "as the platform's" };
    let claim = domain.claim.clone().unwrap_or_default();
    let needed = if claim.txt_required { "needed" } else { "not needed" };
    let fields = Fields::default()
        .add("domain", &domain.name)
        .add("customer", &domain.customer)
        .add("state", format!("{}{}", state_name(domain.state), since(domain)))
        .add("DNS asked", time(domain.check_time.as_ref()))
        .add("proof of ownership", format!("{} TXT \"{}\" ({needed})", claim.txt_name, claim.txt_value))
        .add("mail host", format!("mail.{}", domain.name))
        .add("used as sender by", policy(domain));
    let fields = match domain.alias_of.as_str() {
        "" => fields
            .add("default box", &domain.login)
            .add("grant life", grant)
            .add("passwords in clear text", clear)
            .add("mail that fails DMARC", dmarc(domain))
            .add("spam", spam(domain)),
        target => fields.add("second name of", target),
    };
    fields.add("created", time(domain.create_time.as_ref())).add("changed", time(domain.update_time.as_ref()))
}

fn dmarc(domain: &Domain) -> &'static str {
    match domain.dmarc_handling() {
        DmarcHandling::Follow => "the author's policy is followed",
        _ => "noted in the header",
    }
}

fn spam(domain: &Domain) -> String {
    match domain.spam_handling() {
        SpamHandling::Off => "not scanned for".to_owned(),
        SpamHandling::Follow => "the scanner is followed".to_owned(),
        SpamHandling::Quarantine => format!("put into {}", domain.spam_mailbox),
        SpamHandling::Mark | SpamHandling::Unspecified => "noted in the header".to_owned(),
    }
}

fn state_name(state: i32) -> String {
    match DomainState::try_from(state) {
        Ok(DomainState::Pending) => "pending".to_owned(),
        Ok(DomainState::Live) => "live".to_owned(),
        Ok(DomainState::Lost) => "lost".to_owned(),
        Ok(DomainState::Claimed) => "claimed".to_owned(),
        _ => format!("state {state}"),
    }
}

fn policy(domain: &Domain) -> String {
    match SenderPolicy::try_from(domain.sender_policy) {
        Ok(SenderPolicy::Named) => format!("its owner and {}", domain.allowed_senders.join(" ")),
        Ok(SenderPolicy::Anyone) => "any customer".to_owned(),
        _ => "its owner".to_owned(),
    }
}
