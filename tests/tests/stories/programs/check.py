# Fetches with poplib: what a backup script of a customer does.
import poplib
import ssl
import sys

host, port, tls, authority, login, password = sys.argv[1:]
context = ssl.create_default_context(cafile=authority)
if tls == "implicit":
    pop = poplib.POP3_SSL(host, int(port), context=context)
else:
    pop = poplib.POP3(host, int(port))
if tls == "start":
    pop.stls(context)
pop.user(login)
pop.pass_(password)
count, size = pop.stat()
assert pop.capa()["UIDL"] == []
assert size == sum(int(line.split()[1]) for line in pop.list()[1])
for number in range(1, count + 1):
    print(b"\n".join(pop.retr(number)[1]).decode())
    pop.dele(number)
pop.quit()
