/*-------------------------------------------------------------------------
 *
 * register.h
 *	  The register: plans, authorities, organisations and care settings.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_REGISTER_H
#define CPIS_REGISTER_H

#include "nodes/pg_list.h"
#include "reference.h"
#include "utils/date.h"

/* A plan held, with what is told of the authority responsible. */
typedef struct HeldPlan
{
	int64		plan_id;
	char	   *plan_type;
	DateADT		start_date;
	bool		has_end_date;
	DateADT		end_date;
	char	   *local_authority;
	char	   *local_authority_name;
	char	   *office_hours_phone; /* or NULL */
	char	   *emergency_duty_phone;
} HeldPlan;

extern bool RegisterHasOrganisation(const char *code, const Reading *reading);
extern char *RegisterOrganisationName(const char *code, const Reading *reading);
extern bool RegisterHasCareSetting(const char *code, const Reading *reading);
extern void RegisterRequireAuthority(const char *code);
extern void RegisterRequireOrganisation(const char *code);
extern char *RegisterNumberEquality(Oid number_type);
extern List *RegisterPlansHeld(int32 nhs_number, DateADT today,
							   const Reading *reading);

#endif							/* CPIS_REGISTER_H */
