EXTENSION = cpis
# The version of the extension stands in cpis.control and nowhere else.
EXTVERSION := $(shell sed -n "s/^default_version = '\(.*\)'/\1/p" cpis.control)

MODULE_big = cpis
OBJS = \
	src/argument.o \
	src/audit_event.o \
	src/audit_row.o \
	src/audit_verify.o \
	src/authority.o \
	src/authority_view.o \
	src/bulk_insert.o \
	src/checkpoint.o \
	src/checkpoint_row.o \
	src/checkpoint_sql.o \
	src/correct.o \
	src/cpis.o \
	src/day.o \
	src/demographics.o \
	src/direct_read.o \
	src/direct_read_switch.o \
	src/drop_guard.o \
	src/due.o \
	src/entitlement.o \
	src/event_scan.o \
	src/fingerprint.o \
	src/history.o \
	src/hold.o \
	src/ledger.o \
	src/ledger_edge.o \
	src/log_guard.o \
	src/lookup.o \
	src/lookup_rate.o \
	src/merkle.o \
	src/mod11.o \
	src/month.o \
	src/nhs_number.o \
	src/notice.o \
	src/notice_wake.o \
	src/notification.o \
	src/number_change.o \
	src/own_change.o \
	src/own_function.o \
	src/own_settings.o \
	src/pem_key.o \
	src/plan_guard.o \
	src/plan_put.o \
	src/plan_record.o \
	src/plan_tally.o \
	src/plan_term.o \
	src/policy.o \
	src/proof.o \
	src/provider_setting.o \
	src/pseudonym.o \
	src/purge.o \
	src/purge_batch.o \
	src/purge_submission.o \
	src/purge_switch.o \
	src/purge_worker.o \
	src/queue.o \
	src/record_check.o \
	src/reference.o \
	src/refuse_change.o \
	src/refuse_others.o \
	src/register.o \
	src/relation.o \
	src/removal.o \
	src/removed_month.o \
	src/request.o \
	src/retain.o \
	src/retention_days.o \
	src/row_delete.o \
	src/scope.o \
	src/scope_grant.o \
	src/sha256.o \
	src/signed_note.o \
	src/signing_key.o \
	src/stat.o \
	src/submission.o \
	src/submission_apply.o \
	src/submission_guard.o \
	src/submission_load.o \
	src/submission_record.o \
	src/submission_sent.o \
	src/summary.o \
	src/trail.o \
	src/trail_read.o \
	src/trusted_code.o \
	src/verify_checkpoint.o \
	src/verify_event.o \
	src/verify_notice.o \
	src/wakeup.o \
	src/watched.o \
	src/writer.o

# Joined in this order into the extension script.
SQL = \
	sql/schema.sql \
	sql/nhs_number.sql \
	sql/entitlement.sql \
	sql/register.sql \
	sql/audit.sql \
	sql/notification.sql \
	sql/ledger.sql \
	sql/pseudonym.sql \
	sql/direct_read.sql \
	sql/lookup.sql \
	sql/scope.sql \
	sql/implementation.sql \
	sql/number.sql \
	sql/notice.sql \
	sql/submission.sql \
	sql/summary.sql \
	sql/retention.sql \
	sql/reconcile.sql \
	sql/stat.sql \
	sql/authority_view.sql \
	sql/steward_view.sql \
	sql/fhir.sql \
	sql/unusual.sql \
	sql/analyst_view.sql \
	sql/report.sql
SCRIPT = $(EXTENSION)--$(EXTVERSION).sql
DATA_built = $(SCRIPT)

PG_CPPFLAGS = -DCPIS_VERSION='"$(EXTVERSION)"'
SHLIB_LINK = -lcrypto
PG_CFLAGS = -Wall -Wextra -Wno-unused-parameter -Wno-sign-compare

REGRESS = $(patsubst test/sql/%.sql,%,$(sort $(wildcard test/sql/*.sql)))
REGRESS_OPTS = --inputdir=test --load-extension=cpis
ISOLATION = $(patsubst test/specs/%.spec,%,$(sort $(wildcard test/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test --load-extension=cpis
# The pure C files that have a unit test and a fuzzer, and what each needs beside itself.
PURE = fingerprint mod11 merkle pem_key record_check signed_note
merkle_needs = src/sha256.c -lcrypto
pem_key_needs = src/signed_note.c src/sha256.c -lcrypto
record_check_needs = src/mod11.c
signed_note_needs = src/sha256.c -lcrypto
sha256_needs = -lcrypto

# The pure C files that have a fuzzer, and audit_row.c, which needs no more of PostgreSQL than headers.
FUZZERS = $(PURE) sha256 audit_row

EXTRA_CLEAN = $(SCRIPT) META.json $(PURE:%=test/unit/%_test) $(FUZZERS:%=test/fuzz/%_fuzz)

ifneq ($(filter check check-all coverage valgrind torture fuzz demo bench,$(MAKECMDGOALS)),)

# These install what is missing, PGXS included, so they do not need it here.
.PHONY: check check-all coverage valgrind torture fuzz demo bench
check:
	test/check
check-all:
	test/check_all
coverage:
	COVERAGE=$(CURDIR)/coverage test/check
valgrind:
	test/valgrind/valgrind
torture:
	test/torture/torture
fuzz:
	test/fuzz/fuzz
demo:
	test/demo/demo
bench:
	test/bench/bench

else

PG_CONFIG ?= pg_config
PGXS := $(wildcard $(shell $(PG_CONFIG) --pgxs))
ifeq ($(PGXS),)
$(error no PGXS for PG_CONFIG=$(PG_CONFIG): install PostgreSQL's server headers or name another pg_config)
endif
ifeq ($(wildcard $(shell $(PG_CONFIG) --includedir-server)/postgres.h),)
$(error no PostgreSQL server headers for PG_CONFIG=$(PG_CONFIG): install them, on Debian postgresql-server-dev-15 or the like, or name another pg_config)
endif
include $(PGXS)

$(OBJS) $(OBJS:.o=.bc): $(wildcard src/*.h) cpis.control

endif

$(SCRIPT): $(SQL) cpis.control Makefile
	{ printf '%s\n' '\echo Use "CREATE EXTENSION $(EXTENSION)" to load this file. \quit'; cat $(SQL); } > $@

META.json: META.json.in cpis.control
	sed 's/@VERSION@/$(EXTVERSION)/' META.json.in > $@

# The pure C files on their own, without PostgreSQL.
test/unit/%_test: test/unit/%_test.c src/%.c $(wildcard src/*.h) src/sha256.c src/signed_note.c
	$(CC) -std=c99 -g -O1 -Wall -Wextra -Werror -fsanitize=undefined -fno-sanitize-recover=all -Isrc -o $@ test/unit/$*_test.c src/$*.c $($*_needs)

FUZZ = clang -std=gnu99 -g -O1 -Wall -Wextra -Werror -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -Isrc

test/fuzz/%_fuzz: test/fuzz/%_fuzz.c src/%.c $(wildcard src/*.h) src/sha256.c src/signed_note.c
	$(FUZZ) -o $@ test/fuzz/$*_fuzz.c src/$*.c $($*_needs)

# As PostgreSQL is compiled: what it takes out of a row may be any number.
test/fuzz/audit_row_fuzz: test/fuzz/audit_row_fuzz.c src/audit_row.c $(wildcard src/*.h) src/mod11.c src/merkle.c src/sha256.c
	$(FUZZ) -fwrapv -Wno-unused-parameter -Wno-sign-compare -isystem $(includedir_server) -D_GNU_SOURCE -o $@ test/fuzz/audit_row_fuzz.c src/audit_row.c src/mod11.c src/merkle.c src/sha256.c -lcrypto

.PHONY: fuzzers
fuzzers: $(FUZZERS:%=test/fuzz/%_fuzz)

.PHONY: unit dist
unit: $(PURE:%=test/unit/%_test)
	for test in $^; do $$test || exit 1; done

dist: META.json
	git archive --format=zip --prefix=$(EXTENSION)-$(EXTVERSION)/ --add-file=META.json --output=$(EXTENSION)-$(EXTVERSION).zip HEAD
