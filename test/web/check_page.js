// Looks at a page of HTML in Debian's Chromium, at three widths, light and dark, and in print:
//
//	node check_page.js FILE.html FOLDER
//
// Prints one JSON object of what it has seen, and puts pictures of the page, and the page as it is
// printed, into the folder.  What is in the page itself as a data: URL is no request, here as in
// Chromium's own protocol; a WebSocket is one.  It judges nothing; it fails only where it could not
// look.  WebTest.pm calls it.
'use strict';

const fs = require('fs');
const path = require('path');
const { pathToFileURL } = require('url');
const { chromium } = require('playwright-core');
const axe = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

const WIDTHS = [360, 1024, 1920];
// An A4 sheet without its margins of 15 mm, at 96 dots an inch.
const SHEET = Math.round((210 - 30) / 25.4 * 96);

// In the page: what is wider than it, cut off, to be scrolled to sideways, or on top of each other.
function layout() {
	const root = document.documentElement;
	const name = (e) => `${e.tagName.toLowerCase()}${e.id ? '#' + e.id : ''} ${(e.textContent || '').trim().slice(0, 40)}`;
	// Hidden from the eye, and there for who listens.
	const unseen = (e) => e.closest('thead') !== null && getComputedStyle(e.closest('thead')).clipPath !== 'none';
	const scrolls = (e) => e.closest('.scroll') !== null && getComputedStyle(e.closest('.scroll')).overflowX !== 'visible';
	const shown = (e) => { const b = e.getBoundingClientRect(); return b.width > 0 && b.height > 0 && getComputedStyle(e).visibility !== 'hidden'; };
	const all = [...document.body.querySelectorAll('*')].filter((e) => shown(e) && !unseen(e));
	const found = { overflow: root.scrollWidth - root.clientWidth, wide: [], cut: [], overlaps: [], scrolled: [] };
	for (const e of all) {
		const box = e.getBoundingClientRect();
		if (box.right > root.clientWidth + 1 && !scrolls(e) && !e.closest('svg'))
			found.wide.push(name(e));
		if (['auto', 'scroll'].includes(getComputedStyle(e).overflowX) && e.scrollWidth > e.clientWidth + 1)
			found.scrolled.push(name(e));
		if (getComputedStyle(e).overflowX === 'hidden' && e.scrollWidth > e.clientWidth + 1)
			found.cut.push(name(e));
		const svg = e.tagName === 'text' ? e.ownerSVGElement.getBoundingClientRect() : null;
		if (svg && (box.left < svg.left - 1 || box.right > svg.right + 1 || box.top < svg.top - 1 || box.bottom > svg.bottom + 1))
			found.cut.push(name(e));
	}
	// Boxes of the text itself, line by line, for what holds it may be larger or smaller.
	const texts = [];
	const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (walker.nextNode()) {
		const node = walker.currentNode;
		if (node.data.trim() === '' || !shown(node.parentElement) || unseen(node.parentElement) || node.parentElement.closest('.skip'))
			continue;
		const range = document.createRange();
		range.selectNodeContents(node);
		for (const box of range.getClientRects())
			texts.push({ box, node });
	}
	texts.sort((a, b) => a.box.top - b.box.top);
	for (let i = 0; i < texts.length; i++) {
		for (let j = i + 1; j < texts.length && texts[j].box.top < texts[i].box.bottom; j++) {
			const [a, b] = [texts[i].box, texts[j].box];
			const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
			const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
			if (texts[i].node !== texts[j].node && width > 1 && height > Math.min(a.height, b.height) / 2)
				found.overlaps.push(`${texts[i].node.data.trim().slice(0, 30)} / ${texts[j].node.data.trim().slice(0, 30)}`);
		}
	}
	found.smallest = Math.min(...[...document.querySelectorAll('svg text')].filter(shown).map((t) => t.getBoundingClientRect().height), 99);
	return found;
}

// In the page, besides: what sticks out to the left, is cut off beneath or by overflow: clip, and texts
// of pictures whose boxes overlap by more than 1 pixel.
function edges() {
	const name = (e) => `${e.tagName.toLowerCase()}${e.id ? '#' + e.id : ''} ${(e.textContent || '').trim().slice(0, 40)}`;
	const parents = (e) => e === null ? [] : [e, ...parents(e.parentElement)];
	// What only who listens is to have is hidden from the eye by clip-path, or away to the left.
	const seen = (e) => {
		const box = e.getBoundingClientRect();
		return box.width > 0 && box.height > 0 && getComputedStyle(e).visibility !== 'hidden' && !e.closest('.skip')
			&& parents(e).every((p) => getComputedStyle(p).clipPath === 'none');
	};
	const cutting = (overflow) => ['hidden', 'clip'].includes(overflow);
	const found = { wide: [], cut: [], overlaps: [] };
	for (const e of [...document.body.querySelectorAll('*')].filter(seen)) {
		const style = getComputedStyle(e);
		if (e.getBoundingClientRect().left + scrollX < -1 && !e.closest('svg'))
			found.wide.push(name(e));
		if (e.textContent.trim() === '' || e.closest('svg'))
			continue;
		const range = document.createRange();
		range.selectNodeContents(e);
		const [box, text] = [e.getBoundingClientRect(), range.getBoundingClientRect()];
		if (style.overflowX === 'clip' && text.right > box.right + 1 || cutting(style.overflowY) && text.bottom > box.bottom + 1)
			found.cut.push(name(e));
	}
	const texts = [...document.querySelectorAll('svg text')].filter((e) => seen(e) && e.textContent.trim() !== '');
	texts.forEach((a, i) => texts.slice(i + 1).forEach((b) => {
		const [x, y] = [a.getBoundingClientRect(), b.getBoundingClientRect()];
		if (Math.min(x.right, y.right) - Math.max(x.left, y.left) > 1 && Math.min(x.bottom, y.bottom) - Math.max(x.top, y.top) > 1)
			found.overlaps.push(`${name(a)} / ${name(b)}`);
	}));
	return found;
}

// All that is found of the layout, each thing once.
async function arrangement(page) {
	const [view, more] = [await page.evaluate(layout), await page.evaluate(edges)];
	for (const kind of Object.keys(more))
		view[kind] = [...new Set([...view[kind], ...more[kind]])];
	return view;
}

// What axe finds in the page as it is now.
async function accessibility(page) {
	await page.evaluate(axe);
	const result = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
	return result.violations.map((v) => ({ id: v.id, impact: v.impact, help: v.help, targets: v.nodes.map((n) => n.target.join(' ')) }));
}

async function look(browser, file, folder, width, colorScheme, seen) {
	const media = colorScheme === 'print' ? 'print' : 'screen';
	const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: colorScheme === 'dark' ? 'dark' : 'light' });
	const page = await context.newPage();
	const url = pathToFileURL(file).href;
	page.on('console', (m) => { if (['error', 'warning'].includes(m.type())) seen.console.push(`${m.type()}: ${m.text()}`); });
	page.on('pageerror', (e) => seen.console.push(`exception: ${e.message}`));
	page.on('request', (r) => { if (r.url() !== url) seen.requests.push(r.url().slice(0, 200)); });
	page.on('websocket', (w) => seen.requests.push(w.url().slice(0, 200)));
	await page.emulateMedia({ media });
	await page.goto(url, { waitUntil: 'load' });
	const view = { width, colorScheme, ...await arrangement(page) };
	const name = path.join(folder, `${colorScheme}-${width}`);
	await page.screenshot({ path: `${name}.png`, fullPage: true });
	if (media === 'print')
		await page.pdf({ path: `${name}.pdf`, format: 'A4', preferCSSPageSize: true, printBackground: true });
	else
		view.axe = await accessibility(page);
	view.counts = await page.evaluate(() => ({ svg: document.querySelectorAll('svg').length, headings: document.querySelectorAll('h1, h2, h3, h4, h5, h6').length, tables: document.querySelectorAll('table').length }));
	await context.close();
	return view;
}

async function main(file, folder) {
	const browser = await chromium.launch({
		executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
		args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync']
	});
	const seen = { console: [], requests: [], views: [] };
	for (const width of WIDTHS)
		for (const scheme of ['light', 'dark'])
			seen.views.push(await look(browser, file, folder, width, scheme, seen));
	seen.views.push(await look(browser, file, folder, SHEET, 'print', seen));
	await browser.close();
	console.log(JSON.stringify(seen));
}

if (process.argv.length !== 4) {
	console.error('usage: node check_page.js FILE.html FOLDER');
	process.exit(2);
}
main(path.resolve(process.argv[2]), path.resolve(process.argv[3])).catch((error) => {
	console.error(error);
	process.exit(1);
});
