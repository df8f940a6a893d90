"""A client outside the containers: client.py HOST (relay|poll|load|check) ADDRESS [ARGUMENT], each from its own address."""

import collections
import json
import pathlib
import poplib
import re
import smtplib
import ssl
import sys
import threading
import time

HOST, DEED, ADDRESS, *REST = sys.argv[1:]
BOX = "user@homepage.test"
# Polled under load: a box is used by one session at a time, and a killed one holds it for a minute.
POLLED = "polled@homepage.test"


def smtp():
    return smtplib.SMTP(HOST, 2525, timeout=15, source_address=(ADDRESS, 0))


def pop3(user=BOX):
    # The first run makes a certificate that nobody has signed.
    box = poplib.POP3_SSL(HOST, 1995, timeout=30, context=ssl._create_unverified_context())
    box.user(user)
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


def polls(stop, good, refused):
    """Logs in again and again; a wrong password is what no part that is away may ever claim."""
    while not stop.exists():
        try:
            box = pop3(POLLED)
            box.stat()
            box.quit()
            good.append(time.time())
        except poplib.error_proto as error:
            if b"[AUTH]" in error.args[0]:
                refused.append(error.args[0])
        except OSError:
            pass
        time.sleep(0.05)


def load(folder):
    """Sends numbered messages, each until it is answered for good, until the file `stop` is there; and polls beside it."""
    folder = pathlib.Path(folder)
    good, wrong = [], []
    polling = threading.Thread(target=polls, args=(folder / "stop", good, wrong))
    polling.start()
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
    polling.join()
    longest = max((later - sooner for sooner, later in zip(good, good[1:])), default=0)
    print(f"polls: {len(good)} good, {longest:.1f} s at most between two, refused for good: {wrong}")
    assert accepted and not refused
    assert good and not wrong


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


{"relay": relay, "poll": poll, "load": load, "check": check}[DEED](*REST)
