//! A password from a prompt or from standard input; never from an argument, which others can read in the process list.

use std::io::{BufRead as _, IsTerminal as _, Read as _, stdin};

use clap::Args;
use postern_mail::limits::PASSWORD_MAX_BYTES;
use postern_proto::account::v1::{NewPassword, new_password::Secret};

use super::Failure;

/// Longest PHC string or password that is read from standard input, octets; the account service judges the rest.
const INPUT_MAX_BYTES: u64 = 4 * PASSWORD_MAX_BYTES as u64;

/// Where the password comes from.
#[derive(Args, Clone, Debug)]
#[group(multiple = false)]
pub struct PasswordArgs {
    /// Read the password from standard input (one line end at its end is not part of it)
    #[arg(long)]
    password_stdin: bool,
    /// Read a ready PHC string ($argon2id$...) from standard input
    #[arg(long)]
    password_hash_stdin: bool,
}

impl PasswordArgs {
    /// Reads it.
    pub(super) fn read(&self, whose: &str) -> Result<NewPassword, Failure> {
        let secret = match (self.password_stdin, self.password_hash_stdin) {
            (_, true) => Secret::Phc(from_stdin()?.trim().to_owned()),
            (true, false) => Secret::Plain(from_stdin()?),
            (false, false) => Secret::Plain(from_prompt(whose)?),
        };
        Ok(NewPassword { secret: Some(secret) })
    }
}

fn from_stdin() -> Result<String, Failure> {
    let mut octets = Vec::new();
    stdin()
        .take(INPUT_MAX_BYTES)
        .read_to_end(&mut octets)
        .map_err(|e| Failure::Usage(format!("the password cannot be read from standard input: {e}")))?;
    let text =
        String::from_utf8(octets).map_err(|_| Failure::Usage("the password is not UTF-8".to_owned()))?;
    Ok(without_line_end(&text).to_owned())
}

/// The own password in the first line; the rest stays for the command, which reads through the same buffer.
pub(super) fn first_line() -> Result<String, Failure> {
    let mut line = String::new();
    stdin()
        .lock()
        .take(INPUT_MAX_BYTES)
        .read_line(&mut line)
        .map_err(|e| Failure::Usage(format!("the own password cannot be read from standard input: {e}")))?;
    Ok(without_line_end(&line).to_owned())
}

/// The own password of who acts as themselves, asked for once.
pub(super) fn own(login: &str) -> Result<String, Failure> {
    if !stdin().is_terminal() {
        return Err(Failure::Usage(
            "no terminal to ask for the own password at: use --password-stdin before the command, or name \
             POSTERN_PASSWORD_FILE"
                .to_owned(),
        ));
    }
    ask(format!("password of {login}: "))
}

fn ask(prompt: String) -> Result<String, Failure> {
    rpassword::prompt_password(prompt)
        .map_err(|e| Failure::Usage(format!("the terminal cannot be read: {e}")))
}

fn from_prompt(whose: &str) -> Result<String, Failure> {
    if !stdin().is_terminal() {
        return Err(Failure::Usage(
            "no terminal to ask for the password at: use --password-stdin".to_owned(),
        ));
    }
    let password = ask(format!("new password for {whose}: "))?;
    if password != ask("once more: ".to_owned())? {
        return Err(Failure::Usage("these are two different passwords".to_owned()));
    }
    Ok(password)
}

pub(super) fn without_line_end(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_end_goes_spaces_stay() {
        assert_eq!(without_line_end(" a b \r\n"), " a b ");
        assert_eq!(without_line_end("a\n\n"), "a\n");
        assert_eq!(without_line_end("a"), "a");
    }
}
