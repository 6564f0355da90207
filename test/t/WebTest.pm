# Looks at pages and validates FHIR resources with what test/check has installed of test/web, whose
# place is in CPIS_NODE_MODULES.  Dies where that is missing: a test that needs it must not pass
# without.
package WebTest;

use strict;
use warnings;

use Exporter 'import';
use File::Basename;
use File::Temp;
use IPC::Run;
use JSON::PP;

our @EXPORT = qw(page_report fhir_problems);

my $web = dirname(__FILE__) . '/../web';

# Output of a program of test/web.
sub run_node
{
	my ($script, $input, @arguments) = @_;
	die "CPIS_NODE_MODULES does not say where what test/web needs is installed\n" unless -d ($ENV{CPIS_NODE_MODULES} // '') . '/axe-core';
	# Chromium keeps things at home, which the user of the tests may not have.
	my $home = File::Temp->newdir;
	local @ENV{qw(NODE_PATH HOME XDG_CONFIG_HOME XDG_CACHE_HOME)} = ($ENV{CPIS_NODE_MODULES}, ("$home") x 3);
	my ($out, $err) = ('', '');
	IPC::Run::run([ 'node', "$web/$script", @arguments ], '<', \$input, '>', \$out, '2>', \$err)
	  or die "$script has failed: $err\n";
	return $out;
}

# What check_page.js has seen of a page.
sub page_report
{
	my ($file, $folder) = @_;
	return decode_json(run_node('check_page.js', '', $file, $folder));
}

# What is wrong with each of these resources, JSON documents without line feeds; '' where nothing is.
sub fhir_problems
{
	my (@documents) = @_;
	my @answers = split /\n/, run_node('validate_fhir.js', join('', map { "$_\n" } @documents));
	die scalar(@answers) . ' answers to ' . scalar(@documents) . " resources\n" if @answers != @documents;
	return map { $_ eq 'valid' ? '' : $_ } @answers;
}

1;
