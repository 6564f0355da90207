# Sourced by test/check, test/demo/demo and test/bench/bench: install what is missing, build in a
# copy of this tree, and set up a private copy of the PostgreSQL installation
# with the extension in it, so that nothing of the system's own PostgreSQL is
# touched.  Sets
#
#   work     temporary folder, removed at exit unless keep=1
#   source   the copy of this tree, built
#   bindir   programs of the private installation
#   pgxs     folder of PGXS
#   as_user  prefix that runs a command as the unprivileged user
#
# With COVERAGE set, what runs leaves behind there what was executed.
#
# Needs Debian, and root or sudo where a package is missing.

# It would reach every session.
unset PGOPTIONS

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
keep=${keep:-0}

say() {
	printf '==> %s\n' "$*"
}

as_root() {
	if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# install_packages PACKAGE...: those that are not installed.
install_packages() {
	local missing=()
	for package; do
		dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
			missing+=("$package")
	done
	[ ${#missing[@]} = 0 ] && return
	say "installing ${missing[*]}"
	as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq
	as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
		--no-install-recommends "${missing[@]}" >"$work/install.log" 2>&1 ||
		{ tail -n 20 "$work/install.log"; return 1; }
}

# The major version of Debian's own PostgreSQL, where none is chosen.
default_version() {
	apt-cache show postgresql >/dev/null 2>&1 || as_root apt-get update -qq
	apt-cache show postgresql | sed -n 's/^Depends: .*postgresql-\([0-9]*\).*/\1/p' | sort -n | tail -n 1
}

# version_of PG_CONFIG: the major version.
version_of() {
	"$1" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/'
}

# copy_tree FOLDER: this tree, without what an earlier build, for another PostgreSQL, left behind.
copy_tree() {
	mkdir "$1"
	(cd "$top" && tar -cf - --exclude=./.git --exclude='*.o' --exclude='*.bc' --exclude='*.so' \
		--exclude='./cpis--*.sql' .) | tar -xf - --no-same-owner -C "$1"
}

# make_work: the temporary folder.
make_work() {
	work=$(mktemp -d "${TMPDIR:-/tmp}/cpis.XXXXXX")
	chmod 755 "$work"
	trap 'cleanup' EXIT
	trap 'exit 130' INT TERM
}

# prepare PACKAGE...: the packages named are for the caller; @ stands for the
# major version of PostgreSQL, which is that of PG_CONFIG, or PG_VERSION, or Debian's own.
prepare() {
	local version packages=()

	make_work
	as_user=
	if [ -n "${PG_VERSION:-}" ]; then
		version=$PG_VERSION
	elif [ -n "${PG_CONFIG:-}" ]; then
		version=$(version_of "$PG_CONFIG")
	else
		version=$(default_version)
	fi
	[ -n "$version" ] || { echo "cannot tell which PostgreSQL to use; set PG_CONFIG" >&2; return 1; }
	for package; do
		packages+=("${package//@/$version}")
	done
	install_packages make gcc libc6-dev libssl-dev "postgresql-$version" \
		"postgresql-server-dev-$version" "${packages[@]}"
	PG_CONFIG=${PG_CONFIG:-/usr/lib/postgresql/$version/bin/pg_config}

	install_extension "$PG_CONFIG"
}

# install_extension PG_CONFIG: build for this PostgreSQL, and install into the private copy of it.
install_extension() {
	local pg_config=$1 libdir sharedir version
	version=$(version_of "$pg_config")
	if [ "$(id -u)" = 0 ]; then
		as_user='runuser -u postgres --'
		chown postgres "$work"
	fi

	say "building against $("$pg_config" --version)"
	source=$work/source-$version
	copy_tree "$source"
	make -C "$source" -s -j "$(nproc)" COPT="-Werror${COVERAGE:+ -O0 --coverage}" PG_CONFIG="$pg_config" all

	libdir=$("$pg_config" --pkglibdir)
	sharedir=$("$pg_config" --sharedir)
	bindir=$work/root$("$pg_config" --bindir)
	pgxs=$(dirname "$("$pg_config" --pgxs)")/../..
	mkdir -p "$bindir" "$work/root$libdir" "$work/root$sharedir"
	cp -R "$("$pg_config" --bindir)/." "$bindir"
	cp -R "$libdir/." "$work/root$libdir"
	cp -R "$sharedir/." "$work/root$sharedir"
	make -C "$source" -s install DESTDIR="$work/root" PG_CONFIG="$pg_config" >/dev/null
	[ -z "$as_user" ] || chown -R postgres "$source"
	export PATH="$bindir:$PATH"
}

cleanup() {
	type -t at_cleanup >/dev/null && at_cleanup
	[ "$keep" = 1 ] || rm -rf "$work"
}
