# A million random texts: the type agrees with an implementation that is
# written here from the definition and shares nothing with it.

use strict;
use warnings;

use CpisTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

use constant TEXTS => 1_000_000;

my $seed = $ENV{NHS_NUMBER_SEED} // 20161206;
note "seed $seed (NHS_NUMBER_SEED)";
srand($seed);

# The check digit from the definition: weights 10 down to 2, eleven less the
# remainder, 11 is 0; undef for 10, which is never issued.
sub check_digit
{
	my @digit = split //, shift;
	my $sum = 0;
	$sum += $digit[$_] * (10 - $_) for 0 .. 8;
	my $digit = 11 - $sum % 11;
	return $digit == 11 ? 0 : $digit == 10 ? undef : $digit;
}

# The number in a text: ten digits, undef where there is none.
sub expected
{
	my ($text) = @_;
	my $space = qr/[ \t\n\x0b\f\r]*/;
	$text =~ /\A$space([0-9]{3})([ -]?)([0-9]{3})\2([0-9]{4})$space\z/ or return;
	my $number = "$1$3$4";
	my $digit = check_digit($number);
	return defined $digit && $digit == substr($number, 9) ? $number : undef;
}

sub any { return $_[ rand @_ ]; }

sub digits
{
	my ($count) = @_;
	return join '', map { int rand 10 } 1 .. $count;
}

sub valid
{
	for (;;)
	{
		my $nine = digits(9);
		my $digit = check_digit($nine);
		return "$nine$digit" if defined $digit;
	}
}

# Put any of these pieces in a place of the text, up to this often.
sub scatter
{
	my ($text, $often, @piece) = @_;
	substr($text, rand(1 + length $text), 0, any(@piece)) for 1 .. 1 + rand $often;
	return $text;
}

sub grouped
{
	my ($text, @separator) = @_;
	substr($text, $_, 0, any(@separator)) for grep { $_ <= length $text } 6, 3;
	return $text;
}

my @white = (' ', "\t", "\n", "\x0b", "\f", "\r");

# Characters outside ASCII as their bytes in UTF-8.
my @strange = ("\xc2\xa0", "\xe2\x80\x83", "\xe2\x80\x8b", "\xef\xbb\xbf", "\xc3\xa9");
my @dash = ("\xe2\x80\x90", "\xe2\x80\x93", "\xe2\x88\x92");
my %digit_forms = map {
	my $n = $_;
	$n => [ "\xd9" . chr(0xa0 + $n), "\xef\xbc" . chr(0x90 + $n), "\xf0\x9d\x9f" . chr(0x8e + $n) ];
} 0 .. 9;

my %kind = (
	'random digits' => sub { digits(10) },
	'valid' => \&valid,
	'valid, grouped' => sub { my $s = any(' ', '-'); grouped(valid(), $s) },
	'any groups' => sub { grouped(valid(), ' ', '-', ' ', '-', '', '.', any(@white), any(@dash)) },
	'separators anywhere' => sub { scatter(valid(), 3, ' ', '-') },
	'outer white space' => sub {
		my $text = any(valid(), grouped(valid(), '-'));
		join '', (map { any(@white) } 1 .. rand 4), $text, (map { any(@white) } 1 .. rand 4);
	},
	'other outer space' => sub { any(any(@strange) . valid(), valid() . any(@strange)) },
	'white space inside' => sub { scatter(valid(), 2, @white) },
	'two digits swapped' => sub {
		my $text = valid();
		my ($i, $j) = (rand 10, rand 10);
		(substr($text, $i, 1), substr($text, $j, 1)) = (substr($text, $j, 1), substr($text, $i, 1));
		$text;
	},
	'a digit changed' => sub { my $text = valid(); substr($text, rand 10, 1) = digits(1); $text },
	'nine digits' => sub { my $text = valid(); substr($text, rand 10, 1) = ''; $text },
	'eleven digits' => sub { scatter(valid(), 1, 0 .. 9) },
	'a stray character' => sub { scatter(valid(), 1, map { chr } 1 .. 127) },
	'a character for a digit' => sub {
		my $text = valid();
		substr($text, rand 10, 1) = chr 1 + rand 127;
		$text;
	},
	'Unicode digits' => sub {
		my $text = valid();
		my $form = int rand 3;
		my $share = any(0.1, 1);
		$text =~ s/([0-9])/rand() < $share ? $digit_forms{$1}[$form] : $1/ge;
		$text;
	},
	'never issued' => sub {
		my $nine;
		do { $nine = digits(9) } while defined check_digit($nine);
		$nine . digits(1);
	},
	'empty' => sub { join '', map { any(@white) } 1 .. rand 4 },
	'rubbish' => sub { join '', map { any(0 .. 9, ' ', '-', 'x', '.', "\\", "\t", @strange) } 1 .. rand 16 },
);
my @kind = sort keys %kind;

# Text, its kind, and what it should be, in the format of COPY.
my $file = PostgreSQL::Test::Utils::tempdir() . '/texts';
open my $out, '>:raw', $file or die "$file: $!";
my %escaped = ("\\" => "\\\\", "\t" => "\\t", "\n" => "\\n", "\r" => "\\r");
my $valid = 0;
for my $i (0 .. TEXTS - 1)
{
	my $kind = $kind[ $i % @kind ];
	my $text = $kind{$kind}->();
	# Some of all kinds are grouped or stand in white space besides.
	$text = grouped($text, any(' ', '-')) if rand() < 0.1 && $text =~ /\A[ -~]*\z/;
	$text = any(@white) . $text . any(@white) if rand() < 0.1;

	my $number = expected($text);
	$valid++ if defined $number;
	$text =~ s/([\\\t\n\r])/$escaped{$1}/g;
	print $out join("\t", $kind, $text, $number // '\N'), "\n";
}
close $out or die "$file: $!";

my $node = new_server('main');
$node->safe_psql('postgres', qq{
	CREATE UNLOGGED TABLE sample (kind text, value text, expected text);
	COPY sample FROM '$file';
});
is($node->safe_psql('postgres', 'SELECT count(*), count(expected), count(DISTINCT kind) FROM sample'),
	join('|', TEXTS, $valid, scalar @kind), "a million texts of every kind are loaded, seed $seed");
cmp_ok($valid, '>=', TEXTS / 10, 'at least a tenth of the texts are valid');
note $node->safe_psql('postgres',
	'SELECT kind, count(*), count(expected) AS valid FROM sample GROUP BY kind ORDER BY kind');

# No text for which the condition holds; shows some where there are.
sub none
{
	my ($where, $name) = @_;
	my $count = $node->safe_psql('postgres', "SELECT count(*) FROM sample WHERE $where");
	is($count, 0, $name)
	  or diag $node->safe_psql('postgres', qq{
		SELECT kind, to_json(value) AS value, expected, nhs_number_try(value), nhs_number_problem(value)
		FROM sample WHERE $where LIMIT 5});
	return;
}

none('nhs_number_is_valid(value) <> (expected IS NOT NULL)',
	'nhs_number_is_valid agrees with the definition');
none('nhs_number_try(value)::text IS DISTINCT FROM expected',
	'nhs_number_try finds the number the definition finds');
none('(nhs_number_problem(value) IS NULL) <> (expected IS NOT NULL)',
	'nhs_number_problem names a problem exactly where there is one');
none('expected IS NOT NULL AND CASE WHEN expected IS NOT NULL THEN value::nhs_number::text END <> expected',
	'a cast makes the number the definition finds');
none(q{nhs_number_format(nhs_number_try(value)) <>
	concat_ws(' ', left(expected, 3), substr(expected, 4, 3), right(expected, 4))},
	'nhs_number_format groups the number 3-3-4');

# A refused cast costs a subtransaction: every 20th of the invalid texts.
is( $node->safe_psql('postgres', q{
	CREATE FUNCTION refused(value text) RETURNS boolean LANGUAGE plpgsql AS $$
	BEGIN
		PERFORM value::nhs_number;
		RETURN false;
	EXCEPTION WHEN invalid_text_representation THEN
		RETURN true;
	END $$;
	SELECT count(*) > 20000, count(*) FILTER (WHERE NOT refused(value))
	FROM (SELECT value, row_number() OVER () AS n FROM sample WHERE expected IS NULL) x
	WHERE n % 20 = 0}),
	't|0', 'a cast refuses the texts in which the definition finds no number');

$node->stop;
done_testing();
