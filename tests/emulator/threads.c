/* Runs a kernel over its grid: block after block, and the threads of a block one after the other.

   Where threads wait for each other, each has a stack of its own. Switching is by setjmp and
   longjmp, which make no system call. A thread runs until it waits or ends; when all do, those whose
   wait is over go on, in turn from the first thread to the last and from the last to the first: so a
   kernel that lacks a barrier is wrong in one of them. The state is the process's, so only one launch
   may run at a time. */

#include "arithmetic.h"
#include "threads.h"

#include <setjmp.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <ucontext.h>

enum { MOST_THREADS = 1024, STACK = 1 << 18 };
enum outcome { SUCCESS, DEADLOCK, TRAP, NO_MEMORY };

typedef struct {
    jmp_buf place;
    ucontext_t start;
    int started;
} fiber;

static thread threads[MOST_THREADS];
static fiber fibers[MOST_THREADS];
static char *stacks, *shared;
static size_t shared_size;
static jmp_buf scheduler, ending;
static kernel_function *kernel;
static char **parameters;

/* --- switching */

static void __attribute__((noinline)) pause_thread(thread *t) {
    if (!_setjmp(fibers[t - threads].place)) _longjmp(scheduler, 1);
}

static void run_threads(int number) {
    for (thread *t = &threads[number];;) { /* a thread of each block in turn */
        kernel(t, parameters);
        t->state = DONE;
        pause_thread(t);
    }
}

static void __attribute__((noinline)) resume(int number) {
    fiber *f = &fibers[number];
    if (_setjmp(scheduler)) return;
    if (f->started) _longjmp(f->place, 1);
    f->started = 1;
    getcontext(&f->start);
    f->start.uc_stack.ss_sp = stacks + (size_t)number * STACK;
    f->start.uc_stack.ss_size = STACK;
    makecontext(&f->start, (void (*)(void))run_threads, 1, number);
    setcontext(&f->start);
}

/* --- what kernels call */

void emulator_barrier(thread *t, u32 barrier) {
    t->state = AT_BARRIER;
    t->barrier = barrier;
    pause_thread(t);
}

void emulator_exchange(thread *t, b32 mask, b32 value) {
    t->state = AT_EXCHANGE;
    t->mask = mask;
    t->given = value;
    pause_thread(t);
}

void emulator_trap(void) { _longjmp(ending, TRAP); }

/* --- the end of a wait */

static int release_barrier(int count) {
    int waiting = 0;
    u32 barrier = 0;
    for (int i = 0; i < count; i++) {
        if (threads[i].state == DONE) continue;
        if (threads[i].state != AT_BARRIER) return 0;
        if (waiting++ && threads[i].barrier != barrier) return 0;
        barrier = threads[i].barrier;
    }
    for (int i = 0; i < count; i++)
        if (threads[i].state == AT_BARRIER) threads[i].state = READY;
    return waiting;
}

/* Threads of a warp that name the same mask exchange when all in it that have not ended are there. */
static int release_warp(thread *warp, int lanes) {
    int released = 0;
    for (int first = 0; first < lanes; first++) {
        b32 mask = warp[first].mask, there = 0, missing = 0, values[32];
        if (warp[first].state != AT_EXCHANGE || !(mask >> first & 1)) continue;
        for (int i = 0; i < lanes; i++) {
            if (!(mask >> i & 1) || warp[i].state == DONE) continue;
            if (warp[i].state == AT_EXCHANGE && warp[i].mask == mask) there |= 1u << i;
            else missing |= 1u << i;
            values[i] = warp[i].given;
        }
        if (missing) continue;
        for (int i = 0; i < lanes; i++) {
            if (!(there >> i & 1)) continue;
            memcpy(warp[i].received, values, sizeof values);
            warp[i].group = there;
            warp[i].state = READY;
            released++;
        }
    }
    return released;
}

static int run_waiting_block(int count) {
    for (int forward = 1;; forward = !forward) {
        int left = 0, released;
        for (int n = 0; n < count; n++) {
            int i = forward ? n : count - 1 - n;
            if (threads[i].state == READY) resume(i);
            left += threads[i].state != DONE;
        }
        if (!left) return SUCCESS;
        released = release_barrier(count);
        for (int i = 0; i < count; i += 32)
            released += release_warp(&threads[i], count - i < 32 ? count - i : 32);
        if (!released) return DEADLOCK;
    }
}

/* --- a launch */

static int prepare(size_t size) {
    if (!stacks) {
        void *found = mmap(NULL, (size_t)MOST_THREADS * STACK, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (found == MAP_FAILED) return NO_MEMORY;
        stacks = found;
    }
    if (size > shared_size || !shared) {
        free(shared);
        shared_size = (size + 4096) / 4096 * 4096;
        shared = aligned_alloc(4096, shared_size);
    }
    return shared ? SUCCESS : NO_MEMORY;
}

static void place(thread *t, int number, const u32 *block) {
    t->tid[0] = number % block[0];
    t->tid[1] = number / block[0] % block[1];
    t->tid[2] = number / block[0] / block[1];
    t->laneid = number % 32;
    t->warpid = number / 32;
    t->state = READY;
}

int emulator_run(kernel_function *function, char **given, const u32 *grid, const u32 *block,
                 size_t shared_bytes, int threads_wait) {
    u32 x, y, z;
    int count = block[0] * block[1] * block[2], outcome = prepare(shared_bytes);
    if (outcome) return outcome;
    kernel = function;
    parameters = given;
    outcome = _setjmp(ending);
    if (outcome) { /* threads stand where they were; the next launch begins anew */
        memset(fibers, 0, sizeof fibers);
        return outcome;
    }
    for (int i = 0; i < count; i++) {
        memcpy(threads[i].ntid, block, sizeof threads[i].ntid);
        memcpy(threads[i].nctaid, grid, sizeof threads[i].nctaid);
        threads[i].shared = shared;
    }
    for (z = 0; z < grid[2]; z++)
        for (y = 0; y < grid[1]; y++)
            for (x = 0; x < grid[0]; x++) {
                memset(shared, 0xff, shared_bytes); /* what no thread wrote is NaN */
                for (int i = 0; i < count; i++) {
                    place(&threads[i], i, block);
                    threads[i].ctaid[0] = x, threads[i].ctaid[1] = y, threads[i].ctaid[2] = z;
                    if (!threads_wait) kernel(&threads[i], parameters);
                }
                if (threads_wait && run_waiting_block(count)) _longjmp(ending, DEADLOCK);
            }
    return SUCCESS;
}
