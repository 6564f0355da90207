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
my $axe = seen('<img src="data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=">');
is(views_with($axe, 'axe'), 6, 'a picture without words is found by axe');
ok((grep { $_->{id} eq 'color-contrast' && $_->{impact} eq 'serious' } @{ seen('<p style="color: #aaa; background: #fff">pale</p>')->{views}[0]{axe} }), 'text that is too pale is found by axe');

my $event = '{"resourceType":"AuditEvent","type":{"code":"rest"},"recorded":"2026-01-01T00:00:00Z","agent":[{"requestor":true}],"source":{"observer":{"display":"x"}}';
my @problems = fhir_problems('{"resourceType":"Patient","id":"a"}', "$event}", $event =~ s/"agent":[^]]*\],//r . '}', "$event,\"nonsense\":1}", "$event" =~ s/00Z/00/r . '}',
	'{"resourceType":"Bundle","type":"heap"}', "{\"resourceType\":\"Bundle\",\"type\":\"searchset\",\"entry\":[{\"resource\":$event,\"nonsense\":1}}]}", '{"resourceType":"Nonsense"}', 'nonsense');
is($problems[0], '', 'a person is valid');
is($problems[1], '', 'an AuditEvent is valid');
like($problems[2], qr/agent/, 'one without an agent is not');
like($problems[3], qr/nonsense/, 'one with something else is not');
like($problems[4], qr/recorded/, 'one whose time is none is not');
like($problems[5], qr/type/, 'a Bundle of another kind is not');
like($problems[6], qr/nonsense/, 'a Bundle with something that is not valid is not');
isnt($problems[7], '', 'a type that there is not is not');
isnt($problems[8], '', 'what is no JSON is not');

done_testing();
