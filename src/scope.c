/*-------------------------------------------------------------------------
 *
 * scope.c
 *	  For which organisation or local authority a role acts.
 *
 * entitlement.c asks, of the table cpis.role_scope, which scope_grant.c changes.  A scope
 * counts for whoever has the privileges of its role, as a granted privilege would.  Where
 * several cover the same organisation, each right counts that one of them gives, and the
 * highest limit.  Roles stand there by name, so that a dump can be restored into another
 * cluster; a name that is no role's covers nothing.
 *
 * Each look-up asks about its organisation.  A process keeps the answers that were yes,
 * until the relation cache says that the table has changed - its trigger reference_changed
 * sees to that, see reference.c - or the system cache that a role or a membership has.
 * An answer that rests on a row that this transaction has written is not kept.
 *
 * Locks are AccessShare, released at once.  An error leaves what is kept as it was.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "audit_event.h"
#include "scope.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/* Columns of cpis.role_scope. */
#define SCOPE_ROLE_NAME 1
#define SCOPE_ORGANISATION 2
#define SCOPE_LOCAL_AUTHORITY 3
#define SCOPE_MAY_READ_SILENTLY 4
#define SCOPE_MAY_ACT_AS_DEVICE 5
#define SCOPE_MAX_LOOKUPS_PER_MINUTE 6
#define SCOPE_EVENT_ID 8

/* Answers kept; a process that gives more begins again. */
#define RIGHTS_KEPT 1000

typedef struct KeptKey
{
	Oid			role;
	char		organisation[ORGANISATION_LENGTH + 1];	/* padded with zeros */
} KeptKey;

typedef struct KeptRights
{
	KeptKey		key;
	ScopeRights rights;
} KeptRights;

/* What is done with a row whose role is one whose privileges the role has. */
typedef bool (*TakeScope) (HeapTuple tuple, TupleDesc descriptor, void *context);

static HTAB *kept_rights = NULL;
static uint64 kept_generation;
static bool roles_changed = false;

static void
on_role_change(Datum arg, int cache, uint32 hash)
{
	roles_changed = true;
}

/*
 * Throw away what is kept where it may no longer be so.
 */
static void
refresh(void)
{
	static bool registered = false;
	HASHCTL		control = {0};

	if (!registered)
	{
		CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, on_role_change, (Datum) 0);
		CacheRegisterSyscacheCallback(AUTHOID, on_role_change, (Datum) 0);
		registered = true;
	}
	if (kept_rights != NULL && !roles_changed && kept_generation == CpisGeneration() &&
		hash_get_num_entries(kept_rights) < RIGHTS_KEPT)
		return;

	if (kept_rights != NULL)
		hash_destroy(kept_rights);
	kept_rights = NULL;
	roles_changed = false;
	kept_generation = CpisGeneration();
	control.keysize = sizeof(KeptKey);
	control.entrysize = sizeof(KeptRights);
	kept_rights = hash_create("cpis scopes", 64, &control, HASH_ELEM | HASH_BLOBS);
}

/*
 * Read the scopes with this value in this column, or, where that is NULL, any: have those
 * taken that count for the role, until "take" answers false.  Answers whether the scopes
 * may be kept in mind.
 */
static bool
scan(Oid role, AttrNumber column, const char *value, const Reading *reading,
	 TakeScope take, void *context)
{
	Relation	table = CpisTableOpen(CPIS_ROLE_SCOPE, AccessShareLock);
	TupleDesc	descriptor = RelationGetDescr(table);
	SysScanDesc scan = systable_beginscan(table, InvalidOid, false, reading->snapshot, 0, NULL);
	bool		keep = ReferenceChangesAreTold(table) && reading->generation == CpisGeneration();
	bool		more = true;
	HeapTuple	tuple;

	while (more && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		char	   *covered = CpisTextAttribute(tuple, descriptor, column);
		char	   *name;
		Oid			scoped;

		if (covered == NULL || (value != NULL && strcmp(covered, value) != 0))
			continue;
		name = CpisTextAttribute(tuple, descriptor, SCOPE_ROLE_NAME);
		scoped = name == NULL ? InvalidOid : get_role_oid(name, true);
		if (!OidIsValid(scoped) || !has_privs_of_role(role, scoped))
			continue;
		keep = keep && !TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetXmin(tuple->t_data));
		more = take(tuple, descriptor, context);
	}
	systable_endscan(scan);
	table_close(table, AccessShareLock);
	return keep;
}

/* Rights as they are put together. */
typedef struct Gathered
{
	bool		any;
	ScopeRights rights;
} Gathered;

/*
 * Add the rights of one scope.
 */
static bool
gather_rights(HeapTuple tuple, TupleDesc descriptor, void *context)
{
	Gathered   *gathered = context;
	ScopeRights *rights = &gathered->rights;
	bool		isnull;
	bool		silently = DatumGetBool(heap_getattr(tuple, SCOPE_MAY_READ_SILENTLY, descriptor, &isnull)) && !isnull;
	bool		device = DatumGetBool(heap_getattr(tuple, SCOPE_MAY_ACT_AS_DEVICE, descriptor, &isnull)) && !isnull;
	int64		event = DatumGetInt64(heap_getattr(tuple, SCOPE_EVENT_ID, descriptor, &isnull));
	int			limit = DatumGetInt32(heap_getattr(tuple, SCOPE_MAX_LOOKUPS_PER_MINUTE, descriptor, &isnull));

	if (isnull)
		limit = 0;
	if (!gathered->any || (rights->max_lookups_per_minute != 0 &&
						   (limit == 0 || limit > rights->max_lookups_per_minute)))
	{
		rights->max_lookups_per_minute = limit;
		rights->counted_by = event;
	}
	rights->may_read_silently = rights->may_read_silently || silently;
	rights->may_act_as_device = rights->may_act_as_device || device;
	gathered->any = true;
	return true;
}

/*
 * Does the role have a scope, of its own or of a role whose privileges it has, that
 * covers this organisation?  Then *rights are what it may do for it.
 */
bool
ScopeCoversOrganisation(Oid role, const char *organisation, const Reading *reading,
						ScopeRights *rights)
{
	Gathered	gathered = {0};
	KeptKey		key;
	KeptRights *kept;
	bool		keep;

	(void) CpisRelationOid(CPIS_ROLE_SCOPE);	/* so that it is watched */
	refresh();
	memset(&key, 0, sizeof(key));	/* it is hashed as bytes */
	key.role = role;
	strlcpy(key.organisation, organisation, sizeof(key.organisation));
	kept = hash_search(kept_rights, &key, HASH_FIND, NULL);
	if (kept != NULL)
	{
		*rights = kept->rights;
		return true;
	}

	keep = scan(role, SCOPE_ORGANISATION, organisation, reading, gather_rights, &gathered);
	*rights = gathered.rights;
	if (gathered.any && keep && !roles_changed && kept_generation == reading->generation)
	{
		kept = hash_search(kept_rights, &key, HASH_ENTER, NULL);
		kept->rights = gathered.rights;
	}
	return gathered.any;
}

static bool
note_cover(HeapTuple tuple, TupleDesc descriptor, void *context)
{
	*(bool *) context = true;
	return false;
}

/*
 * Does the role have a scope, of its own or of a role whose privileges it has, that
 * covers this authority?
 */
bool
ScopeCoversAuthority(Oid role, const char *local_authority)
{
	Reading		reading = ReadingBegin();
	bool		covered = false;

	(void) scan(role, SCOPE_LOCAL_AUTHORITY, local_authority, &reading, note_cover, &covered);
	ReadingEnd(&reading);
	return covered;
}

/*
 * Add the authority of one scope, once.
 */
static bool
list_authority(HeapTuple tuple, TupleDesc descriptor, void *context)
{
	List	  **authorities = context;
	char	   *authority = CpisTextAttribute(tuple, descriptor, SCOPE_LOCAL_AUTHORITY);
	ListCell   *cell;

	foreach(cell, *authorities)
	{
		if (strcmp(lfirst(cell), authority) == 0)
			return true;
	}
	*authorities = lappend(*authorities, authority);
	return true;
}

/*
 * The authorities that the role acts for: a list of C strings.
 */
List *
ScopeAuthorities(Oid role)
{
	Reading		reading = ReadingBegin();
	List	   *authorities = NIL;

	(void) scan(role, SCOPE_LOCAL_AUTHORITY, NULL, &reading, list_authority, &authorities);
	ReadingEnd(&reading);
	return authorities;
}
