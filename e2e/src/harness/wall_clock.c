/* Preloaded into one process, whose wall clock shows what a file says: two numbers of 64 bits, in nanoseconds. The second
 * one is the moment at which the clock stands still; where it is 0, the first one is by how much the clock is ahead.
 * Monotonic clocks are the system's, and waits last as long as whoever waits believes.
 *
 * An allocator asks for the time before anything is set up, and holds a lock meanwhile: nothing here allocates. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL

static const int64_t *told;
static int (*real_gettime)(clockid_t, struct timespec *);
static int (*real_timedwait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("WALL_CLOCK_FILE");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    void *mapped = file < 0 ? MAP_FAILED : mmap(NULL, 2 * sizeof *told, PROT_READ, MAP_SHARED, file, 0);
    if (file >= 0) close(file);
    real_timedwait = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    real_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    if (mapped != MAP_FAILED) told = mapped;
}

static int64_t nanos(const struct timespec *time) { return time->tv_sec * SECOND + time->tv_nsec; }

static struct timespec moment(int64_t nanos) {
    struct timespec time = {.tv_sec = nanos / SECOND, .tv_nsec = nanos % SECOND};
    return time;
}

static int system_gettime(clockid_t clock, struct timespec *time) {
    return real_gettime ? real_gettime(clock, time) : (int)syscall(SYS_clock_gettime, clock, time);
}

static int64_t shown(int64_t now) {
    if (!told) return now;
    int64_t still = __atomic_load_n(&told[1], __ATOMIC_RELAXED);
    return still ? still : now + __atomic_load_n(&told[0], __ATOMIC_RELAXED);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = system_gettime(clock, time);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) *time = moment(shown(nanos(time)));
    return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *seconds) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
    if (seconds) *seconds = now.tv_sec;
    return now.tv_sec;
}

/* The kernel waits by the system's clock. */
int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
    struct timespec now, end = *until;
    if (system_gettime(CLOCK_REALTIME, &now) == 0) end = moment(nanos(&now) + nanos(until) - shown(nanos(&now)));
    if (end.tv_sec < 0) end = moment(0);
    return real_timedwait(condition, mutex, &end);
}
