# Sourced by test/check and test/check_all: install what tests of pages and FHIR resources look with.
#
# Expects install_packages, work and top of test/prepare.sh.

# install_web: Chromium, and of npm, by its lock file, what CPIS_NODE_MODULES names from then on.  Where
# that is set already, npm is not asked again.  Debian's own npm is not installed where there is one,
# which may come with another node.
install_web() {
	install_packages chromium || return 1
	command -v node >/dev/null || install_packages nodejs || return 1
	[ -z "${CPIS_NODE_MODULES:-}" ] || return 0
	command -v npm >/dev/null || install_packages npm || return 1
	mkdir "$work/web"
	cp "$top/test/web/package.json" "$top/test/web/package-lock.json" "$work/web"
	(cd "$work/web" && npm ci --omit=dev --ignore-scripts --no-audit --no-fund >"$work/npm.log" 2>&1) ||
		{ tail -n 20 "$work/npm.log"; return 1; }
	export CPIS_NODE_MODULES=$work/web/node_modules
}
