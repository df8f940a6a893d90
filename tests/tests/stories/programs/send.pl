# Sends with Net::SMTP.
use strict;
use warnings;
use Net::SMTP;

my ($host, $port, $tls, $authority, $sender, $recipient, $letter) = @ARGV;
my %tls = (SSL_ca_file => $authority, SSL_verify_mode => 1);
my $smtp = Net::SMTP->new($host, Port => $port, SSL => $tls eq 'implicit', Hello => 'client.homepage.test', %tls)
    or die "no connection: $@";
if ($tls eq 'start') {
    $smtp->starttls(%tls) or die 'no TLS: ' . $smtp->message;
}
$smtp->mail($sender) && $smtp->to($recipient) && $smtp->data($letter) or die 'not sent: ' . $smtp->message;
$smtp->quit;
