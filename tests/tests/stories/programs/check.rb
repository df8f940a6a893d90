# Fetches with net-pop.
require 'net/pop'

host, port, tls, authority, login, password = ARGV
pop = Net::POP3.new(host, port.to_i)
pop.enable_ssl(OpenSSL::SSL::VERIFY_PEER, authority) if tls == 'implicit'
pop.start(login, password) do |session|
  session.each_mail do |mail|
    text = mail.pop
    raise "#{text.bytesize} octets instead of #{mail.length}" unless text.bytesize == mail.length
    raise 'no unique id' if mail.unique_id.empty?
    puts text
    mail.delete
  end
end
