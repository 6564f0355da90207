/*-------------------------------------------------------------------------
 *
 * fail_malloc.c
 *	  Preloaded into a server: makes one allocation of one process fail.
 *
 * The file that FAIL_MALLOC names holds two numbers, mapped by every process
 * that has this library: a process id, and how many allocations that process
 * has still to make until one fails.  At 0, none does.  Whoever writes the
 * file sees how far it has come.  Without the file nothing fails.
 *
 *-------------------------------------------------------------------------
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *old, size_t size);

typedef struct Plan
{
	volatile int64_t pid;
	volatile int64_t allocations;
} Plan;

static Plan *plan;

__attribute__((constructor))
static void
map_plan(void)
{
	const char *name = getenv("FAIL_MALLOC");
	int			file = name ? open(name, O_RDWR) : -1;
	void	   *mapped = MAP_FAILED;

	if (file >= 0)
	{
		mapped = mmap(NULL, sizeof(Plan), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
		close(file);
	}
	plan = mapped == MAP_FAILED ? NULL : mapped;
}

/* Whether this allocation is the one that is to fail. */
static int
fails(void)
{
	if (!plan || plan->allocations == 0 || plan->pid != getpid() || --plan->allocations > 0)
		return 0;
	errno = ENOMEM;
	return 1;
}

void *
malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

void *
calloc(size_t n, size_t size)
{
	return fails() ? NULL : __libc_calloc(n, size);
}

void *
realloc(void *old, size_t size)
{
	return fails() ? NULL : __libc_realloc(old, size);
}
