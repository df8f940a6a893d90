//! The way to the services: doors and operator token are found in the data folder, or named by the environment.

use std::{
    fmt::Display,
    fs,
    io::{ErrorKind, Write as _},
    path::PathBuf,
};

use clap::Args;
use postern_mesh::client::MeshChannel;
use postern_proto::auth::v1::{ExchangeTokenRequest, login_service_client::LoginServiceClient};
use serde::Serialize;

use super::Failure;
use crate::home::{Doors, Home};

/// Options of every operator command.
#[derive(Args, Clone, Debug)]
pub struct Reach {
    /// Print the protobuf JSON of the answer
    #[arg(long, global = true)]
    pub json: bool,

    /// Data folder of the local profile, where doors and operator token are found
    #[arg(long, global = true, env = "POSTERN_HOME", value_name = "FOLDER", default_value = ".postern")]
    pub home: PathBuf,

    /// gRPC door of account, if not that of the data folder
    #[arg(long, global = true, env = "POSTERN_ACCOUNT_URL", value_name = "URL", hide_short_help = true)]
    pub account_url: Option<String>,

    /// gRPC door of auth
    #[arg(long, global = true, env = "POSTERN_AUTH_URL", value_name = "URL", hide_short_help = true)]
    pub auth_url: Option<String>,

    /// gRPC door of delivery
    #[arg(long, global = true, env = "POSTERN_DELIVERY_URL", value_name = "URL", hide_short_help = true)]
    pub delivery_url: Option<String>,

    /// File that holds the operator token (POSTERN_OPERATOR_TOKEN holds the token itself)
    #[arg(
        long,
        global = true,
        env = "POSTERN_OPERATOR_TOKEN_FILE",
        value_name = "FILE",
        hide_short_help = true
    )]
    pub operator_token_file: Option<PathBuf>,
}

impl Reach {
    fn doors(&self) -> Result<Doors, Failure> {
        let given = (&self.account_url, &self.auth_url, &self.delivery_url);
        if let (Some(account), Some(auth), Some(delivery)) = given {
            let (account, auth, delivery) = (account.clone(), auth.clone(), delivery.clone());
            return Ok(Doors { account, auth, delivery });
        }
        let found = Home::at(&self.home).doors().map_err(|error| match error.kind() {
            ErrorKind::NotFound => Failure::Later(format!(
                "no house runs in {}: start one with `postern up`, or name POSTERN_HOME or POSTERN_{{ACCOUNT,AUTH,\
                 DELIVERY}}_URL",
                self.home.display()
            )),
            _ => Failure::Usage(format!("the doors in {} cannot be read: {error}", self.home.display())),
        })?;
        Ok(Doors {
            account: self.account_url.clone().unwrap_or(found.account),
            auth: self.auth_url.clone().unwrap_or(found.auth),
            delivery: self.delivery_url.clone().unwrap_or(found.delivery),
        })
    }

    fn token(&self) -> Result<String, Failure> {
        if let Ok(token) = std::env::var("POSTERN_OPERATOR_TOKEN")
            && !token.is_empty()
        {
            return Ok(token);
        }
        let file =
            self.operator_token_file.clone().unwrap_or_else(|| Home::at(&self.home).operator_token_file());
        let text = fs::read_to_string(&file).map_err(|e| {
            Failure::Usage(format!("the operator token cannot be read: {}: {e}", file.display()))
        })?;
        Ok(text.trim().to_owned())
    }
}

/// An operator who has shown the token.
#[derive(Debug)]
pub(super) struct Operator {
    pub(super) account: MeshChannel,
    pub(super) auth: MeshChannel,
    pub(super) delivery: MeshChannel,
    pub(super) json: bool,
}

impl Operator {
    pub(super) async fn connect(reach: &Reach) -> Result<Self, Failure> {
        let doors = reach.doors()?;
        let connect =
            |url: &str| MeshChannel::connect_unsigned(url).map_err(|e| Failure::Usage(e.to_string()));
        let auth = connect(&doors.auth)?;
        let request = ExchangeTokenRequest { token: reach.token()? };
        let answer = LoginServiceClient::new(auth.clone()).exchange_token(request).await?.into_inner();
        let signed = |channel: MeshChannel| channel.with_assertion(answer.assertion.clone());
        Ok(Self {
            account: signed(connect(&doors.account)?),
            auth: signed(auth),
            delivery: signed(connect(&doors.delivery)?),
            json: reach.json,
        })
    }

    /// Prints an answer: the JSON of it, or what `text` makes of it for people.
    pub(super) fn show<A: Serialize, T: Display>(
        &self,
        answer: &A,
        text: impl FnOnce(&A) -> T,
    ) -> Result<(), Failure> {
        if !self.json {
            return print(&text(answer).to_string());
        }
        let json = serde_json::to_string_pretty(answer)
            .map_err(|e| Failure::Refused(format!("the answer has no JSON form: {e}")))?;
        print(&json)
    }

    /// The same for a deed of which there is only to say that it was done.
    pub(super) fn done<A: Serialize>(&self, answer: &A, said: impl Display) -> Result<(), Failure> {
        self.show(answer, |_| said)
    }
}

/// Standard output may be a pipe whose reader has left (`| head`): that is no failure of the command.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.trim_end_matches('\n').as_bytes()).and_then(|()| out.write_all(b"\n"));
    match written.and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::Refused(format!("standard output cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// A new id for a create, so that a call that was sent twice is done once.
pub(super) fn request_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// All pages of a list: `fetch` is called with each page token and hands back the next one.
pub(super) async fn all_pages<F>(mut fetch: F) -> Result<(), Failure>
where
    F: AsyncFnMut(String) -> Result<String, Failure>,
{
    let mut token = String::new();
    loop {
        token = fetch(token).await?;
        if token.is_empty() {
            return Ok(());
        }
    }
}

/// Rows asked for at once.
pub(super) const PAGE_SIZE: i32 = 1000;
