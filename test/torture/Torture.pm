# What the tests of torture share: how many rounds, and the tally that make torture sums.
package Torture;

use strict;
use warnings;

use CpisTest;
use Exporter 'import';
use PostgreSQL::Test::Utils;
use Received;
use Test::More;

our @EXPORT = qw(rounds judge add tally);

my ($rounds, $received, $lost) = (0, 0, 0);

# How many rounds: so many, or ROUNDS, whichever is less.
sub rounds
{
	my ($most) = @_;
	my $wanted = $ENV{ROUNDS} // $most;
	return $wanted < $most ? $wanted : $most;
}

# Test that what the clients were shown before they lost their connection is recorded in the node's trail,
# and that no look-up failed but with these SQLSTATEs; count the round.
sub judge
{
	my ($node, $name, $states, @clients) = @_;
	local $Test::Builder::Level = $Test::Builder::Level + 1;
	my ($shown, $missing, $errors) = received_and_lost($node, @clients);
	is($missing, 0, "$name: $shown look-ups were disclosed, and are recorded");
	is(join("\n", grep { !/ERROR:  (?:$states):/ } split /\n/, $errors), '', "$name: no other error");
	add(1, $shown, $missing);
	return;
}

# Add rounds, look-ups that were disclosed, and those of them that are not recorded.
sub add
{
	my ($more, $shown, $missing) = @_;
	$rounds += $more;
	$received += $shown;
	$lost += $missing;
	return;
}

# At the end of a file: what it adds to the tally.
sub tally
{
	my ($what) = @_;
	my $line = "$what: $rounds rounds, $received look-ups disclosed, $lost not recorded";
	diag $line;
	append_to_file($ENV{TALLY}, "$line\n") if $ENV{TALLY};
	return;
}

1;
