# Fetches with Net::POP3.
use strict;
use warnings;
use Net::POP3;

my ($host, $port, $tls, $authority, $login, $password) = @ARGV;
my %tls = (SSL_ca_file => $authority, SSL_verify_mode => 1);
my $pop = Net::POP3->new($host, Port => $port, SSL => $tls eq 'implicit', %tls) or die "no connection: $@";
$pop->starttls(%tls) or die 'no TLS: ' . $pop->message if $tls eq 'start';
my $count = $pop->login($login, $password);
defined $count or die 'no login: ' . $pop->message;
my $sizes = $pop->list;
for my $number (sort { $a <=> $b } keys %$sizes) {
    my $lines = $pop->get($number) or die 'no message: ' . $pop->message;
    # Without TLS, Net::POP3 makes one LF of each CRLF.
    my $octets = 0;
    $octets += length($_) + (/\r\n\z/ ? 0 : 1) for @$lines;
    die "$octets octets instead of $sizes->{$number}" unless $octets == $sizes->{$number};
    print @$lines;
    $pop->delete($number) or die 'not deleted: ' . $pop->message;
}
$pop->quit or die 'no end: ' . $pop->message;
