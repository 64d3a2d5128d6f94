/* A model of docs/replication-protocol.md for spin. tests/protocol/check searches all of its runs.
 *
 * Three places (directories of a database, with the process on them) do whatever the protocol allows, one step at a
 * time and in any order. Time is not modelled: whatever may be silent, late or lost is so at any moment, so that
 * "the master was silent" is always possible, and safety never rests on it.
 *
 * A history is the event at its end. Events lie in a tree: `path[e]` is the set of the events from the beginning up to
 * e, so that "a is in the history that ends with b" is one bit. The program knows no such sets; it compares epochs, LSNs
 * and checksums. Where a rule compares, the model does the same, and the sets serve to see whether it was right.
 *
 * A connection of a follower has two ends that need not agree: `source_of[f]` and, at the other one, SERVES(s, f). An
 * event or an acknowledgement arrives in the step that sends it: one that arrives later does what it would have done at
 * once, since the follower does nothing else while it streams, and the source may look at an acknowledgement as late as it
 * likes, also when the follower has long left. A state is on its way for as long as anything else can happen.
 *
 * Flags of a run; tests/protocol/check has the list of runs:
 *   WRITES EPOCHS FORCED CRASHES ORDERS   how often each may happen
 *   ACKS         --replication-min-acks
 *   PROMISES     followers are counted, and may become masters with the promises of the others; without it all count
 *   LATE         events become durable in a step of their own
 *   COLLIDE      different events may have equal checksums: epochs alone tell histories apart
 *   COPIES       a directory is copied to another place, once
 *   RETENTION    events are dropped from logs, so that states are sent
 *   STRANGER     place 2 holds another database
 *   TAIL         a master that is killed may lose the end of its log (--wal-fsync=false)
 *   CALM         a follower loses a connection only when its source has ended it
 *   DEMOTION     a fenced node goes on as follower without a restart
 *   NO_...       takes a rule out
 *   NEVER_...    claims that something never happens, to see that it does
 */

#ifndef WRITES
#define WRITES 2
#endif
#ifndef EPOCHS
#define EPOCHS 2
#endif
#ifndef FORCED
#define FORCED 1
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef ORDERS
#define ORDERS 0
#endif
#ifndef ACKS
#define ACKS 1
#endif

#define PLACES 3
#define NONE 3
#define EVENTS 8

/* Roles. An in-sync follower and one that catches up differ in nothing that is safe or not. */
#define DOWN 0
#define MASTER 1
#define FENCED 2
#define CONNECTING 3
#define STREAMING 4
#define TAKING 5   /* a state */
#define DIVERGED 6

#define BIT(i) (1 << (i))
#define HAS(set, i) (((set) >> (i)) & 1)

/* ---- events; event 0 is the empty history of every database ---- */

byte events = 1;
byte path[EVENTS];
byte lsn[EVENTS];
byte epoch_of[EVENTS];    /* number * 4 + random id, so that epochs are ordered by both; 0 before the first promotion */
byte start_of[EVENTS];    /* the event that began that epoch */

#define IN(event, history) HAS(path[history], event)
#define EPOCH(p) epoch_of[engine[p]]
/* A state and its events say of which database they are; the stranger's begins with event 1. */
#ifdef STRANGER
#define DATABASE_OF(history) IN(1, history)
#else
#define DATABASE_OF(history) 0
#endif
#define NUMBER(epoch) ((epoch) >> 2)

byte owner[16];           /* of an epoch: the node id that its event names, plus one */

/* ---- places ---- */

byte role[PLACES];
byte node_id[PLACES];
bit database[PLACES];
bit moved[PLACES];        /* the stored place is another one: a copy that has not been started yet */
bit lost_tail[PLACES];    /* not closed cleanly, and nothing was synced */
byte durable[PLACES];
byte engine[PLACES];      /* what is applied, and perhaps not durable */
byte dropped[PLACES];     /* the last LSN that is no longer in the log */
byte known[PLACES];       /* the known epoch */
byte list[PLACES];        /* the counted followers as the master told them, durable */
byte list_epoch[PLACES];
byte counted[PLACES];     /* at a master: whose acknowledgements count */
byte candidate[PLACES];   /* the epoch that this node asks promises for */
byte promised[PLACES];    /* who gave them, and is not ahead */
byte waiting[PLACES];     /* the event of a pending reply */
bit order[PLACES];        /* the operator's order to discard, not used yet */

/* ---- connections ---- */

byte source_of[PLACES];
byte sent[PLACES];        /* the LSN of the last event that came */
byte state[PLACES];       /* the history whose state is being taken */
byte serves[PLACES];      /* sets of followers */
byte acknowledged[9];     /* follower * 3 + source: in this session */

#define SERVES(s, f) HAS(serves[s], f)
#define LINK(f, s) ((f) * 3 + (s))

/* ---- what only the checks know ---- */

byte writes, crashes, epochs, forces, orders;
byte released;            /* events of writes that were told as acknowledged */
byte forced;              /* first events of epochs that an operator began without the promises */
byte given_up;            /* events that somebody gave up on an order */
byte orders_left[PLACES];
byte appender[16];        /* of an epoch: the place that appended in it, plus one */
byte stranger_appender;
bit copied;

bit I1_is_broken, I2_is_broken, I3_is_broken, I4_is_broken, was_reached;

#define BREAKS(invariant) invariant##_is_broken = 1; assert(!invariant##_is_broken)

#define REACHED was_reached = 1; assert(!was_reached)

/* Scratch of one step, zero between steps. */
byte n, m, x, y;

/* A released write that the history `h` should have. Not if it was given up on an order, or on the way to h an epoch was
 * begun without the promises. */
#define MUST_HAVE(h, w) (HAS(released, w) && !HAS(given_up, w) && epoch_of[w] < epoch_of[h] && !(forced & path[h] & ~path[w]))

inline check_I1_of(h) {
    d_step {
    y = 1;
    do
    :: y < events ->
        if
        :: MUST_HAVE(h, y) && !IN(y, h) -> BREAKS(I1)
        :: else
        fi;
        y++
    :: else -> break
    od;
    y = 0
    }
}

/* After w was released: the masters of later epochs that there are already. */
inline check_I1_after(w) {
    d_step {
    y = 1;
    do
    :: y < events ->
        if
        :: start_of[y] == y && MUST_HAVE(y, w) && !IN(w, y) -> BREAKS(I1)
        :: else
        fi;
        y++
    :: else -> break
    od;
    y = 0
    }
}

inline append(p, epoch) {
    d_step {
    path[events] = path[engine[p]] | BIT(events);
    lsn[events] = lsn[engine[p]] + 1;
    epoch_of[events] = epoch;
    start_of[events] = (epoch == epoch_of[engine[p]] -> start_of[engine[p]] : events);
    engine[p] = events;
    events++;
    if
    :: database[p] && epoch == 0 ->
        if
        :: stranger_appender != 0 && stranger_appender != p + 1 -> BREAKS(I2)
        :: else
        fi;
        stranger_appender = p + 1
    :: else ->
        if
        :: appender[epoch] != 0 && appender[epoch] != p + 1 -> BREAKS(I2)
        :: else
        fi;
        appender[epoch] = p + 1
    fi
    }
}

/* ---- changes of role (R3, R4) ---- */

inline leave_source(p) {
    source_of[p] = NONE;
    sent[p] = 0;
    state[p] = 0
}

/* A change of generation: sessions end, and replies that wait are told that the write may or may not be counted. */
inline change_generation(p) {
#ifndef NO_R3
    waiting[p] = 0;
    serves[p] = 0;
    acknowledged[LINK(0, p)] = 0;
    acknowledged[LINK(1, p)] = 0;
    acknowledged[LINK(2, p)] = 0
#else
    skip
#endif
}

inline settle(p) {
#ifndef NO_R4
    if
    :: engine[p] != durable[p] ->
        if
        :: durable[p] = engine[p]
        :: engine[p] = durable[p]
        fi
    :: else
    fi
#else
    skip
#endif
}

/* The known epoch, told by anybody but the own source, rises. */
inline learn(p, epoch) {
    known[p] = epoch;
    if
    :: role[p] == MASTER ->
        settle(p);
        role[p] = FENCED;
        change_generation(p)
#ifndef NO_R2_LEAVE
    :: role[p] == STREAMING || role[p] == TAKING ->
        settle(p);
        leave_source(p);
        role[p] = CONNECTING
#endif
    :: else
    fi;
    candidate[p] = 0;
    promised[p] = 0
}

/* Draws an epoch after the known one into x. Random ids are never the same: owner[] tells which are taken. A second one of
 * a number comes before the first or after it. */
#define FIRST_ID(p) ((NUMBER(known[p]) + 1) * 4 + 2)
#define CAN_DRAW(p) (epochs < EPOCHS && events < EVENTS && (owner[FIRST_ID(p) - 1] == 0 || owner[FIRST_ID(p) + 1] == 0))

inline draw_epoch(p) {
#ifdef NO_R2_ID
    x = FIRST_ID(p)
#else
    if
    :: owner[FIRST_ID(p)] == 0 -> x = FIRST_ID(p)
    :: owner[FIRST_ID(p)] != 0 && owner[FIRST_ID(p) - 1] == 0 -> x = FIRST_ID(p) - 1
    :: owner[FIRST_ID(p)] != 0 && owner[FIRST_ID(p) + 1] == 0 -> x = FIRST_ID(p) + 1
    fi;
    owner[x] = 15 /* until it is begun */
#endif
}

/* Begins epoch `epoch` at p, with its event durable. */
inline begin_epoch(p, epoch) {
    owner[epoch] = node_id[p] + 1;
    known[p] = epoch;
    settle(p);
    leave_source(p);
    change_generation(p);
    append(p, epoch);
    durable[p] = engine[p];
    counted[p] = 0;
    candidate[p] = 0;
    promised[p] = 0;
    lost_tail[p] = 0;
    role[p] = MASTER
}

/* ---- start ---- */

/* Whether the last epoch of the history was begun by this node. Epoch 0 of a database belongs to the node that created
 * it. */
#define IS_OWN(p) (epoch_of[durable[p]] == 0 -> (node_id[p] == (database[p] -> 2 : 0)) : (owner[epoch_of[durable[p]]] == node_id[p] + 1))
#define IS_FENCED(p) (known[p] > epoch_of[durable[p]])

inline notice_copy(p) {
#ifndef NO_R1
    if
    :: moved[p] ->
        node_id[p] = 3 + p;
        moved[p] = 0;
        list[p] = 0;
        list_epoch[p] = 0
    :: else
    fi
#else
    moved[p] = 0
#endif
}

inline start_as_master(p) {
    notice_copy(p);
    if
    :: IS_FENCED(p) -> role[p] = FENCED
    :: else ->
        if
#ifdef NO_R2_OWNER
        :: true -> role[p] = MASTER
#else
#ifdef NO_TAIL
        :: IS_OWN(p) -> role[p] = MASTER
        :: !IS_OWN(p) && CAN_DRAW(p) ->
#else
        :: IS_OWN(p) && !lost_tail[p] -> role[p] = MASTER
        :: (!IS_OWN(p) || lost_tail[p]) && CAN_DRAW(p) ->
#endif
            draw_epoch(p);
            epochs++;
            begin_epoch(p, x);
            forced = forced | BIT(engine[p])
        :: else /* beyond what is modelled */
#endif
        fi
    fi;
    x = 0
}

inline start_as_follower(p) {
    notice_copy(p);
    if
    :: epoch_of[durable[p]] != 0 && IS_OWN(p) && !IS_FENCED(p) && !lost_tail[p] -> role[p] = MASTER
    :: else -> role[p] = CONNECTING
    fi
}

inline crash(p) {
    crashes++;
#ifdef TAIL
    if
    :: role[p] == MASTER && durable[p] != start_of[durable[p]] && lsn[durable[p]] > dropped[p] ->
        /* one event; its predecessor is the one with the LSN before it on the path */
        x = 0;
        do
        :: !(IN(x, durable[p]) && lsn[x] + 1 == lsn[durable[p]]) -> x++
        :: else -> break
        od;
        durable[p] = x;
        x = 0;
        lost_tail[p] = 1
    :: else
    fi;
#endif
    engine[p] = durable[p];
    role[p] = DOWN;
    leave_source(p);
    waiting[p] = 0;
    serves[p] = 0;
    candidate[p] = 0;
    promised[p] = 0;
    acknowledged[LINK(0, p)] = 0;
    acknowledged[LINK(1, p)] = 0;
    acknowledged[LINK(2, p)] = 0
}

/* ---- the handshake: proof or order (R1, R2, R5) ---- */

inline connect(f, s) {
    source_of[f] = s;
    serves[s] = serves[s] | BIT(f);
    acknowledged[LINK(f, s)] = durable[f]
}

inline take_events(f, s) {
    connect(f, s);
    sent[f] = lsn[durable[f]];
    role[f] = STREAMING
}

inline take_state(f, s) {
    connect(f, s);
    acknowledged[LINK(f, s)] = 0;
    state[f] = durable[s];
    role[f] = TAKING
}

inline diverged(f, s) {
    if
    :: order[f] -> take_state(f, s)
    :: else -> role[f] = DIVERGED
    fi
}

#ifdef COLLIDE
#define SAME_CHECKSUM(a, b) true
#else
#define SAME_CHECKSUM(a, b) ((a) == (b))
#endif

#ifdef NO_R1
#define SAME_DATABASE(a, b) true
#define SAME_NODE(a, b) false
#else
#define SAME_DATABASE(a, b) (database[a] == database[b])
#define SAME_NODE(a, b) (node_id[a] == node_id[b])
#endif

/* s decides what f gets. f tells LSN, checksum and epochs of durable[f]. */
inline subscribe(f, s) {
    if
    :: !SAME_DATABASE(f, s) -> diverged(f, s)
    :: else ->
        if
        :: SAME_NODE(f, s) -> skip
#ifndef NO_R2
        :: !SAME_NODE(f, s) && known[f] > known[s] -> learn(s, known[f])
        :: !SAME_NODE(f, s) && known[f] <= known[s] ->
            known[f] = known[s];
#else
        :: !SAME_NODE(f, s) ->
#endif
            if
            :: role[s] == FENCED || role[s] == DIVERGED -> role[f] = CONNECTING
            :: else ->
                /* x: the source's event at the follower's LSN */
                d_step {
                x = durable[s];
                do
                :: lsn[x] > lsn[durable[f]] -> /* one event back */
                    y = 0;
                    do
                    :: !(IN(y, x) && lsn[y] + 1 == lsn[x]) -> y++
                    :: else -> break
                    od;
                    x = y
                :: else -> break
                od;
                y = 0
                };
                if
#ifdef NO_R5
                :: lsn[durable[f]] < dropped[s] || (dropped[s] > 0 && lsn[x] < lsn[durable[f]]) -> take_state(f, s)
                :: lsn[durable[f]] >= dropped[s] && !(dropped[s] > 0 && lsn[x] < lsn[durable[f]]) ->
#else
                :: durable[f] == 0 && dropped[s] > 0 -> take_state(f, s)
                :: durable[f] == 0 && dropped[s] == 0 -> take_events(f, s)
                :: durable[f] != 0 ->
#endif
                    if
                    :: lsn[x] < lsn[durable[f]] -> diverged(f, s)
                    :: lsn[x] == lsn[durable[f]] && start_of[x] != start_of[durable[f]] -> diverged(f, s)
                    :: lsn[x] == lsn[durable[f]] && start_of[x] == start_of[durable[f]] ->
                        if
                        :: lsn[x] < dropped[s] ->
                            /* The weakest proof by marks: equal at the event that began the epoch. */
                            take_state(f, s)
                        :: lsn[x] >= dropped[s] && SAME_CHECKSUM(x, durable[f]) -> take_events(f, s)
                        :: lsn[x] >= dropped[s] && !SAME_CHECKSUM(x, durable[f]) -> diverged(f, s)
                        fi
                    fi
                fi
            fi
        fi
    fi;
    x = 0
}

/* The state is whole, and takes the place of what was there. */
inline install_state(f) {
    if
    :: database[f] == DATABASE_OF(state[f]) && IN(durable[f], state[f])
    :: else ->
        if
        :: durable[f] == 0 -> skip
        :: durable[f] != 0 && orders_left[f] > 0 ->
            orders_left[f]--;
            given_up = given_up | (path[durable[f]] & ~path[state[f]]);
#ifdef NEVER_ORDERED
            REACHED;
#endif
        :: else -> BREAKS(I3)
        fi;
#ifndef NO_R5_ONCE
        order[f] = 0
#endif
    fi;
#ifdef NEVER_STATE
    REACHED;
#endif
    change_generation(f);
    durable[f] = state[f];
    engine[f] = state[f];
    dropped[f] = lsn[state[f]];
    if
    :: database[f] != DATABASE_OF(state[f]) ->
        database[f] = DATABASE_OF(state[f]);
        known[f] = epoch_of[state[f]];
        list[f] = 0;
        list_epoch[f] = 0
    :: else
    fi;
    lost_tail[f] = 0;
    sent[f] = lsn[state[f]];
    if
    :: SERVES(source_of[f], f) -> acknowledged[LINK(f, source_of[f])] = state[f]
    :: else
    fi;
    state[f] = 0;
    role[f] = STREAMING
}

/* The event e arrives. One whose LSN the engine holds already is skipped, as after a connection that began anew. */
inline receive(f, e) {
    sent[f]++;
    if
    :: lsn[e] > lsn[engine[f]] && path[e] == (path[engine[f]] | BIT(e)) && database[f] == DATABASE_OF(e) ->
        engine[f] = e;
#ifndef LATE
        durable[f] = e;
        acknowledged[LINK(f, source_of[f])] = e
#endif
    :: lsn[e] > lsn[engine[f]] && !(path[e] == (path[engine[f]] | BIT(e)) && database[f] == DATABASE_OF(e)) ->
        BREAKS(I3)
    :: lsn[e] <= lsn[engine[f]] && IN(e, engine[f])
    :: lsn[e] <= lsn[engine[f]] && !IN(e, engine[f]) -> BREAKS(I3)
    fi
}

/* ---- replies (R3) ---- */

#ifndef PROMISES
#define COUNTS(f, s) true
#else
#define COUNTS(f, s) HAS(counted[s], f)
#endif
#define ACKED(f, s, l) ((f) != (s) && SERVES(s, f) && COUNTS(f, s) && lsn[acknowledged[LINK(f, s)]] >= (l))
#define ACKS_OF(s, l) (ACKED(0, s, l) + ACKED(1, s, l) + ACKED(2, s, l))
#define HOLDS(f, s, e) ((f) != (s) && (IN(e, durable[f]) || HAS(given_up, e)))
#define HOLDERS(s, e) (HOLDS(0, s, e) + HOLDS(1, s, e) + HOLDS(2, s, e))

#ifdef NO_R3
#define MAY_RELEASE(s) true
#else
#define MAY_RELEASE(s) (role[s] == MASTER)
#endif

inline release(s) {
    released = released | BIT(waiting[s]);
    if
    :: !IN(waiting[s], durable[s]) || HOLDERS(s, waiting[s]) < ACKS -> BREAKS(I4)
    :: else
    fi;
#ifdef NEVER_RELEASED
    REACHED;
#endif
#ifdef NEVER_RELEASED_AFTER_PROMOTION
    if
    :: epoch_of[waiting[s]] > 0 -> REACHED
    :: else
    fi;
#endif
    check_I1_after(waiting[s]);
    waiting[s] = 0
}

/* ---- the list of counted followers, and promises (R6, R7) ---- */

inline tell_list(s, g, f) {
    list[g] = (list_epoch[g] == EPOCH(s) -> list[g] : 0) | counted[s] | BIT(f);
    list_epoch[g] = EPOCH(s)
}

#define KNOWS_LIST(g, s, f) (list_epoch[g] == EPOCH(s) && (list[g] & (counted[s] | BIT(f))) == (counted[s] | BIT(f)))
#define CONFIRMED(g, s, f) (!HAS(counted[s], g) || KNOWS_LIST(g, s, f))

#define AHEAD(q, p) (epoch_of[durable[q]] > epoch_of[durable[p]] || (epoch_of[durable[q]] == epoch_of[durable[p]] && lsn[durable[q]] > lsn[durable[p]]))

inline ask_promise(p, q) {
#ifndef NO_R7_PROMISE
    learn(q, candidate[p]);
#endif
    if
#ifdef NO_R7_POSITION
    :: true ->
#else
    :: !AHEAD(q, p) ->
#endif
        promised[p] = promised[p] | BIT(q)
    :: skip /* the answer is lost */
    fi
}

#ifdef NO_R7
#define HAS_PROMISES(p) true
#elif defined(NO_R7_EPOCH)
#define HAS_PROMISES(p) (HAS(list[p], p) && (list[p] & ~promised[p]) == 0)
#else
#define HAS_PROMISES(p) (HAS(list[p], p) && list_epoch[p] == EPOCH(p) && (list[p] & ~promised[p]) == 0)
#endif

/* ---- */

inline step_alone() {
    if
    /* A client writes. The role is looked at where the event is appended. One reply waits: an earlier one came to its
     * time limit. */
    :: role[n] == MASTER && writes < WRITES && events < EVENTS ->
        printf("place %d appends event %d in epoch %d.%d\n", n, events, NUMBER(EPOCH(n)), EPOCH(n) & 3);
        writes++;
        append(n, EPOCH(n));
#ifndef LATE
        durable[n] = engine[n];
#endif
        waiting[n] = engine[n]
    :: role[n] != DOWN && engine[n] != durable[n] ->
        printf("place %d has event %d on its disk\n", n, engine[n]);
        durable[n] = engine[n]
    :: waiting[n] != 0 && MAY_RELEASE(n) && lsn[durable[n]] >= lsn[waiting[n]] && ACKS_OF(n, lsn[waiting[n]]) >= ACKS ->
        printf("place %d tells the client that event %d is counted\n", n, waiting[n]);
        release(n)
    :: role[n] != DOWN && crashes < CRASHES ->
        printf("place %d is killed\n", n);
        crash(n)
    :: role[n] == DOWN ->
        printf("place %d is started as master\n", n);
        start_as_master(n)
    :: role[n] == DOWN ->
        printf("place %d is started as follower\n", n);
        start_as_follower(n)
#ifdef DEMOTION
    :: role[n] == FENCED ->
        printf("place %d is made a follower\n", n);
        role[n] = CONNECTING
#endif
#ifdef CALM
    :: source_of[n] != NONE && !SERVES(source_of[n], n) ->
#else
    :: source_of[n] != NONE ->
#endif
        printf("place %d loses its connection to %d\n", n, source_of[n]);
        settle(n);
        leave_source(n);
        role[n] = CONNECTING
    :: role[n] == TAKING ->
        printf("place %d puts the state of event %d in place\n", n, state[n]);
        install_state(n)
#ifdef PROMISES
    /* Becoming master with the promises, for the operator or by itself. */
    :: (role[n] == CONNECTING || role[n] == STREAMING) && candidate[n] == 0 && CAN_DRAW(n) ->
        draw_epoch(n);
        epochs++;
        printf("place %d wants to begin epoch %d.%d\n", n, NUMBER(x), x & 3);
        learn(n, x);
        candidate[n] = x;
        promised[n] = BIT(n);
        x = 0
    :: candidate[n] != 0 && role[n] == CONNECTING && HAS_PROMISES(n) && events < EVENTS ->
        printf("place %d begins epoch %d.%d with event %d\n", n, NUMBER(candidate[n]), candidate[n] & 3, events);
        begin_epoch(n, candidate[n]);
#ifdef NEVER_PROMOTED
        REACHED;
#endif
        check_I1_of(engine[n])
#endif
    /* Without them, by force. */
    :: (role[n] == CONNECTING || role[n] == STREAMING || role[n] == FENCED || role[n] == DIVERGED) && forces < FORCED && CAN_DRAW(n) ->
        draw_epoch(n);
        epochs++;
        forces++;
        printf("place %d is forced to begin epoch %d.%d with event %d\n", n, NUMBER(x), x & 3, events);
        begin_epoch(n, x);
        forced = forced | BIT(engine[n]);
        x = 0
    :: orders < ORDERS && (role[n] == DIVERGED || role[n] == CONNECTING) && !order[n] ->
        printf("place %d gets an order to discard\n", n);
        orders++;
        order[n] = 1;
        orders_left[n]++
#ifdef RETENTION
    :: role[n] != DOWN && dropped[n] < lsn[durable[n]] ->
        printf("place %d drops its events up to LSN %d\n", n, lsn[durable[n]]);
        dropped[n] = lsn[durable[n]]
#endif
    :: else
    fi
}

inline step_of_two() {
    if
    :: (role[n] == CONNECTING || role[n] == DIVERGED) && candidate[n] == 0 && role[m] != DOWN ->
        printf("place %d subscribes to %d\n", n, m);
        subscribe(n, m)
    :: role[n] == STREAMING && source_of[n] == m && SERVES(m, n) && lsn[durable[m]] > sent[n] ->
        d_step {
        x = 0;
        do
        :: !(IN(x, durable[m]) && lsn[x] == sent[n] + 1) -> x++
        :: else -> break
        od
        };
        printf("place %d receives event %d from %d\n", n, x, m);
        d_step {
        receive(n, x);
        x = 0
        }
#ifdef LATE
    :: role[n] == STREAMING && source_of[n] == m && SERVES(m, n) && durable[n] != acknowledged[LINK(n, m)] ->
        printf("place %d acknowledges event %d to %d\n", n, durable[n], m);
        acknowledged[LINK(n, m)] = durable[n]
#endif
#ifndef NO_R2
    :: role[m] != DOWN && role[n] != DOWN && database[n] == database[m] && known[n] > known[m] ->
        printf("place %d tells %d of epoch %d.%d\n", n, m, NUMBER(known[n]), known[n] & 3);
#ifdef NEVER_FENCED
        if
        :: role[m] == MASTER -> REACHED
        :: else
        fi;
#endif
        learn(m, known[n])
#endif
#ifdef PROMISES
    /* n's life frames tell m the list with m in it, or with the third place. */
#ifdef NO_R6
    :: source_of[m] == n && SERVES(n, m) && role[m] == STREAMING ->
#else
    :: role[n] == MASTER && source_of[m] == n && SERVES(n, m) && role[m] == STREAMING ->
#endif
        if
#ifdef NO_R7_COUNTED
        :: x = m
#else
        :: HAS(counted[n], m) || role[n] != MASTER -> x = m
#endif
        :: SERVES(n, 3 - n - m) -> x = 3 - n - m
        :: else -> x = NONE
        fi;
        if
        :: x != NONE ->
            printf("place %d tells %d that %d is counted or will be\n", n, m, x);
            tell_list(n, m, x)
        :: else
        fi;
        x = 0
#ifdef NO_R7_CONFIRM
    :: role[n] == MASTER && SERVES(n, m) && !HAS(counted[n], m) ->
#else
    :: role[n] == MASTER && SERVES(n, m) && !HAS(counted[n], m) && CONFIRMED(0, n, m) && CONFIRMED(1, n, m) && CONFIRMED(2, n, m) ->
#endif
        printf("place %d counts the acknowledgements of %d\n", n, m);
        counted[n] = counted[n] | BIT(m)
    /* A promise: m has not heard the master either, and knows no later epoch. */
    :: candidate[n] != 0 && known[n] == candidate[n] && !HAS(promised[n], m) && role[m] >= CONNECTING &&
       candidate[n] >= known[m] && database[n] == database[m] ->
        printf("place %d asks %d for a promise\n", n, m);
        ask_promise(n, m)
#endif
#ifdef COPIES
    :: !copied && role[m] == DOWN ->
        printf("the directory of %d is copied to %d\n", n, m);
        copied = 1;
        given_up = given_up | (path[durable[m]] & ~path[durable[n]]); /* what was there is overwritten */
        moved[m] = 1;
        database[m] = database[n];
        node_id[m] = node_id[n];
        durable[m] = durable[n];
        engine[m] = durable[n];
        dropped[m] = dropped[n];
        known[m] = known[n];
        list[m] = list[n];
        list_epoch[m] = list_epoch[n];
        counted[m] = counted[n]
#endif
    :: else
    fi
}

active proctype world() {
    d_step {
        path[0] = 1;
        owner[0] = 1;
        node_id[1] = 1;
        node_id[2] = 2;
        role[0] = MASTER;
        role[1] = CONNECTING;
        role[2] = CONNECTING;
        source_of[0] = NONE;
        source_of[1] = NONE;
        source_of[2] = NONE
#ifdef STRANGER
        ;
        database[2] = 1;
        append(2, 0);
        durable[2] = engine[2];
        role[2] = MASTER
#endif
    };
    do
    :: atomic {
        if
        :: n = 0
        :: n = 1
        :: n = 2
        fi;
        if
        :: m = 0
        :: m = 1
        :: m = 2
        fi;
        if
        :: m == n -> step_alone()
        :: m != n -> step_of_two()
        fi;
        n = 0;
        m = 0
    }
    od
}
