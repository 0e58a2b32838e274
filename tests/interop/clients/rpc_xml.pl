# Calls the server with RPC::XML::Client and prints what came back as JSON, each value as [type, content].
# Usage: rpc_xml.pl URL NAME...
use strict;
use warnings;
use utf8;

use JSON::PP;
use RPC::XML;
use RPC::XML::Client;

$RPC::XML::ENCODING  = 'UTF-8';
$RPC::XML::ALLOW_NIL = 1;

my $url    = shift @ARGV;
my $client = RPC::XML::Client->new("$url/RPC2");
$client->timeout(20);

sub shown {
    my ($value) = @_;
    return ['error', "$value"] if !ref $value;
    my $type = $value->type;
    return [$type, [map { shown($_) } @{$value}]] if $type eq 'array';
    return [$type, {map { $_ => shown($value->{$_}) } keys %{$value}}] if $type eq 'struct';
    return [$type, unpack 'H*', $value->value] if $type eq 'base64';
    return [$type] if $type eq 'nil';
    return [$type, 0 + $value->value] if $type eq 'double';
    return [$type, 0 + $value->code, $value->string] if $type eq 'fault';
    return [$type, q{} . $value->value];
}

sub call { return shown($client->send_request(@_)) }

sub ask {
    my ($response) = $client->send_request(@_);
    return ref $response ? $response->value : "error: $response";
}

my %arguments = (
    'int'            => RPC::XML::int->new(-5),
    'i4'             => RPC::XML::i4->new(2147483647),
    'i8'             => RPC::XML::i8->new('-9223372036854775808'),
    'boolean'        => RPC::XML::boolean->new('yes'),
    'double'         => RPC::XML::double->new(-0.125),
    'string'         => RPC::XML::string->new("<Zürich & 😀>\n"),
    'empty string'   => RPC::XML::string->new(q{}),
    'date'           => RPC::XML::datetime_iso8601->new('1998-07-17T14:08:55'),
    'date with zone' => RPC::XML::datetime_iso8601->new('1998-07-17T14:08:55.25Z'),
    'base64'         => RPC::XML::base64->new(join q{}, map { chr } 0 .. 255),
    'empty base64'   => RPC::XML::base64->new(q{}),
    'nil'            => RPC::XML::nil->new,
    'array'          => [1, 'two', [3.5, []]],
    'struct'         => {name => 'Ada', more => {}, born => {year => 1815}},
);

my %report;
$report{give}     = {map { $_ => call('interop.give', RPC::XML::string->new($_)) } @ARGV};
$report{describe} = {map { $_ => ask('interop.describe', $arguments{$_}) } keys %arguments};
$report{echo}     = {map { $_ => call('interop.echo', $arguments{$_}) } keys %arguments};
$report{add}      = [call('interop.add', 2, -3), call('interop.add_async', 2, 3)];
$report{faults}   = {
    own     => call('interop.fail', 42, 'nö <&>'),
    crash   => call('interop.crash'),
    method  => call('interop.no_such_method'),
    params  => call('interop.add', 1),
    result  => call('interop.unsendable'),
};
$report{methods}   = ask('system.listMethods');
$report{signature} = ask('system.methodSignature', 'interop.add');
$report{help}      = ask('system.methodHelp', 'interop.add');
$report{multicall} = ask('system.multicall', [
    {methodName => 'interop.add',     params => [1, 2]},
    {methodName => 'interop.add_async', params => [3, 4]},
    {methodName => 'interop.fail',    params => [7, 'seven']},
]);

$client->compress_requests(1);
$client->compress_thresh(1000);
my $long = 'zip ' x 5000;
$report{compressed} = ask('interop.echo', $long) eq $long ? JSON::PP::true : JSON::PP::false;
$client->compress_requests(0);
$client->message_file_thresh(1000);
$report{'from file'} = ask('interop.echo', $long) eq $long ? JSON::PP::true : JSON::PP::false;

print JSON::PP->new->utf8->canonical->encode(\%report);
