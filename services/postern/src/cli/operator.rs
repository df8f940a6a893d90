//! The way to the services: doors and operator token are found in the data folder, or named by the environment.
//!
//! Who is no operator shows an API token, or with `--as` the own login and password: a session, ended with the command.

use std::{
    fmt::Display,
    fs,
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
};

use clap::Args;
use postern_mesh::client::MeshChannel;
use postern_proto::auth::v1::{
    CreatePanelSessionRequest, DeletePanelSessionRequest, ExchangeTokenRequest,
    login_service_client::LoginServiceClient, panel_session_service_client::PanelSessionServiceClient,
};
use serde::Serialize;

use super::{Failure, password};
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

    /// File that holds an API token, to be no more than its scopes say (POSTERN_API_TOKEN holds the token itself)
    #[arg(long, global = true, env = "POSTERN_API_TOKEN_FILE", value_name = "FILE", hide_short_help = true)]
    pub api_token_file: Option<PathBuf>,

    /// Authority that signed the certificates of https:// doors, PEM
    #[arg(long, global = true, env = "POSTERN_MESH_TLS_CA", value_name = "FILE", hide_short_help = true)]
    pub mesh_tls_ca: Option<PathBuf>,

    /// Act as a customer or the user of a mailbox, with their own password: asked for at the terminal, or from
    /// `--password-stdin` before the command, or from a file
    #[arg(long = "as", global = true, value_name = "LOGIN")]
    pub own_login: Option<String>,

    /// With --as: the first line of standard input is the own password; what follows it is the command's
    // Not global: after a command the same words mean the password that the command sets.
    #[arg(long = "password-stdin")]
    pub own_password_stdin: bool,

    /// With --as: file that holds the own password (one line end at its end is not part of it)
    #[arg(
        long = "own-password-file",
        global = true,
        env = "POSTERN_PASSWORD_FILE",
        value_name = "FILE",
        hide_short_help = true
    )]
    pub own_password_file: Option<PathBuf>,
}

fn token_of(file: &Path, what: &str) -> Result<String, Failure> {
    let text = fs::read_to_string(file);
    let text = text.map_err(|e| Failure::Usage(format!("{}: {what} cannot be read: {e}", file.display())))?;
    Ok(text.trim().to_owned())
}

impl Reach {
    /// Where the services are.
    ///
    /// # Errors
    /// When no house runs here, and none is named.
    pub(crate) fn doors(&self) -> Result<Doors, Failure> {
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

    /// An API token wins over the operator token: who named it wants to be no more than it says. Files are read each time, so that what
    /// is made anew is taken.
    pub(crate) fn token(&self) -> Result<String, Failure> {
        let set = |name: &str| std::env::var(name).ok().filter(|token| !token.is_empty());
        if let Some(token) = set("POSTERN_API_TOKEN") {
            return Ok(token);
        }
        if let Some(file) = &self.api_token_file {
            return token_of(file, "an API token (POSTERN_API_TOKEN_FILE; `postern token add` makes one)");
        }
        if let Some(token) = set("POSTERN_OPERATOR_TOKEN") {
            return Ok(token);
        }
        let file =
            self.operator_token_file.clone().unwrap_or_else(|| Home::at(&self.home).operator_token_file());
        token_of(&file, "the operator token")
    }

    /// The own password of who acts as themselves.
    fn own_password(&self, login: &str) -> Result<String, Failure> {
        if self.own_password_stdin {
            return password::first_line();
        }
        let Some(file) = &self.own_password_file else { return password::own(login) };
        let text = fs::read_to_string(file).map_err(|e| {
            Failure::Usage(format!("the own password cannot be read: {}: {e}", file.display()))
        })?;
        Ok(password::without_line_end(&text).to_owned())
    }

    /// With `--as`: the token of a session that the own password opens.
    async fn own_session(&self, auth: &MeshChannel) -> Result<Option<String>, Failure> {
        let Some(login) = &self.own_login else {
            if self.own_password_stdin {
                return Err(Failure::Usage(
                    "--password-stdin before the command is the own password: it needs --as".to_owned(),
                ));
            }
            return Ok(None);
        };
        let request = CreatePanelSessionRequest {
            login: login.clone(),
            password: self.own_password(login)?.into_bytes().into(),
            ..CreatePanelSessionRequest::default()
        };
        let answer = PanelSessionServiceClient::new(auth.clone()).create_panel_session(request).await?;
        Ok(Some(answer.into_inner().token))
    }
}

/// Who has shown a token, or opened a session with the own password: an operator, unless said otherwise.
#[derive(Debug)]
pub(crate) struct Operator {
    pub(crate) account: MeshChannel,
    pub(super) auth: MeshChannel,
    pub(super) delivery: MeshChannel,
    pub(super) json: bool,
    /// Of `--as`: ends with the command.
    session: Option<String>,
}

impl Operator {
    pub(crate) async fn connect(reach: &Reach) -> Result<Self, Failure> {
        let doors = reach.doors()?;
        let connect = |url: &str| {
            MeshChannel::connect_tool(url, reach.mesh_tls_ca.as_deref())
                .map_err(|e| Failure::Usage(e.to_string()))
        };
        let auth = connect(&doors.auth)?;
        let session = reach.own_session(&auth).await?;
        let token = session.clone().map_or_else(|| reach.token(), Ok)?;
        let request = ExchangeTokenRequest { token };
        let answer = LoginServiceClient::new(auth.clone()).exchange_token(request).await?.into_inner();
        let signed = |channel: MeshChannel| channel.with_assertion(answer.assertion.clone());
        Ok(Self {
            account: signed(connect(&doors.account)?),
            auth: signed(auth),
            delivery: signed(connect(&doors.delivery)?),
            json: reach.json,
            session,
        })
    }

    /// Ends the session of `--as`; one that cannot be ended now ends by itself.
    pub(crate) async fn leave(&self) {
        let Some(token) = &self.session else { return };
        let request = DeletePanelSessionRequest { token: token.clone() };
        let mut sessions = PanelSessionServiceClient::new(self.auth.clone());
        // Not found: a change of the own password has ended it already.
        if let Err(status) = sessions.delete_panel_session(request).await
            && status.code() != tonic::Code::NotFound
        {
            eprintln!("postern: the session could not be ended, it ends by itself in half an hour: {status}");
        }
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
pub(crate) fn print(text: &str) -> Result<(), Failure> {
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
pub(crate) async fn all_pages<F>(mut fetch: F) -> Result<(), Failure>
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
pub(crate) const PAGE_SIZE: i32 = 1000;
