/*-------------------------------------------------------------------------
 *
 * provider_setting.h
 *	  Which care settings of a provider are live.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_PROVIDER_SETTING_H
#define CPIS_PROVIDER_SETTING_H

#include "reference.h"
#include "utils/date.h"

typedef enum ProviderSettingState
{
	PROVIDER_SETTING_LIVE,
	PROVIDER_SETTING_NOT_LIVE,
	PROVIDER_SETTING_WITHOUT_RECORD
} ProviderSettingState;

extern bool cpis_require_go_live;

extern ProviderSettingState ProviderSettingFind(const char *organisation, const char *care_setting,
												DateADT today, const Reading *reading);

#endif							/* CPIS_PROVIDER_SETTING_H */
