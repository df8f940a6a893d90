# Sends with net-smtp.
require 'net/smtp'

host, port, tls, authority, sender, recipient, letter = ARGV
context = OpenSSL::SSL::SSLContext.new
context.set_params(ca_file: authority, verify_mode: OpenSSL::SSL::VERIFY_PEER)
smtp = Net::SMTP.new(host, port.to_i)
case tls
when 'off' then smtp.disable_starttls
when 'start' then smtp.enable_starttls(context)
else smtp.enable_tls(context)
end
smtp.start('client.homepage.test') { |session| session.send_message(letter, sender, recipient) }
