#!/usr/bin/env python3
"""A tool for Postern in Python: makes a mailbox, watches changes, reads the audit (docs/TOOLS.md).

    pip install grpcio grpcio-tools grpcio-status
    POSTERN_TOKEN=... python3 tool.py --proto proto --auth 127.0.0.1:7102 --account 127.0.0.1:7101 anna@homepage.test

With --ca the doors are spoken to over TLS. The stubs are made from the .proto files when it starts, so that they always fit.
"""

import argparse
import importlib
import os
import pathlib
import secrets
import sys
import tempfile
import threading
import time
import uuid

import grpc
import grpc_tools
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from grpc_tools import protoc

# Seconds: each call ends by then.
DEADLINE = 10
# An assertion lives 60 seconds; a new one is asked for before that.
RENEW_AFTER = 45


def say(line: str) -> None:
    """Writes a line as one piece: two threads speak, and print() writes the end of its line apart."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def stubs(proto: pathlib.Path) -> None:
    """Makes the Python modules of all .proto files and puts them on the path."""
    out = tempfile.mkdtemp(prefix="postern-stubs-")
    well_known = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    files = [str(f.relative_to(proto)) for f in sorted(proto.glob("postern/*/v1/*.proto"))]
    command = ["protoc", f"-I{proto}", f"-I{well_known}", f"--python_out={out}", f"--grpc_python_out={out}", *files]
    if protoc.main(command) != 0:
        sys.exit("the .proto files cannot be compiled")
    sys.path.insert(0, out)


def module(name: str):
    return importlib.import_module(f"postern.{name}")


def door(address: str, service: str, authority: pathlib.Path | None) -> grpc.Channel:
    """A channel to a door. Over TLS a service is who its certificate says, wherever it stands."""
    if authority is None:
        return grpc.insecure_channel(address)
    credentials = grpc.ssl_channel_credentials(root_certificates=authority.read_bytes())
    return grpc.secure_channel(address, credentials, [("grpc.ssl_target_name_override", f"{service}.postern.internal")])


class Identity:
    """Turns the token into assertions, each good for a minute, and gives the metadata of a call."""

    def __init__(self, channel: grpc.Channel, token: str):
        self.login, self.pb = module("auth.v1.login_pb2_grpc").LoginServiceStub(channel), module("auth.v1.login_pb2")
        self.token, self.assertion, self.since = token, "", 0.0

    def metadata(self):
        if time.monotonic() - self.since > RENEW_AFTER or not self.assertion:
            answer = self.login.ExchangeToken(self.pb.ExchangeTokenRequest(token=self.token), timeout=DEADLINE)
            self.assertion, self.since = answer.assertion, time.monotonic()
        return [("postern-assertion", self.assertion)]


def reason_of(error: grpc.RpcError) -> str:
    """The reason of the failure table: stable, unlike the text, which is for people."""
    status = rpc_status.from_call(error)
    for detail in status.details if status else []:
        info = error_details_pb2.ErrorInfo()
        if detail.Unpack(info) and info.domain == "postern":
            return info.reason
    # Nobody of ours said it: a part is away. Try again.
    return "UNAVAILABLE"


def watch(account: grpc.Channel, identity: Identity, domain: str, seen: threading.Event, ready: threading.Event) -> None:
    """Waits for a change of the domain; begins anew when the stream ends, as it does when a server goes down."""
    directory, pb = module("account.v1.directory_pb2_grpc").DirectoryServiceStub(account), module("account.v1.directory_pb2")
    while not seen.is_set():
        try:
            for answer in directory.WatchChanges(pb.WatchChangesRequest(), metadata=identity.metadata()):
                event = answer.WhichOneof("event")
                if event == "reset":
                    ready.set()
                elif event == "change" and answer.change.domain == domain:
                    say(f"change {answer.change.domain} version {answer.change.version}")
                    seen.set()
                    return
        except grpc.RpcError as error:
            print(f"watching again: {reason_of(error)}", file=sys.stderr)
            time.sleep(1)


def create(account: grpc.Channel, identity: Identity, address: str) -> None:
    stub, pb = module("account.v1.mailbox_pb2_grpc").MailboxServiceStub(account), module("account.v1.mailbox_pb2")
    customer = module("account.v1.customer_pb2")
    request = pb.CreateMailboxRequest(
        address=address,
        password=customer.NewPassword(plain=secrets.token_urlsafe(15)),
        # The same id again is answered, not done again: a call that timed out can be repeated.
        request_id=str(uuid.uuid4()),
    )
    mailbox = stub.CreateMailbox(request, metadata=identity.metadata(), timeout=DEADLINE).mailbox
    say(f"created {mailbox.address}")
    request.request_id = str(uuid.uuid4())
    try:
        stub.CreateMailbox(request, metadata=identity.metadata(), timeout=DEADLINE)
    except grpc.RpcError as error:
        say(f"refused {reason_of(error)}: {error.details()}")


def mailboxes(account: grpc.Channel, identity: Identity, domain: str) -> list:
    """All pages of a list."""
    stub, pb = module("account.v1.mailbox_pb2_grpc").MailboxServiceStub(account), module("account.v1.mailbox_pb2")
    found, token = [], ""
    while True:
        request = pb.ListMailboxesRequest(domain=domain, page_size=2, page_token=token)
        page = stub.ListMailboxes(request, metadata=identity.metadata(), timeout=DEADLINE)
        found.extend(page.mailboxes)
        token = page.next_page_token
        if not token:
            return found


def audit(account: grpc.Channel, identity: Identity, address: str) -> None:
    stub, pb = module("account.v1.audit_pb2_grpc").AuditServiceStub(account), module("account.v1.audit_pb2")
    request = pb.ListAuditEntriesRequest(kind="mailbox", name=address)
    for entry in stub.ListAuditEntries(request, metadata=identity.metadata(), timeout=DEADLINE).entries:
        say(f"audit {entry.action} {entry.kind} {entry.name} by {entry.actor_role} {entry.actor}")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--proto", type=pathlib.Path, default=pathlib.Path("proto"))
    options.add_argument("--auth", default="127.0.0.1:7102")
    options.add_argument("--account", default="127.0.0.1:7101")
    options.add_argument("--ca", type=pathlib.Path, help="authority that signed the certificates of the doors, PEM")
    options.add_argument("address")
    given = options.parse_args()
    stubs(given.proto.resolve())
    with door(given.auth, "auth", given.ca) as auth, door(given.account, "account", given.ca) as account:
        identity = Identity(auth, os.environ["POSTERN_TOKEN"])
        try:
            identity.metadata()
        except grpc.RpcError as error:
            sys.exit(f"the token is not taken: {reason_of(error)}: {error.details()}")
        domain = given.address.rpartition("@")[2]
        seen, ready = threading.Event(), threading.Event()
        threading.Thread(target=watch, args=(account, identity, domain, seen, ready), daemon=True).start()
        if not ready.wait(DEADLINE):
            sys.exit("the directory does not answer")
        create(account, identity, given.address)
        if not seen.wait(DEADLINE):
            sys.exit("the change was not told")
        say(f"listed {len(mailboxes(account, identity, domain))} mailboxes")
        audit(account, identity, given.address)


if __name__ == "__main__":
    main()
