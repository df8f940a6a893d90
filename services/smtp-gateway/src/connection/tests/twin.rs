//! The twin of the fuzz target `smtp_session` that runs with every test: any commands in any cuts get replies and an end, and cuts
//! change nothing.

use proptest::prelude::*;
use tokio::io::AsyncWriteExt as _;

use super::*;

/// What clients say, and what breaks it. Answers within AUTH are among it: a login, a password, and giving up.
const WORDS: [&[u8]; 29] = [
    b"EHLO a.test\r\n",
    b"HELO a.test\r\n",
    b"MAIL FROM:<>\r\n",
    b"MAIL FROM:<user@homepage.test>\r\n",
    b"RCPT TO:<user@homepage.test>\r\n",
    b"RCPT TO:<nobody@homepage.test>\r\n",
    b"RCPT TO:<x@far.test>\r\n",
    b"DATA\r\n",
    b"\r\n.\r\n",
    b"BDAT 3\r\n",
    b"BDAT 3\r\na\r\n",
    b"BDAT 3 LAST\r\na\r\n",
    b"BDAT 0 LAST\r\n",
    b"BDAT 3\t\r\n",
    b"RSET\r\n",
    b"NOOP\r\n",
    b"STARTTLS\r\n",
    b"AUTH PLAIN\r\n",
    b"AUTH PLAIN AHVzZXJAaG9tZXBhZ2UudGVzdAByaWdodA==\r\n",
    b"AUTH LOGIN\r\n",
    b"AUTH CRAM-MD5\r\n",
    b"dXNlckBob21lcGFnZS50ZXN0\r\n",
    b"cmlnaHQ=\r\n",
    b"*\r\n",
    b"\r",
    b"\n",
    b"\0",
    b"<",
    b"\xff\xfe",
];

/// A client in this place was not waiting for its turn.
const SMUGGLED: &str = "554";

/// The code of each reply to what is sent in these pieces, until the client stops sending.
async fn codes(house: &TestHouse, pieces: &[&[u8]]) -> Vec<String> {
    let mut client = house.transcript(Door::Submission, START).await;
    for piece in pieces {
        // The server may have closed already; then there is nothing to write to.
        if client.stream.write_all(piece).await.is_err() {
            break;
        }
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
    }
    let _ = client.stream.shutdown().await;
    let text = client.rest().await;
    let mut codes = Vec::new();
    for line in text.lines() {
        let (code, rest) = line.split_at_checked(3).expect("a code");
        assert!(code.bytes().all(|octet| octet.is_ascii_digit()), "{line:?}");
        match rest.as_bytes().first() {
            Some(b' ') => codes.push(code.to_owned()),
            Some(b'-') => {}
            _ => panic!("{line:?}"),
        }
    }
    codes
}

#[test]
fn any_words_in_any_cuts_get_the_same_replies() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let house = runtime.block_on(async { TestHouse::new() });
    let words = prop::collection::vec(prop::sample::select(WORDS.to_vec()), 0..20);
    proptest!(ProptestConfig::with_cases(64), |(words in words, length in 1usize..30)| {
        let sent = words.concat();
        let cut: Vec<&[u8]> = sent.chunks(length).collect();
        runtime.block_on(async {
            let mut said = Vec::new();
            for pieces in [&vec![&sent[..]], &words, &cut] {
                said.push(codes(&house, pieces).await);
            }
            // Whether a client waited for its turn depends on how its octets came.
            said.retain(|codes| codes.iter().all(|code| code != SMUGGLED));
            assert!(said.windows(2).all(|two| two[0] == two[1]), "cuts change nothing: {said:?}");
        });
    });
}
