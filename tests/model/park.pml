// SPDX-License-Identifier: Apache-2.0
//
// Publishing, searching and sleeping, as in scheduler/README.md and workers/README.md, for the model checker
// Spin. Run by run_model.sh; what is left out is in README.md.
//
//   outside() --> injector --+                      +--> own futex
//                            +--> worker() -- park -+
//   a task   --> slot, ring -+                      +--> driver <-- kernel(): an operation completes
//
// Memory. Promela is sequentially consistent, the machine is not. Each race of the protocol is a store and then
// a load on both sides, and each side passes a full barrier in between ([SLEEP], [DRIVER-WAKE]) or does a
// seq_cst read-modify-write ([INJECT], [PARK]); with it the four accesses are sequentially consistent, and only
// then does this model speak for the code. NO_BARRIER takes the publisher's barrier away: its store may sit
// in the store buffer while it reads the idle word. A store buffer shows in nothing but that order, for the
// publisher loads nothing else that it has stored. (On x86 the injector's count is raised with a locked
// instruction, a barrier by itself; the ring's tail is a plain store.)
//
// One step of the model is one access to a word that others write, or a critical section whose parts nobody
// can tell apart. Tasks are alike, so a queue is a number. The sleepers are a set: whom a publisher wakes is
// open, which includes the last one to sleep.
//
// Properties, asserted by monitor() when nothing can move any more:
//   [ALL-RUN]    every task that was published has run.
//   [ALL-ASLEEP] every worker sleeps, is counted as asleep, and one of them sleeps in the driver.
//   [CONSERVED]  with HOG, one task never returns. Then no task waits in the injector or in any ring, the hog's
//                included, while another worker sleeps.
// With NP (non-progress cycles, weak fairness): workers do not look for ever without finding a task.
//
// Sizes: N workers, OUTSIDE tasks published by a thread that is no worker, CHILDREN by running tasks, IO
// operations. TICK: any look may begin at the injector. ASLEEP: all workers sleep at first; else all are awake.
// Faults: README.md.

#ifndef N
#define N 2
#endif
#ifndef OUTSIDE
#define OUTSIDE 2
#endif
#ifndef CHILDREN
#define CHILDREN 1
#endif
#ifndef IO
#define IO 1
#endif

#define NOBODY 255

// Parker's states.
#define EMPTY 0
#define FUTEX 1
#define DRIVER 2
#define NOTIFIED 3

// The idle word.
byte searching = 0;
byte awake = N;
// Guarded by IdleSet's mutex, whose critical sections are single steps.
bool sleeps[N];

// The queues. `pending` is the injector's count, `queued` what a dequeue finds.
short pending = 0;
byte queued = 0;
byte ring[N];
bool thief_copies[N];  // The ring's head is in two parts: a second thief goes elsewhere.
bool slot[N];

byte parker[N];
bool in_futex[N];  // In the kernel, until futex_wake_one().

bool held = false;       // The driver.
bool announced = false;  // sleeping_until_ is not kAwake.
bool event = false;      // The eventfd is readable.
bool completed = false;  // The ring has a completion.

// Of the proof, not of the protocol.
byte published = 0;
byte ran = 0;
byte children = 0;
bool in_driver[N];
bool hogs[N];
bool somebody_hogs = false;

// --- The idle set --------------------------------------------------------------------------------

// take_sleeper(), in two halves. The load before the lock: `w` is NOBODY, or somebody sleeps.
inline load_idle(w) {
  if
  :: searching > 0 || awake == N -> w = NOBODY
  :: else -> w = 0
  fi
}

// The rest: `w` is the worker to wake. One step though start_search() and stop_search() do not lock: a search
// that begins after the second look at `searching` may as well begin after the count is raised, and one
// that ends in between waits for the lock and then sees the raised count.
inline pop_sleeper(w) {
  if
  :: w == NOBODY -> skip
  :: else ->
     atomic {
       if
       :: searching > 0 || awake == N -> w = NOBODY
       :: else ->
          if
          :: sleeps[0] -> w = 0
          :: sleeps[1] -> w = 1
#if N > 2
          :: sleeps[2] -> w = 2
#endif
          fi;
          sleeps[w] = false;
          awake++;
          searching++
       fi
     }
  fi
}

// --- Waking --------------------------------------------------------------------------------------

// Two steps: the exchange of the parker's state, and the shaking.
inline unpark(w) {
  if
  :: w == NOBODY -> skip
  :: else ->
     atomic {
       if
       :: parker[w] == FUTEX -> how = FUTEX
       :: parker[w] == DRIVER -> how = DRIVER
       :: else -> how = EMPTY
       fi;
       parker[w] = NOTIFIED
     }
     atomic {
       if
       :: how == FUTEX -> in_futex[w] = false
       :: how == DRIVER && announced -> event = true
       :: else -> skip
       fi;
       how = EMPTY;
       w = NOBODY
     }
  fi
}

// --- Publishing ----------------------------------------------------------------------------------

inline push_injector(w) {
#ifdef PENDING_LATE
  queued++;
  pending++;
  atomic { load_idle(w) }
#else
#ifdef NO_BARRIER
  if
  :: atomic { load_idle(w) } pending++; queued++
  :: pending++; queued++; atomic { load_idle(w) }
  fi;
#else
  pending++;
  queued++;
  atomic { load_idle(w) }
#endif
#endif
  pop_sleeper(w);
  unpark(w)
}

inline push_ring(w) {
#ifdef NO_BARRIER
  if
  :: atomic { load_idle(w) } ring[me]++
  :: ring[me]++; atomic { load_idle(w) }
  fi;
#else
  ring[me]++;
  atomic { load_idle(w) }
#endif
  pop_sleeper(w);
  unpark(w)
}

proctype outside() {
  byte w = NOBODY;
  byte how = EMPTY;
  byte left = OUTSIDE;
  do
  :: atomic { left > 0 -> left--; published++ }
     push_injector(w)
  :: atomic { left == 0 -> break }
  od
}

// An operation completes at any time, whether anybody waits for it or not.
proctype kernel() {
  byte left = IO;
  do
  :: atomic { left > 0 && !completed -> left--; published++; completed = true }
  :: atomic { left == 0 -> break }
  od
}

// --- A worker ------------------------------------------------------------------------------------

// A batch from the injector: `got` tasks, of which one is run and the others go to the own ring. How many is
// open: the count the share is made of may be outdated. None are found perhaps, though the count says so, while
// an enqueue is in progress.
inline from_injector(limit) {
  if
  :: atomic {
       pending != 0 && queued > 0 ->
       if
       :: true -> got = 1
       :: queued > 1 && limit > 1 -> got = 2
       :: queued > 2 && limit > 2 -> got = 3
       fi;
       queued = queued - got
     }
#ifdef LOWER_EARLY
     atomic { assert(pending >= got); pending = pending - got }
     if
     :: got > 1 -> ring[me] = ring[me] + got - 1
     :: else -> skip
     fi;
#else
     if
     :: got > 1 -> ring[me] = ring[me] + got - 1
     :: else -> skip
     fi;
     atomic { assert(pending >= got); pending = pending - got; got = 0 }
#endif
     goto task
  :: pending == 0 || pending != queued -> skip
  fi
}

// Half of the ring of `v`, rounded up: claimed, copied, given free, published.
inline steal_from(v) {
  if
  :: atomic {
       ring[v] > 0 && !thief_copies[v] ->
       got = ring[v] - ring[v] / 2;
       ring[v] = ring[v] - got;
       thief_copies[v] = true
     }
     atomic { thief_copies[v] = false; v = 0 }
     atomic { ring[me] = ring[me] + got - 1; got = 0; goto task }
  :: ring[v] == 0 || thief_copies[v] -> skip
  fi
}

// reap(), within a step: a task goes into the slot. If there was one, got is 2 and the ring's turn is next. The
// completion of the eventfd's poll may be there or not, unless it is what ended the wait.
inline reap(event_came) {
  if
  :: event -> event = false
  :: !(event_came) -> skip
  fi;
  if
  :: completed && !slot[me] -> completed = false; slot[me] = true; got = 1
  :: completed && slot[me] -> completed = false; got = 2
  :: else -> got = 0
  fi
}

proctype worker(byte me) {
  bool searches = false;  // Local::searching.
  byte w = NOBODY;
  byte how = EMPTY;
  byte got = 0;
  byte v = 0;

#ifdef ASLEEP
  if
  :: me == 0 -> goto end_in_driver
  :: else -> goto end_in_futex
  fi;
#endif
turn:
  // --- next()
#ifdef TICK
  if
  :: true -> skip
  :: true -> from_injector(1)
  fi;
#endif
  if
  :: atomic { slot[me] -> slot[me] = false; goto task }
  :: atomic { slot[me] -> slot[me] = false; ring[me]++ }  // It has had its runs. Wakes nobody.
     atomic {
       if
       :: ring[me] > 0 -> ring[me]--; goto task
       :: else -> skip
       fi
     }
  :: atomic { !slot[me] && ring[me] > 0 -> ring[me]--; goto task }
  :: !slot[me] && ring[me] == 0 -> skip
  fi;
  from_injector(3);

  // --- steal()
  if
  :: searches -> skip
  :: else ->
     if
     :: 2 * searching >= N -> goto events
     :: 2 * searching < N -> skip
     fi;
     atomic { searching++; searches = true }
  fi;
  atomic {
    if
    :: v = (me + 1) % N
#if N > 2
    :: v = (me + 2) % N
#endif
    fi
  }
  steal_from(v);
#if N > 2
  v = N - me - v;  // 0 + 1 + 2 == 3: the third.
  steal_from(v);
#endif
  v = 0;
  from_injector(3);

events:
  // --- look_at_events()
  if
  :: atomic { !held -> held = true }
     atomic { reap(false) }
     if
     :: got == 2 -> push_ring(w)
     :: else -> skip
     fi;
     atomic {
       held = false;
       if
       :: got > 0 -> got = 0; goto turn
       :: else -> skip
       fi
     }
  :: held -> skip
  fi;

  // --- announce_sleep()
  atomic {
    sleeps[me] = true;
    awake--;
    if
    :: searches -> searching--; searches = false; got = 1
    :: else -> got = 0
    fi
  }
#ifndef NO_RECHECK
  // The count first: a batch is in a ring before it leaves the count. The own ring cannot have filled.
  atomic {
    if
    :: slot[me] || pending != 0 -> goto found
    :: else -> skip
    fi
  }
  atomic {
    if
    :: ring[(me + 1) % N] > 0 -> goto found
    :: else -> skip
    fi
  }
#if N > 2
  atomic {
    if
    :: ring[(me + 2) % N] > 0 -> goto found
    :: else -> skip
    fi
  }
#endif
#endif

  // --- park()
  if
  :: atomic { !held -> held = true; got = 0 }
     atomic {
       if
       :: parker[me] != EMPTY -> got = 1
       :: else -> parker[me] = DRIVER
       fi
     }
     if
     :: got == 1 -> got = 0
     :: else ->
        announced = true;
        atomic {
#ifndef NO_DRIVER_RECHECK
          if
          :: parker[me] == NOTIFIED -> got = 1
          :: else -> in_driver[me] = true
          fi
#else
          in_driver[me] = true
#endif
        }
        // One step: a wake() that comes between the return and the end of the announcement may as well come
        // before the return, and leave its mark on the eventfd for the next wait.
end_in_driver:
        atomic {
          got == 1 || event || completed ->
          in_driver[me] = false;
          announced = false;
          reap(event && got == 0 && !completed)
        }
        if
        :: got == 2 -> push_ring(w)
        :: else -> skip
        fi
     fi;
     // One step: who sees the driver held parks, and touches nobody's parker before it sleeps.
     atomic { parker[me] = EMPTY; held = false; got = 0 }
  :: held ->
     atomic {
       if
       :: parker[me] != EMPTY -> got = 1
       :: else -> parker[me] = FUTEX; got = 0
       fi
     }
     // futex_wait() compares and sleeps in one step. The wake-up of an earlier sleep may come late, and
     // end this one.
     do
     :: atomic { got == 0 && parker[me] == FUTEX -> in_futex[me] = true }
end_in_futex:
        !in_futex[me]
     :: atomic { got == 1 || parker[me] != FUTEX -> got = 0; break }
     od;
     parker[me] = EMPTY
  fi;

  // --- wake_up()
  atomic {
    if
    :: sleeps[me] -> sleeps[me] = false; awake++
    :: else -> searches = true
    fi;
    goto turn
  }

found:
  // wake_up(), and a search goes on: who publishes has relied on it.
  atomic {
    if
    :: sleeps[me] ->
       sleeps[me] = false;
       awake++;
#ifndef NO_SEARCH_AGAIN
       if
       :: got == 1 -> searching++; searches = true
       :: else -> skip
       fi
#endif
    :: else -> searches = true
    fi;
    got = 0;
    goto turn
  }

task:
  // --- end_search(), and the task
  atomic {
    v = 0;
    got = 0;
    if
    :: searches ->
       searches = false;
       searching--;
#ifndef NO_LAST_SEARCHER
       if
       :: searching == 0 -> got = 1
       :: else -> skip
       fi
#endif
    :: else -> skip
    fi
  }
  if
  :: got == 1 ->
     atomic { got = 0; load_idle(w) }
     pop_sleeper(w);
     unpark(w)
  :: else -> skip
  fi;
progress_task:
  atomic {
    ran++;
    if
    :: children < CHILDREN -> children++; published++; got = 1
    :: true -> skip
    fi
  }
  if
  :: got == 1 -> got = 0; push_ring(w)
  :: else -> skip
  fi;
#ifdef HOG
  if
  :: atomic { !somebody_hogs -> somebody_hogs = true; hogs[me] = true }
end_hog:
     false
  :: true -> skip
  fi;
#endif
  goto turn
}

// --- The properties --------------------------------------------------------------------------------

proctype monitor() {
  byte i;
  byte waiting = 0;
  byte in_kernel = 0;
  atomic {
    timeout ->
    for (i : 0 .. N - 1) {
      waiting = waiting + ring[i];
      if
      :: hogs[i] -> skip
      :: else ->
         in_kernel = in_kernel + in_driver[i];
         assert(sleeps[i] && (in_driver[i] || in_futex[i]));  // [ALL-ASLEEP]
         assert(!slot[i])                                     // [ALL-RUN]
      fi
    }
    assert(pending == queued && searching == 0);
    assert(awake == somebody_hogs);
    assert(waiting == 0 && pending == 0);  // [CONSERVED]
    if
    :: somebody_hogs -> skip
    :: else ->
       assert(ran == published && !completed);  // [ALL-RUN]
       assert(in_kernel == 1 && held)           // [ALL-ASLEEP]
    fi
  }
}

init {
  byte i;
  atomic {
#ifdef ASLEEP
    awake = 0;
    held = true;
    announced = true;
    in_driver[0] = true;
#endif
    for (i : 0 .. N - 1) {
#ifdef ASLEEP
      sleeps[i] = true;
      in_futex[i] = i > 0;
      parker[i] = (i > 0 -> FUTEX : DRIVER);
#endif
      run worker(i)
    }
    run outside();
    run kernel();
    run monitor()
  }
}
