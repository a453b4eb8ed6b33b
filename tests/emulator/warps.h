/* What the threads of a warp do together, by exchanges of values. */

/* The lane of a shuffle, and whether it is in range; out of range each has its own value. */
#define SHUFFLE(mode, lane, condition)                                                      \
    static inline b32 shuffle_##mode(thread *t, b32 a, u32 b, u32 c, b32 mask, pred *in_range) { \
        emulator_exchange(t, mask, a);                                                      \
        int segment = c >> 8 & 31, i = t->laneid;                                           \
        int last = (i & segment) | (c & 31 & ~segment), first = i & segment, by = b & 31;   \
        int j = lane;                                                                       \
        (void)last, (void)first;                                                            \
        *in_range = condition;                                                              \
        if (!*in_range) j = i;                                                              \
        /* A lane that does not take part gives no value that one could count on. */        \
        return t->group >> j & 1 ? t->received[j] : ~(b32)0;                                \
    }
SHUFFLE(up, i - by, j >= last)
SHUFFLE(down, i + by, j <= last)
SHUFFLE(bfly, i ^ by, j <= last)
SHUFFLE(idx, first | (by & ~segment), j <= last)

/* A bit for each lane: whether its predicate is true. */
static inline b32 ballot(thread *t, pred a, b32 mask) {
    b32 bits = 0;
    emulator_exchange(t, mask, a);
    for (int i = 0; i < 32; i++) bits |= (t->group >> i & 1 && t->received[i]) << i;
    return bits;
}
static inline pred vote_all(thread *t, pred a, b32 mask) { return ballot(t, a, mask) == t->group; }
static inline pred vote_any(thread *t, pred a, b32 mask) { return ballot(t, a, mask) != 0; }
static inline pred vote_uni(thread *t, pred a, b32 mask) {
    b32 bits = ballot(t, a, mask);
    return bits == 0 || bits == t->group;
}
