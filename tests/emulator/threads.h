/* A thread of a kernel, as translated kernels see it. */

typedef struct thread {
    u32 tid[3], ntid[3], ctaid[3], nctaid[3];
    u32 laneid, warpid;
    char *shared; /* the block's */
    /* What the lanes of the warp gave at the latest exchange, and which took part. */
    b32 received[32];
    b32 group;
    /* What this one waits for. */
    enum { READY, AT_BARRIER, AT_EXCHANGE, DONE } state;
    b32 mask, given;
    u32 barrier;
} thread;

typedef void kernel_function(thread *t, char **parameters);

/* Waits for all threads of the block that have not ended. */
void emulator_barrier(thread *t, u32 barrier);
/* Gives a value to the other threads of the warp in the mask, and takes theirs. */
void emulator_exchange(thread *t, b32 mask, b32 value);
/* Ends the launch with an error. */
void emulator_trap(void) __attribute__((noreturn));
