/*-------------------------------------------------------------------------
 *
 * mod11.h
 *	  NHS numbers as plain C: check digit, parsing, printing, ranges.
 *
 * Pure C: no PostgreSQL header, no allocation, no global state.  See mod11.c.
 *
 *-------------------------------------------------------------------------
 */
#ifndef CPIS_MOD11_H
#define CPIS_MOD11_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Digits of an NHS number, and of its 3-3-4 form with two separators. */
#define NHS_NUMBER_DIGITS 10
#define NHS_NUMBER_FORMATTED 12

/* The first nine digits, read as an integer, are 0 .. NINE_DIGITS_MAX. */
#define NINE_DIGITS_MAX 999999999

/* What mod11_check_digit() answers for nine digits that are never issued. */
#define CHECK_DIGIT_NONE 10

/* What is wrong with a text that should be an NHS number. */
typedef enum NhsNumberProblem
{
	NHS_NUMBER_VALID = 0,
	NHS_NUMBER_EMPTY,
	NHS_NUMBER_BAD_CHARACTER,
	NHS_NUMBER_BAD_LENGTH,
	NHS_NUMBER_BAD_GROUPING,
	NHS_NUMBER_NEVER_ISSUED,
	NHS_NUMBER_BAD_CHECK_DIGIT
} NhsNumberProblem;

extern int	mod11_check_digit(int32_t nine_digits);
extern NhsNumberProblem mod11_parse(const char *text, size_t length,
									int32_t *nine_digits);
extern NhsNumberProblem mod11_from_integer(int64_t number,
										   int32_t *nine_digits);
extern int64_t mod11_to_integer(int32_t nine_digits);
extern const char *mod11_problem_text(NhsNumberProblem problem);
extern void mod11_print(int32_t nine_digits, char *out);
extern void mod11_print_formatted(int32_t nine_digits, char *out);
extern const char *mod11_region(int32_t nine_digits);
extern bool mod11_is_placeholder(int32_t nine_digits);
extern int32_t mod11_synthetic_count(void);
extern int32_t mod11_synthetic(int32_t n);
extern bool mod11_find(const char *text, size_t from,
					   size_t *start, size_t *end);

#endif							/* CPIS_MOD11_H */
