/*-------------------------------------------------------------------------
 *
 * demographics.c
 *	  What a demographics service knows of NHS numbers.
 *
 * cpis.demographics_function names a function of the administrator's,
 *
 *	  f(nhs_number[], date[]) RETURNS TABLE (nhs_number nhs_number, status text)
 *
 * that is asked about the numbers of a submission, some at a time, each with the date of
 * birth that was sent or NULL.  It answers each with one of the words below.  Where it fails,
 * says that the service is unavailable, leaves a number out or answers one in two ways,
 * nothing is known, and the file is to be sent again (CPF05): a warning says why.
 *
 * It runs as the owner of the register, and so must belong to him or to a superuser, and have
 * no search_path in which a temporary table comes first (55000); that there is no such
 * function is an error too (42883).  It runs in a
 * subtransaction, so that what it did before it failed is undone.  Cancelling the
 * statement ends the statement.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "demographics.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "parser/parse_func.h"
#include "record_check.h"
#include "relation.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/syscache.h"
#include "utils/varlena.h"

char	   *cpis_demographics_function = NULL;

/* What it may answer, and which rule a record with such a number breaks. */
static const struct
{
	const char *status;
	RecordRule	rule;
}			statuses[] =
{
	{"verified", RULE_NONE},
	{"not_found", RULE_NOT_FOUND},
	{"sensitive", RULE_SENSITIVE},
	{"not_verified", RULE_NOT_VERIFIED},
	{"superseded", RULE_SUPERSEDED},
};

#define UNAVAILABLE "unavailable"
#define NOT_ANSWERED RULE_COUNT

/* Numbers that are asked about in one call, ascending, and what is answered. */
typedef struct Question
{
	const char *command;
	Oid			number_type;
	int			n;
	Datum	   *numbers;
	Datum	   *births;
	bool	   *no_birth;
	RecordRule *rules;
	const char *trouble;		/* NULL: everything was answered */
} Question;

/* All of them. */
typedef struct Inquiry
{
	const OwnGiven *sent;
	const char *command;
	Oid			number_type;
	OwnGiven   *known;
	MemoryContext context;		/* of one question */
	bool		available;
} Inquiry;

/*
 * Does pg_temp stand last in this search_path, and nowhere else?
 */
static bool
ends_with_temporary(List *schemas)
{
	ListCell   *cell;

	foreach(cell, schemas)
	{
		if (strcmp(lfirst(cell), "pg_temp") == 0)
			return lnext(schemas, cell) == NULL;
	}
	return false;
}

/*
 * See that no temporary table can stand in for one that the function reads: where it has a
 * search_path of its own, pg_temp must stand last in it, for left out it comes first.
 */
static void
check_path(HeapTuple function)
{
	static const char setting[] = "search_path=";
	bool		isnull;
	Datum		config = SysCacheGetAttr(PROCOID, function, Anum_pg_proc_proconfig, &isnull);
	Datum	   *settings;
	int			n = 0;

	if (!isnull)
		deconstruct_array(DatumGetArrayTypeP(config), TEXTOID, -1, false, TYPALIGN_INT, &settings, NULL, &n);
	for (int i = 0; i < n; i++)
	{
		char	   *value = TextDatumGetCString(settings[i]);
		List	   *schemas = NIL;

		if (strncmp(value, setting, strlen(setting)) != 0)
			continue;
		if (!SplitIdentifierString(value + strlen(setting), ',', &schemas) || !ends_with_temporary(schemas))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("search_path of function \"%s\" must end with pg_temp", cpis_demographics_function),
					 errdetail("A temporary table of the caller's could stand in for one that it reads."),
					 errhint("ALTER FUNCTION ... SET search_path = ..., pg_temp.")));
	}
}

/*
 * The command that calls the function.
 */
static const char *
command_for(Oid number_type)
{
	Oid			types[2] = {get_array_type(number_type), DATEARRAYOID};
	List	   *names = CPIS_QUALIFIED_NAME_LIST(cpis_demographics_function);
	Oid			function;
	HeapTuple	tuple;
	Form_pg_proc form;
	const char *name;

	if (list_length(names) < 2)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("setting \"%s\" must name a function with its schema", "cpis.demographics_function")));
	function = LookupFuncName(names, lengthof(types), types, false);
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for function %u", function);
	form = (Form_pg_proc) GETSTRUCT(tuple);
	check_path(tuple);
	if (form->proowner != GetUserId() && !superuser_arg(form->proowner))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("function \"%s\" belongs to neither a superuser nor the owner of the register",
						cpis_demographics_function),
				 errhint("It would run as that owner. See cpis.demographics_function.")));
	name = quote_qualified_identifier(get_namespace_name(form->pronamespace), NameStr(form->proname));
	ReleaseSysCache(tuple);
	return psprintf("SELECT d.nhs_number, d.status::pg_catalog.text FROM %s($1, $2) AS d (nhs_number, status)", name);
}

/*
 * The rule that stands for this status; false where there is no such status.
 */
static bool
find_rule(const char *status, RecordRule *rule)
{
	for (int i = 0; i < lengthof(statuses); i++)
	{
		if (strcmp(status, statuses[i].status) == 0)
		{
			*rule = statuses[i].rule;
			return true;
		}
	}
	return false;
}

/*
 * Where the number is in the question, or -1.
 */
static int
find_number(const Question *question, int32 number)
{
	int			low = 0;
	int			high = question->n;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;
		int32		there = DatumGetInt32(question->numbers[middle]);

		if (there == number)
			return middle;
		if (there < number)
			low = middle + 1;
		else
			high = middle;
	}
	return -1;
}

/*
 * Take one answer.
 */
static void
take_answer(Question *question, SPITupleTable *rows, uint64 row)
{
	char	   *status = SPI_getvalue(rows->vals[row], rows->tupdesc, 2);
	bool		isnull;
	Datum		number = SPI_getbinval(rows->vals[row], rows->tupdesc, 1, &isnull);
	int			at = isnull ? -1 : find_number(question, DatumGetInt32(number));
	RecordRule	rule;

	if (status != NULL && strcmp(status, UNAVAILABLE) == 0)
		question->trouble = "it says that the service is unavailable";
	else if (status == NULL || !find_rule(status, &rule))
		question->trouble = "it has answered with a status that there is not";
	else if (at >= 0 && question->rules[at] != NOT_ANSWERED && question->rules[at] != rule)
		question->trouble = "it has answered a number in two ways";
	else if (at >= 0)
		question->rules[at] = rule;
}

/*
 * Call the function, and take what it answers.
 */
static void
call(Question *question)
{
	Oid			types[2] = {get_array_type(question->number_type), DATEARRAYOID};
	int			lower_bound = 1;
	Datum		values[2];

	SPI_connect();
	values[0] = PointerGetDatum(construct_array(question->numbers, question->n, question->number_type,
												sizeof(int32), true, TYPALIGN_INT));
	values[1] = PointerGetDatum(construct_md_array(question->births, question->no_birth, 1, &question->n,
												   &lower_bound, DATEOID, sizeof(int32), true, TYPALIGN_INT));
	if (SPI_execute_with_args(question->command, lengthof(types), types, values, NULL, false, 0) != SPI_OK_SELECT)
		elog(ERROR, "SPI_execute_with_args failed");
	if (SPI_gettypeid(SPI_tuptable->tupdesc, 1) != question->number_type)
		question->trouble = "its first column is not of type nhs_number";
	for (uint64 i = 0; i < SPI_processed && question->trouble == NULL; i++)
		take_answer(question, SPI_tuptable, i);
	SPI_finish();
	for (int i = 0; i < question->n && question->trouble == NULL; i++)
	{
		if (question->rules[i] == NOT_ANSWERED)
			question->trouble = "it has left a number out";
	}
}

/*
 * The same in a subtransaction; an error is trouble like any other.
 */
static void
try_to_call(Question *question)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		call(question);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
			ReThrowError(error);
		/* Its message may name somebody. */
		question->trouble = psprintf("it has failed with SQLSTATE %s", unpack_sql_state(error->sqlerrcode));
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
}

/*
 * Ask about the numbers of these rows, and keep what is not as it should be.
 */
static void
ask(SPITupleTable *rows, void *context)
{
	Inquiry    *inquiry = context;
	int			n = rows->numvals;
	Question	question = {.command = inquiry->command, .number_type = inquiry->number_type, .n = n};
	bool		isnull[2] = {false};
	MemoryContext outer;

	if (!inquiry->available)
		return;
	outer = MemoryContextSwitchTo(inquiry->context);
	question.numbers = palloc(n * sizeof(Datum));
	question.births = palloc(n * sizeof(Datum));
	question.no_birth = palloc(n * sizeof(bool));
	question.rules = palloc(n * sizeof(RecordRule));
	for (int i = 0; i < n; i++)
	{
		question.numbers[i] = SPI_getbinval(rows->vals[i], rows->tupdesc, 1, &isnull[0]);
		question.births[i] = SPI_getbinval(rows->vals[i], rows->tupdesc, 2, &question.no_birth[i]);
		question.rules[i] = NOT_ANSWERED;
	}
	isnull[0] = false;
	try_to_call(&question);
	if (question.trouble != NULL)
	{
		ereport(WARNING,
				(errmsg("the demographics function has not answered: %s", question.trouble)));
		inquiry->available = false;
	}
	for (int i = 0; i < n && inquiry->available; i++)
	{
		Datum		values[2] = {question.numbers[i], Int32GetDatum(question.rules[i])};

		if (question.rules[i] == RULE_NONE)
			continue;
		tuplestore_putvalues(inquiry->known->rows, inquiry->known->descriptor, values, isnull);
		inquiry->known->n++;
	}
	MemoryContextSwitchTo(outer);
	MemoryContextReset(inquiry->context);
}

static void
ask_all(void *context)
{
	Inquiry    *inquiry = context;

	inquiry->command = command_for(inquiry->number_type);
	inquiry->context = AllocSetContextCreate(CurrentMemoryContext, "cpis demographics", ALLOCSET_DEFAULT_SIZES);
	(void) OwnReadEach(CpisRelationOid(CPIS_PLAN), inquiry->sent, 1,
					   "SELECT nhs_number, max(date_of_birth) FROM sent WHERE rule = 0"
					   " GROUP BY nhs_number ORDER BY nhs_number",
					   0, NULL, NULL, ask, inquiry);
}

/*
 * Ask about the numbers of records that are sound so far, and have "known" hold those that
 * break a rule; false where nothing is known.
 */
bool
DemographicsAsk(const OwnGiven *sent, Oid number_type, OwnGiven *known)
{
	Inquiry		inquiry = {.sent = sent, .number_type = number_type, .known = known, .available = true};

	if (cpis_demographics_function != NULL && cpis_demographics_function[0] != '\0')
		OwnAct(CpisRelationOid(CPIS_PLAN), ask_all, &inquiry);
	return inquiry.available;
}
