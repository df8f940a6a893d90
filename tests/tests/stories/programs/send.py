# Sends with smtplib.
import smtplib
import ssl
import sys

host, port, tls, authority, sender, recipient, letter = sys.argv[1:]
context = ssl.create_default_context(cafile=authority)
if tls == "implicit":
    smtp = smtplib.SMTP_SSL(host, int(port), context=context)
else:
    smtp = smtplib.SMTP(host, int(port))
if tls == "start":
    smtp.starttls(context=context)
smtp.sendmail(sender, [recipient], letter)
smtp.quit()
