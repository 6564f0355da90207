# What the tests of pages and of FHIR resources look with does find what is wrong.

use strict;
use warnings;

use PostgreSQL::Test::Utils;
use Test::More;
use WebTest;

my $folder = PostgreSQL::Test::Utils::tempdir;

# What is seen of a page with this body.
sub seen
{
	my ($body, $style) = @_;
	my $file = "$folder/page.html";
	open my $out, '>', $file or die "cannot write $file: $!";
	print {$out} '<!DOCTYPE html><html lang="en-GB"><head><meta charset="utf-8"><title>A page</title><style>', $style // '', "</style></head><body><main><h1>A page</h1>$body</main></body></html>";
	close $out or die "cannot write $file: $!";
	return page_report($file, $folder);
}

# In how many of the seven views this is not empty, or not nought.
sub views_with
{
	my ($report, $what) = @_;
	return scalar grep { my $found = $_->{$what}; ref $found ? @$found : $found } @{ $report->{views} };
}

my $sound = seen('<p>Sound.</p><svg viewBox="0 0 100 20" width="100" role="img" aria-label="a word"><text x="0" y="15" font-size="12">word</text></svg>');
is(scalar(@{ $sound->{views} }), 7, 'three widths, light and dark, and print');
is(scalar(@{ $sound->{console} }) + @{ $sound->{requests} }, 0, 'a sound page: nothing on the console, no request');
is(views_with($sound, $_), 0, "a sound page: $_") foreach qw(overflow wide cut overlaps scrolled axe);
is($sound->{views}[0]{counts}{svg}, 1, 'what there is is counted');
ok(-s "$folder/$_", "there is $_") foreach qw(light-360.png dark-1920.png print-680.png print-680.pdf);

ok(@{ seen('<script>console.error("no")</script>')->{console} } >= 7, 'an error on the console is seen');
ok(@{ seen('<script>nothing.there()</script>')->{console} } >= 7, 'an exception is seen');
ok(@{ seen('<p>x</p><img alt="x" src="http://127.0.0.1:1/x.png">')->{requests} } >= 7, 'a request is seen');
is(views_with(seen('<div style="width: 500px">wide</div>'), 'overflow'), 2, 'a page that is wider than 360 pixels is seen');
is(views_with(seen('<div style="overflow-x: auto" tabindex="0"><div style="width: 500px">wide</div></div>'), 'scrolled'), 2, 'what has to be scrolled to is seen');
my $overlap = '<svg viewBox="0 0 100 20" width="100" role="img" aria-label="words"><text x="0" y="15" font-size="12">one</text><text x="5" y="15" font-size="12">two</text></svg>';
is(views_with(seen($overlap), 'overlaps'), 7, 'texts on top of each other are seen');
is(views_with(seen('<svg viewBox="0 0 100 20" width="100" role="img" aria-label="a word"><text x="90" y="15" font-size="12">cut off here</text></svg>'), 'cut'), 7, 'text that is cut off is seen');
my $edges = seen('<div style="position: relative; left: -50px">sticks out</div><div style="height: 10px; overflow: hidden">cut<br>beneath</div><div style="width: 50px; overflow: clip; white-space: nowrap">clipped at the right</div>
	<svg viewBox="0 0 100 40" width="100" role="img" aria-label="words"><text x="0" y="15" font-size="14">upper</text><text x="0" y="27" font-size="14">lower</text></svg><h3>Deep</h3><script>new WebSocket("ws://127.0.0.1:1/")</script>');
is(views_with($edges, 'wide'), 7, 'what sticks out to the left is seen');
is(scalar(grep { $_ =~ /beneath|clipped/ } @{ $edges->{views}[0]{cut} }), 2, 'text that is cut off beneath, or clipped, is seen');
is(views_with($edges, 'overlaps'), 7, 'texts of a picture that overlap a little are seen');
is($edges->{views}[0]{counts}{headings}, 2, 'headings of all levels are counted');
is(scalar(grep { $_ eq 'ws://127.0.0.1:1/' } @{ $edges->{requests} }), 7, 'a socket is seen');
like(slurp_file("$folder/print-680.pdf"), qr/MediaBox *\[0 0 59[56]\b\S* 84[123]\b/, 'it is printed on A4');
my $axe = seen('<img src="data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=">');
is(views_with($axe, 'axe'), 6, 'a picture without words is found by axe');
ok((grep { $_->{id} eq 'color-contrast' && $_->{impact} eq 'serious' } @{ seen('<p style="color: #aaa; background: #fff">pale</p>')->{views}[0]{axe} }), 'text that is too pale is found by axe');

my $event = '{"resourceType":"AuditEvent","type":{"code":"rest"},"recorded":"2026-01-01T00:00:00Z","agent":[{"requestor":true}],"source":{"observer":{"display":"x"}}';
my $bundle = '{"resourceType":"Bundle","type":"searchset","entry"';
my @resources = (
	[ 'a person', '{"resourceType":"Patient","id":"a"}', qr/^$/ ],
	[ 'an AuditEvent', "$event}", qr/^$/ ],
	[ 'an AuditEvent in a Bundle', "$bundle:[{\"resource\":$event}}]}", qr/^$/ ],
	[ 'an entry without a resource', "$bundle:[{\"fullUrl\":\"urn:x\"}]}", qr/^$/ ],
	[ 'a text with a line separator', "{\"resourceType\":\"Patient\",\"language\":\"a\xe2\x80\xa8b\"}", qr/^$/ ],
	[ 'an AuditEvent without an agent', $event =~ s/"agent":[^]]*\],//r . '}', qr/agent/ ],
	[ 'an AuditEvent without a time', $event =~ s/"recorded":"[^"]*",//r . '}', qr/recorded/ ],
	[ 'an AuditEvent whose time is none', $event =~ s/00Z/00/r . '}', qr/recorded/ ],
	[ 'an AuditEvent with something else', "$event,\"nonsense\":1}", qr/nonsense/ ],
	[ 'an AuditEvent with a text for an object', $event =~ s/\{"display":"x"\}/"x"/r . '}', qr/observer should be object/ ],
	[ 'a Bundle of another kind', '{"resourceType":"Bundle","type":"heap"}', qr/type/ ],
	[ 'a Bundle with an AuditEvent with something else', "$bundle:[{\"resource\":$event,\"nonsense\":1}}]}", qr/nonsense/ ],
	[ 'a Bundle with an AuditEvent without a time', "$bundle:[{\"resource\":" . $event =~ s/"recorded":"[^"]*",//r . '}}]}', qr/recorded/ ],
	[ 'a type that there is not', '{"resourceType":"Nonsense"}', qr/no such resource type/ ],
	[ 'a type that every object of JavaScript has', '{"resourceType":"constructor"}', qr/no such resource type/ ],
	[ 'what is no JSON', 'nonsense', qr/JSON/ ]);
my @problems = fhir_problems(map { $_->[1] } @resources);
like($problems[$_], $resources[$_][2], "$resources[$_][0] is " . ($resources[$_][2] eq qr/^$/ ? 'valid' : 'not')) foreach 0 .. $#resources;

ok(!eval { page_report("$folder/nowhere.html", $folder); 1 } && $@ =~ /check_page.js has failed/, 'a page that is not there is no page without faults');
{
	local $ENV{CPIS_NODE_MODULES} = "$folder/nowhere";
	ok(!eval { fhir_problems('{}'); 1 } && $@ =~ /CPIS_NODE_MODULES/, 'without what is installed for it, it dies');
}

done_testing();
