# Sourced by what runs TAP files: test/check, test/torture/torture and test/upgrade/upgrade.
#
# Expects prepare of test/prepare.sh to have run.

# tap FILE...: run them; where one fails, show what it has logged.  What is exported reaches them.
tap() {
	$as_user env PATH="$PATH" PG_REGRESS="$pgxs/src/test/regress/pg_regress" \
		PERL5LIB="$pgxs/src/test/perl:$source/test/t:$source/test/torture" TESTDIR="$work" \
		TESTDATADIR="$work/tmp_check" TESTLOGDIR="$work/tmp_check/log" \
		PG_TEST_USE_UNIX_SOCKETS=1 LC_ALL=C prove --timer "$@" && return
	show_failed_tap
	return 1
}

# The end of what each file that failed, or has no plan, has logged.
show_failed_tap() {
	local log
	for log in "$work"/tmp_check/log/regress_log_*; do
		if grep -qE '^(\[[^]]*\]\([^)]*\) )?not ok' "$log" || ! grep -qE '(^|\) )1\.\.[0-9]+' "$log"; then
			say "$log"
			tail -n 60 "$log"
		fi
	done
}

# Tests that are interrupted leave their servers behind.
stop_servers() {
	local file
	find "$work" -name postmaster.pid 2>/dev/null | while read -r file; do
		kill -QUIT "$(head -n 1 "$file")" 2>/dev/null || true
	done
}
