// SPDX-License-Identifier: Apache-2.0
//
// How a fork counts its children, without a read-modify-write until one of its continuations is taken. For the
// model checker Spin; run by run_model.sh, what is left out is in README.md.
//
// A fork is a record in its parent's frame: the number of the next child, `steals` (plain), `join` (atomic, INF at
// first). The record is what stands in a deque, and means "start the next child". It is in one deque at most, and
// whoever has taken it out holds it.
//
//   advance                  push it again, unless the next child is the last; run that child
//   taken by a thief or by the run loop                       steals + 1; advance
//   child done, its record is the newest entry here           pop it; advance                          (on path)
//   child done, it is not                                     join - 1; it was 1: resume the parent    (off path)
//   last child done, steals is 0                              resume the parent
//   last child done, steals is not 0; k = INF - steals        join - k; it was k: resume the parent
//
// What is to be shown. The record is pushed once for each child but the last, and each push ends in a pop on path or
// in a steal. So of those children as many end off path as there are steals, whichever they are; also if they wait,
// and go on elsewhere. When the last child starts, `steals` is final.
//
// One child forks as well, so that other records stand above and below. The deques are atomic; a run loop takes the
// newest entry of its own, the oldest of another. Who waits may go on at any time, on any worker.
//
// Properties: each child runs once; a parent is resumed once, when all its children are done; nobody touches a record
// after that; and both forks come to their end (monitor()).
//
// Sizes: WORKERS, CHILDREN of the outer fork, WAITS in all. Faults: README.md.

#ifndef WORKERS
#define WORKERS 2
#endif
#ifndef CHILDREN
#define CHILDREN 3
#endif
#ifndef WAITS
#define WAITS 2
#endif

#define INF 100
#define NOTHING 255

// The children of fork 0 are the tasks 0 .. CHILDREN - 1. Task FORKER is the parent of fork 1, of the next two tasks.
#define FORKS 2
#define FORKER 1
#define TASKS (CHILDREN + 2)
#define fork_of(t) (t < CHILDREN -> 0 : 1)
#define first_child(f) (f == 0 -> 0 : CHILDREN)
#define last_child(f) (f == 0 -> CHILDREN - 1 : TASKS - 1)

// The records.
byte next[FORKS];  // A task.
byte steals[FORKS];
byte join[FORKS];

// The deques: two entries at most. `newer` is NOTHING unless there are two.
byte older[WORKERS];
byte newer[WORKERS];

bool waits[TASKS];
byte waited = 0;

// Of the proof, not of the protocol.
bool done[TASKS];
bool ended[FORKS];

// --- The deques ----------------------------------------------------------------------------------

#define newest(w) (newer[w] != NOTHING -> newer[w] : older[w])

inline push(f) {
  assert(!ended[f] && newer[me] == NOTHING);
  if
  :: older[me] == NOTHING -> older[me] = f
  :: else -> newer[me] = f
  fi
}

inline pop_newest(f) {
  f = newest(me);
  if
  :: newer[me] != NOTHING -> newer[me] = NOTHING
  :: else -> older[me] = NOTHING
  fi
}

inline take_oldest(f, w) {
  f = older[w];
  older[w] = newer[w];
  newer[w] = NOTHING
}

// --- A worker ------------------------------------------------------------------------------------

// `steals` is plain: something may come between the load and the store.
inline count_steal() {
  assert(!ended[f]);
  count = steals[f];
  atomic { steals[f] = count + 1; count = 0 }
}

#define go_on_with(t) atomic { waits[t] -> waits[t] = false; task = t; goto body }

proctype worker(byte me) {
  byte f = NOTHING;     // The fork whose record it holds, or whose child has just ended.
  byte task = NOTHING;  // What it runs.
  byte count = 0;
  byte old = 0;
  byte i;

  if
  :: me == 0 -> f = 0; goto advance
  :: else -> goto run_loop
  fi;

run_loop:
  atomic { f = NOTHING; task = NOTHING; count = 0; old = 0 }
end_run_loop:
  if
  :: atomic { newest(me) != NOTHING -> pop_newest(f) }
  :: atomic { older[(me + 1) % WORKERS] != NOTHING -> take_oldest(f, (me + 1) % WORKERS) }
#if WORKERS > 2
  :: atomic { older[(me + 2) % WORKERS] != NOTHING -> take_oldest(f, (me + 2) % WORKERS) }
#endif
  :: go_on_with(0)
  :: go_on_with(1)
  :: go_on_with(2)
  :: go_on_with(3)
  :: go_on_with(4)
#if CHILDREN > 3
  :: go_on_with(5)
#endif
  fi;
#ifdef COUNT_LATE
  task = next[f];
  next[f]++;
  if
  :: task != last_child(f) -> atomic { push(f) }
  :: else -> skip
  fi;
  count_steal();
  goto body;
#else
  count_steal();
#endif

advance:
  atomic {
    assert(!ended[f]);
    task = next[f];
    next[f]++
  }
  if
  :: task != last_child(f) -> atomic { push(f) }
  :: else -> skip
  fi;

body:
  if
  :: task == FORKER && next[1] == first_child(1) -> f = 1; goto advance
  :: atomic { waited < WAITS -> waited++; waits[task] = true; goto run_loop }
  :: task != FORKER || ended[1] -> skip
  fi;

  // --- Done
  atomic { f = fork_of(task); assert(!done[task]); done[task] = true }
  if
  :: task == last_child(f) ->
     assert(!ended[f]);
     count = steals[f];
     if
     :: count == 0 -> goto resume_parent
     :: else ->
        atomic { old = join[f]; join[f] = old - (INF - count) }
        if
        :: old == INF - count -> goto resume_parent
        :: else -> goto run_loop
        fi
     fi
  :: else ->
     if
     :: atomic { newest(me) == f -> pop_newest(f) }
#ifdef REPUSH
        atomic { push(f) }
        goto run_loop
#else
        goto advance
#endif
     :: atomic { newest(me) != f -> assert(!ended[f]); old = join[f]; join[f]-- }
        if
        :: old == 1 -> goto resume_parent
        :: else -> goto run_loop
        fi
     fi
  fi;

resume_parent:
  atomic {
    assert(!ended[f]);
    ended[f] = true;
    for (i : first_child(f) .. last_child(f)) {
      assert(done[i])
    }
    i = 0;
    if
    :: f == 1 -> task = FORKER; goto body
    :: else -> goto run_loop
    fi
  }
}

// --- The properties ------------------------------------------------------------------------------

proctype monitor() {
  byte i;
  atomic {
    timeout ->
    assert(ended[0] && ended[1]);
    for (i : 0 .. WORKERS - 1) {
      assert(older[i] == NOTHING && newer[i] == NOTHING)
    }
  }
}

init {
  byte i;
  atomic {
    for (i : 0 .. FORKS - 1) {
      next[i] = first_child(i);
      join[i] = INF
    }
    for (i : 0 .. WORKERS - 1) {
      older[i] = NOTHING;
      newer[i] = NOTHING;
      run worker(i)
    }
    run monitor()
  }
}
