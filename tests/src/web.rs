//! The control panel as a program sees it that is no browser: one request, one answer, cookies kept, nothing followed.

mod form;

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use anyhow::Context as _;
use postern_mesh::tls::unjudged;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

/// Somebody with a jar of cookies.
#[derive(Clone, Debug)]
pub struct Web {
    door: SocketAddr,
    /// What is asked for in `Host`.
    host: String,
    cookies: BTreeMap<String, String>,
    /// Sent with each request.
    headers: Vec<(String, String)>,
    /// Comes over this load balancer, which names this client.
    proxy: Option<(String, String)>,
    /// Speaks TLS, and believes any certificate.
    tls: bool,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Of the status line.
    pub status: u16,
    /// Of `Location`, empty without one.
    pub location: String,
    /// Names in small letters.
    pub headers: Vec<(String, String)>,
    /// The page.
    pub body: String,
}

impl Web {
    /// Comes through this door, with nothing in the jar.
    pub fn new(door: SocketAddr) -> Self {
        Self {
            door,
            host: door.to_string(),
            cookies: BTreeMap::new(),
            headers: Vec::new(),
            proxy: None,
            tls: false,
        }
    }

    /// The same over a load balancer that speaks the PROXY protocol.
    #[must_use]
    pub fn through_proxy(mut self, proxy: &str, client: &str) -> Self {
        self.proxy = Some((proxy.to_owned(), client.to_owned()));
        self
    }

    /// The same with TLS.
    #[must_use]
    pub fn over_tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// The same, asking for another host.
    #[must_use]
    pub fn at_host(mut self, host: &str) -> Self {
        host.clone_into(&mut self.host);
        self
    }

    /// The same with a header on each request.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A page.
    pub async fn get(&mut self, path: &str) -> anyhow::Result<Answer> {
        self.send("GET", path, None).await
    }

    /// A form.
    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> anyhow::Result<Answer> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.send("POST", path, Some(body)).await
    }

    /// A form as [`Answer::form`] gave it.
    pub async fn send_form(&mut self, path: &str, fields: &[(String, String)]) -> anyhow::Result<Answer> {
        let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.post(path, &fields).await
    }

    /// What a program posts that is no form.
    pub async fn post_text(&mut self, path: &str, text: &str) -> anyhow::Result<Answer> {
        self.send("POST", path, Some(text.to_owned())).await
    }

    /// A form of this session: the token of the forms is put in.
    pub async fn submit(&mut self, path: &str, fields: &[(&str, &str)]) -> anyhow::Result<Answer> {
        let token = self.form_token().await?;
        let mut all = vec![("form-token", token.as_str())];
        all.extend_from_slice(fields);
        self.post(path, &all).await
    }

    /// Begins to send a file of so many octets with a form of this session.
    pub async fn send_file(&mut self, path: &str, name: &str, bytes: usize) -> anyhow::Result<Sending> {
        let token = self.form_token().await?;
        self.send_file_with(path, &token, name, bytes).await
    }

    /// The same with a token of the test's own.
    pub async fn send_file_with(
        &mut self,
        path: &str,
        token: &str,
        name: &str,
        bytes: usize,
    ) -> anyhow::Result<Sending> {
        const BOUNDARY: &str = "--a-boundary";
        let field = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=");
        let begin = format!(
            "{field}\"form-token\"\r\n\r\n{token}\r\n{field}\"file\"; filename=\"{name}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        let end = format!("\r\n--{BOUNDARY}--\r\n");
        let head = format!(
            "{}Content-Type: multipart/form-data; boundary={BOUNDARY}\r\nContent-Length: {}\r\n\r\n{begin}",
            self.head("POST", path),
            begin.len() + bytes + end.len()
        );
        let mut stream = TcpStream::connect(self.door).await?;
        stream.write_all(head.as_bytes()).await?;
        Ok(Sending { stream, end })
    }

    /// The token of the forms of this session.
    pub async fn form_token(&mut self) -> anyhow::Result<String> {
        // Every page of somebody who is signed in has the form to sign out.
        let page = self.get("/controlpanel/preferences").await?;
        page.hidden("form-token").context("a form with a token: is nobody signed in?")
    }

    /// Signs in with a password.
    pub async fn sign_in(&mut self, login: &str, password: &str) -> anyhow::Result<Answer> {
        self.post("/controlpanel/sign-in", &[("login", login), ("password", password)]).await
    }

    /// Signs in with a token.
    pub async fn sign_in_with_token(&mut self, token: &str) -> anyhow::Result<Answer> {
        self.post("/controlpanel/sign-in", &[("token", token)]).await
    }

    /// A cookie in the jar.
    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.get(name).map(String::as_str)
    }

    async fn send(&mut self, method: &str, path: &str, body: Option<String>) -> anyhow::Result<Answer> {
        let mut request = self.head(method, path);
        if let Some(body) = &body {
            request += &format!(
                "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
                body.len()
            );
        }
        request += "\r\n";
        request += body.as_deref().unwrap_or_default();
        let text = tokio::time::timeout(Duration::from_secs(20), self.exchange(&request)).await??;
        let answer = Answer::read(&text)?;
        self.keep(&answer);
        Ok(answer)
    }

    /// The head of a request, without what a body needs.
    fn head(&self, method: &str, path: &str) -> String {
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.host);
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !cookies.is_empty() {
            head += &format!("Cookie: {}\r\n", cookies.join("; "));
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head
    }

    async fn exchange(&self, request: &str) -> anyhow::Result<String> {
        let stream = match &self.proxy {
            Some((proxy, client)) => crate::proxied(self.door, proxy, client).await?,
            None => TcpStream::connect(self.door).await?,
        };
        if !self.tls {
            return answered(stream, request).await;
        }
        let connector = TlsConnector::from(unjudged()?);
        answered(connector.connect(ServerName::try_from("localhost")?, stream).await?, request).await
    }

    fn keep(&mut self, answer: &Answer) {
        for (_, set) in answer.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let Some((name, rest)) = set.split_once('=') else { continue };
            let value = rest.split(';').next().unwrap_or_default();
            if rest.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
    }
}

/// A file on its way, sent piece by piece. Dropped, it is a browser that goes away.
pub struct Sending {
    stream: TcpStream,
    end: String,
}

impl Sending {
    /// The next octets. That the panel has answered already, and listens no more, is no error.
    pub async fn piece(&mut self, octets: &[u8]) -> anyhow::Result<()> {
        let _ = self.stream.write_all(octets).await;
        Ok(())
    }

    /// The file is complete; the answer.
    pub async fn finish(self) -> anyhow::Result<Answer> {
        let answered = answered(self.stream, &self.end);
        Answer::read(&tokio::time::timeout(Duration::from_secs(60), answered).await??)
    }
}

async fn answered(mut stream: impl AsyncRead + AsyncWrite + Unpin, request: &str) -> anyhow::Result<String> {
    // Who is answered before all is sent hears the answer nevertheless.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

impl Answer {
    fn read(text: &str) -> anyhow::Result<Self> {
        let (head, body) = text.split_once("\r\n\r\n").context("a head and a body")?;
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.get(9..12)).context("a status line")?.parse()?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let location = headers.iter().find(|(name, _)| name == "location").map(|(_, value)| value.clone());
        Ok(Self { status, location: location.unwrap_or_default(), headers, body: body.to_owned() })
    }

    /// The last form with this action as a browser would send it with these fields changed; empty when there is none.
    pub fn form(&self, action: &str, changed: &[(&str, &str)]) -> Vec<(String, String)> {
        let found = form::all(&self.body).into_iter().rfind(|(to, _)| to == action);
        let Some((_, mut fields)) = found else { return Vec::new() };
        fields.retain(|(name, _)| !changed.iter().any(|(other, _)| name == other));
        fields.extend(changed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        fields
    }

    /// The form that undoes what the page says was done: where it goes, and its fields.
    pub fn undo(&self) -> Option<(String, Vec<(String, String)>)> {
        let (_, said) = self.body.split_once("class=\"notice good\"")?;
        form::all(said.split("</div>").next()?).into_iter().next()
    }

    /// Value of a hidden field.
    pub fn hidden(&self, name: &str) -> Option<String> {
        let (_, rest) = self.body.split_once(&format!("type=\"hidden\" name=\"{name}\" value=\""))?;
        rest.split('"').next().map(str::to_owned)
    }

    /// Value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}
