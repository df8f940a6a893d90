"""A client outside the containers: client.py HOST (relay|poll|load|check|keep|late|same|secure) ADDRESS [ARGUMENT], each from
its own address."""

import collections
import hashlib
import json
import pathlib
import poplib
import re
import smtplib
import socket
import ssl
import sys
import time

HOST, DEED, ADDRESS, *REST = sys.argv[1:]
BOX = "user@homepage.test"


def smtp():
    return smtplib.SMTP(HOST, 2525, timeout=15, source_address=(ADDRESS, 0))


def pop3():
    # The first run makes a certificate that nobody has signed.
    box = poplib.POP3_SSL(HOST, 1995, timeout=30, context=ssl._create_unverified_context())
    box.user(BOX)
    box.pass_("postern-demo")
    return box


def relay(expected):
    session = smtp()
    session.ehlo("client.test")
    session.docmd(f"MAIL FROM:<{BOX}>")
    code, text = session.docmd("RCPT TO:<friend@outside.test>")
    session.quit()
    print(f"relay from {ADDRESS}: {code} {text.decode()}")
    if expected == "taken":
        assert code == 250
    else:
        assert code == 550 and b"relaying prohibited" in text


def poll():
    box = pop3()
    print(f"poll from {ADDRESS}: {box.stat()}")
    box.quit()


def load(folder):
    """Sends numbered messages, each until it is answered for good, until the file `stop` is there."""
    folder = pathlib.Path(folder)
    accepted, refused, later = [], [], 0
    number = 0
    while not (folder / "stop").exists():
        number += 1
        for _ in range(300):
            try:
                session = smtp()
                session.sendmail("friend@outside.test", [BOX], f"Subject: load {number}\r\n\r\n{number}\r\n")
            except smtplib.SMTPRecipientsRefused as error:
                code, _ = next(iter(error.recipients.values()))
                if code >= 500:
                    refused.append((number, code))
                    break
            except smtplib.SMTPResponseException as error:
                if error.smtp_code >= 500:
                    refused.append((number, error.smtp_code))
                    break
            except (OSError, smtplib.SMTPException):
                pass
            else:
                accepted.append(number)
                session.close()
                break
            later += 1
            time.sleep(0.2)
        time.sleep(0.01)
    (folder / "accepted.json").write_text(json.dumps(accepted))
    print(f"load: {len(accepted)} accepted, {later} times later, refused for good: {refused}")
    assert accepted and not refused


def check(folder):
    """Each accepted message is in the box; one whose answer was lost may be there twice."""
    box = pop3()
    count = box.stat()[0]
    there = collections.Counter()
    for number in range(1, count + 1):
        subject = re.search(rb"Subject: load (\d+)", b"\n".join(box.retr(number)[1]))
        there[int(subject[1])] += 1
    box.quit()
    accepted = json.loads((pathlib.Path(folder) / "accepted.json").read_text())
    lost = [number for number in accepted if number not in there]
    print(f"check: {count} in the box, {len(accepted)} accepted, lost {lost}, twice {sum(n > 1 for n in there.values())}")
    assert not lost


def uids(box):
    return [line.split()[1].decode() for line in box.uidl()[1]]


def contents(box):
    """Unique id to what RETR gives, as a checksum."""
    names = uids(box)
    whole = [hashlib.sha256(b"\n".join(box.retr(number + 1)[1])).hexdigest() for number in range(len(names))]
    return dict(zip(names, whole))


def send(subject, size):
    session = smtp()
    body = "the quick brown fox jumps over the lazy dog\r\n" * (size // 45)
    session.sendmail("friend@outside.test", [BOX], f"Subject: {subject}\r\n\r\n{body}")
    session.quit()


def keep(folder):
    """Notes what the box holds; a large message, which is a file of its own, is sent before."""
    send("load 0", 300_000)
    box = pop3()
    kept = contents(box)
    box.quit()
    (pathlib.Path(folder) / "kept.json").write_text(json.dumps(kept))
    print(f"keep: {len(kept)} messages")


def late(folder):
    """What comes after the backup, and is lost with the house: its id is noted."""
    send("late", 100)
    box = pop3()
    last = uids(box)[-1]
    box.quit()
    (pathlib.Path(folder) / "late.json").write_text(json.dumps(last))


def same(folder):
    """The box holds what was noted, under the same ids, and what comes now has an id that nobody had."""
    folder = pathlib.Path(folder)
    kept, lost = json.loads((folder / "kept.json").read_text()), json.loads((folder / "late.json").read_text())
    box = pop3()
    there = contents(box)
    box.quit()
    assert there == kept, f"{len(there)} messages instead of {len(kept)}"
    send("load 1", 100)
    box = pop3()
    new = uids(box)[-1]
    box.quit()
    assert new != lost and new not in kept, new
    print(f"same: {len(there)} messages under the ids of before")


def secure(authority):
    """The doors show a certificate of this authority for the customer's own name."""
    context = ssl.create_default_context(cafile=authority)
    for port in (1995, 2465, 8443):
        with socket.create_connection((HOST, port), timeout=15, source_address=(ADDRESS, 0)) as plain:
            with context.wrap_socket(plain, server_hostname="mail.homepage.test") as door:
                names = [name for _, name in door.getpeercert()["subjectAltName"]]
        print(f"secure: port {port} shows {names}")


{"relay": relay, "poll": poll, "load": load, "check": check, "keep": keep, "late": late, "same": same, "secure": secure}[DEED](*REST)
