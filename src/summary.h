/*-------------------------------------------------------------------------
 *
 * summary.h
 *	  Summaries of the trail for analysts.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_SUMMARY_H
#define CPIS_SUMMARY_H

extern bool SummariseNext(int64 *events);
extern int64 SummaryFirstMissing(void);
extern void SummariseAcknowledgements(void);
extern void SummariseAnswers(int64 submission_id);

#endif							/* CPIS_SUMMARY_H */
