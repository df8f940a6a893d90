//! `postern explain`: why something happens, by the code that decides it, run dry. Answers the four troubles: can't send mail,
//! can't lock account, any username and password error, problems resolving your mailhost.

use std::{fmt, time::Duration};

use clap::Subcommand;
use postern_proto::{
    account::v1::{DnsFinding, DnsVerdict},
    auth::v1::{
        ExplainDomainRequest, ExplainDomainResponse, ExplainLoginRequest, ExplainRecipientRequest,
        ExplainRecipientResponse, ExplainSendRequest, ExplainSendResponse, Explanation, Verdict,
        explain_service_client::ExplainServiceClient,
    },
};
use tonic::Request;

use super::{
    Failure,
    operator::Operator,
    table::{Table, time},
};

/// Several parts and DNS are asked.
const PATIENCE: Duration = Duration::from_secs(30);

/// What can be explained. The exit code is 0 whatever the verdict.
#[derive(Debug, Subcommand)]
pub enum ExplainCommand {
    /// Why a login works or not: "any username and password error", "can't lock account"
    #[command(after_help = "Example:\n  postern explain login anna@homepage.test --ip 203.0.113.9")]
    Login {
        /// As typed into the mail program
        login: String,
        /// Address of the client that cannot log in
        #[arg(long, default_value = "", hide_default_value = true)]
        ip: String,
        /// The mail program logs in without TLS
        #[arg(long)]
        clear_text: bool,
    },
    /// Why mail from somebody to somebody is taken or not: "can't send mail"
    #[command(
        after_help = "Example:\n  postern explain send --from anna@homepage.test --to you@elsewhere.test --ip 203.0.113.9"
    )]
    Send {
        /// Envelope sender
        #[arg(long, value_name = "ADDRESS")]
        from: String,
        /// Recipient
        #[arg(long, value_name = "ADDRESS")]
        to: String,
        /// Address of the client that cannot send
        #[arg(long, default_value = "", hide_default_value = true)]
        ip: String,
        /// The login, when the mail program uses SMTP AUTH
        #[arg(long, default_value = "", hide_default_value = true)]
        login: String,
        /// With --login: it logs in without TLS
        #[arg(long, requires = "login")]
        clear_text: bool,
    },
    /// Where an address leads
    #[command(after_help = "Example:\n  postern explain recipient info@homepage.test")]
    Recipient {
        /// The address
        address: String,
    },
    /// Whether a domain works, and what DNS lacks: "problems resolving your mailhost"
    #[command(after_help = "Example:\n  postern explain domain homepage.test")]
    Domain {
        /// Name of the domain
        name: String,
    },
}

impl ExplainCommand {
    pub(super) async fn run(self, operator: &Operator) -> Result<(), Failure> {
        let mut client = ExplainServiceClient::new(operator.auth.clone());
        match self {
            Self::Login { login, ip: peer_ip, clear_text } => {
                let request = patient(ExplainLoginRequest { login, peer_ip, clear_text });
                let answer = client.explain_login(request).await?.into_inner();
                operator.show(&answer, |a| Told(a.explanation.clone().unwrap_or_default()))
            }
            Self::Send { from: sender, to: recipient, ip: peer_ip, login, clear_text } => {
                let request = patient(ExplainSendRequest { sender, recipient, peer_ip, login, clear_text });
                operator.show(&client.explain_send(request).await?.into_inner(), sending)
            }
            Self::Recipient { address } => {
                let request = patient(ExplainRecipientRequest { address });
                operator.show(&client.explain_recipient(request).await?.into_inner(), leading)
            }
            Self::Domain { name } => {
                let request = patient(ExplainDomainRequest { name });
                operator.show(&client.explain_domain(request).await?.into_inner(), resolving)
            }
        }
    }
}

fn patient<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(PATIENCE);
    request
}

/// An explanation as people read it: the verdict, what is said on the wire, how it came to that, what to do.
struct Told(Explanation);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(explanation) = self;
        writeln!(f, "{}: {}", verdict(explanation.verdict()), shown(&explanation.summary))?;
        if !explanation.next_step.is_empty() {
            writeln!(f, "\nWhat to do: {}", shown(&explanation.next_step))?;
        }
        if !explanation.wire_answers.is_empty() {
            writeln!(f, "\nWhat a mail program is told:")?;
            for answer in &explanation.wire_answers {
                writeln!(f, "  {}: {}", shown(&answer.command), shown(&answer.answer))?;
            }
        }
        if !explanation.rules.is_empty() {
            writeln!(f, "\nHow it was decided:")?;
            for rule in &explanation.rules {
                let mark = if rule.passed { "yes" } else { "NO " };
                writeln!(f, "  {mark}  {}: {}", shown(&rule.name), shown(&rule.found))?;
            }
        }
        Ok(())
    }
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Works => "It works",
        Verdict::Later => "Not now",
        Verdict::Refused => "It does not work",
        Verdict::Unspecified => "Unknown",
    }
}

fn sending(answer: &ExplainSendResponse) -> String {
    let mut text = Told(answer.explanation.clone().unwrap_or_default()).to_string();
    let seen: Vec<String> = [
        ("port 25", answer.last_smtp_time.as_ref()),
        ("ports 587 and 465", answer.last_submission_time.as_ref()),
        ("POP3", answer.last_pop3_time.as_ref()),
    ]
    .into_iter()
    .filter_map(|(door, when)| Some(format!("  {door}: {}\n", time(Some(when?)))))
    .collect();
    if !seen.is_empty() {
        text += &format!("\nThis client was seen last at\n{}", seen.concat());
    }
    text
}

fn leading(answer: &ExplainRecipientResponse) -> String {
    let mut text = Told(answer.explanation.clone().unwrap_or_default()).to_string();
    if !answer.path.is_empty() {
        let lines: Vec<String> = answer.path.iter().map(|line| format!("  {}\n", shown(line))).collect();
        text += &format!("\nWhere it leads:\n{}", lines.concat());
    }
    text
}

fn resolving(answer: &ExplainDomainResponse) -> String {
    let text = Told(answer.explanation.clone().unwrap_or_default()).to_string();
    if answer.findings.is_empty() {
        return text;
    }
    format!("{text}\nWhat DNS says:\n{}", records(&answer.findings))
}

fn records(findings: &[DnsFinding]) -> Table {
    let mut table = Table::new(["NAME", "TYPE", "IS", "FOUND", "EXPECTED", "TTL"], "nothing was asked");
    for finding in findings {
        let is = match finding.verdict() {
            DnsVerdict::Good => "good",
            DnsVerdict::Missing => "missing",
            DnsVerdict::Different => "different",
            DnsVerdict::NoAnswer | DnsVerdict::Unspecified => "no answer",
        };
        table.row([
            finding.name.clone(),
            finding.record_type.clone(),
            is.to_owned(),
            finding.found.join(" "),
            finding.expected.join(" "),
            finding.ttl_seconds.map(|seconds| format!("{seconds} s")).unwrap_or_default(),
        ]);
    }
    table
}

/// What a terminal may see.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}
