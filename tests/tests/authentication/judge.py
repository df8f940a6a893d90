"""Judges mail by other implementations than ours: dkimpy (RFC 6376, RFC 8617) and pyspf (RFC 7208).

Reads a question as JSON from standard input and prints the answer as JSON. DNS is what the question says it is.
"""

import base64
import json
import sys

import dkim
import spf

question = json.load(sys.stdin)
records = question["records"]


def txt(name, timeout=5):
    name = name.decode() if isinstance(name, bytes) else name
    return records.get(name.rstrip(".").lower(), "").encode()


def lookup(name, qtype, tcpfallback=True, timeout=30):
    text = records.get(name.rstrip(".").lower())
    if text is None:
        return []
    if qtype == "TXT" and not text[0].isdigit():
        return [((name, "TXT"), (text.encode(),))]
    if qtype == "A" and text[0].isdigit():
        return [((name, "A"), text)]
    return []


answer = {}
if "message" in question:
    message = base64.b64decode(question["message"])
    headers, _ = dkim.rfc822_parse(message)
    signatures = [value for name, value in headers if name.lower() == b"dkim-signature"]
    answer["dkim"] = []
    for index, value in enumerate(signatures):
        tags = dkim.parse_tag_value(value)
        try:
            good = dkim.DKIM(message).verify(idx=index, dnsfunc=txt)
        except dkim.DKIMException:
            good = False
        signed = [name.strip().decode().lower() for name in tags[b"h"].split(b":")]
        answer["dkim"].append(
            {"good": bool(good), "d": tags[b"d"].decode(), "s": tags[b"s"].decode(), "h": signed}
        )
    chain, results, why = dkim.arc_verify(message, dnsfunc=txt)
    answer["arc"] = (chain or b"none").decode()
    answer["arc_why"] = str(why)
if "sender" in question:
    spf.DNSLookup = lookup
    answer["spf"] = spf.check2(i=question["ip"], s=question["sender"], h=question["helo"])[0]
print(json.dumps(answer))
