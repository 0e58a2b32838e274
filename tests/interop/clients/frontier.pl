# Calls the server with Frontier::Client and prints what came back as JSON. This client knows the types of the original
# specification only; numbers and text look the same to it.
# Usage: frontier.pl URL NAME...
use strict;
use warnings;
use utf8;

use Encode 'decode_utf8';
use Frontier::Client;
use JSON::PP;

my $url    = shift @ARGV;
my $client = Frontier::Client->new(url => "$url/RPC2");

sub shown {
    my ($value) = @_;
    return [map { shown($_) } @{$value}] if ref $value eq 'ARRAY';
    return {map { $_ => shown($value->{$_}) } keys %{$value}} if ref $value eq 'HASH';
    return [lc +(split /::/, ref $value)[2], q{} . $value->value] if ref $value;
    return "$value";
}

sub call {
    my @arguments = @_;
    my $result = eval { shown($client->call(@arguments)) };
    return defined $result ? $result : ['died', "$@"];
}

my %arguments = (
    'int'          => -5,
    'wide int'     => $client->int(2147483647),
    'boolean'      => $client->boolean(1),
    'double'       => -0.125,
    'string'       => "<Zürich & 漢字>",
    'number text'  => $client->string('42'),
    'empty string' => q{},
    'date'         => $client->date_time('19980717T14:08:55'),
    'base64'       => $client->base64('AAEC/w=='),
    'array'        => [1, 'two', [3.5, []]],
    'struct'       => {name => 'Ada', more => {}, born => {year => 1815}},
);

my %report;
$report{give}      = {map { $_ => call('interop.give', $client->string($_)) } map { decode_utf8($_) } @ARGV};
$report{describe}  = {map { $_ => call('interop.describe', $arguments{$_}) } keys %arguments};
$report{echo}      = {map { $_ => call('interop.echo', $arguments{$_}) } keys %arguments};
$report{add}       = [call('interop.add', 2, -3), call('interop.add_async', 2, 3)];
$report{fault}     = call('interop.fail', 42, 'on purpose');
$report{methods}   = call('system.listMethods');
$report{signature} = call('system.methodSignature', 'interop.add');
$report{help}      = call('system.methodHelp', 'interop.add');
$report{multicall} = call('system.multicall', [
    {methodName => 'interop.add',  params => [1, 2]},
    {methodName => 'interop.fail', params => [7, 'seven']},
]);

print JSON::PP->new->utf8->canonical->encode(\%report);
