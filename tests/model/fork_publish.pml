// SPDX-License-Identifier: Apache-2.0
//
// A fork is published without a barrier: who goes to sleep passes it on behalf of all. For the model checker
// Spin; run by run_model.sh, what is left out is in README.md.
//
//   publisher                               worker that found nothing
//   1 store bottom (plain)                  1 announce sleep (read-modify-write of the idle word)
//   2 load the idle word                    2 membarrier
//   3 somebody sleeps, nobody searches:     3 look at the deques
//     wake one                              4 nothing there: sleep
//
// [FORK-SLEEP] The publisher's 2 comes before the sleeper's 1: then its store stands before the membarrier, and the
// sleeper sees the fork. Or it comes after: then the publisher sees the sleeper.
//
// STICKY spares the membarriers as long as nobody has forked: `used` is set for ever before the first push.
//
//   first push                              worker that found nothing
//   1 used = 1                              1 announce sleep
//   2 full barrier                          2 full barrier, load used
//   3 push, load the idle word              3 it is 0: sleep; else as above
//
// Both have a full barrier between their store and their load: one sees the other. With BARRIER_LATE the barrier
// stands between the push and the load, which is as good.
//
// What a worker takes, and twice or not, is fork_deque.pml's matter: the deques are counts here, but that what the
// owner stores to `bottom` is seen late. How a parker works is park.pml's: to sleep and to wake are single steps.
//
// Property, when nothing can move any more (monitor()): no fork waits; all sleep, but for one that may be in a task
// that never returns (HOG), and whose forks others must have taken.
//
// Sizes: N workers, FORKS in all. Faults: README.md.

#ifndef N
#define N 2
#endif
#ifndef FORKS
#define FORKS 2
#endif

#define NOBODY 255

#define OWNERS N
#define USED N
#define CELLS (N + 1)  // bottom of each worker, and used.
#define DEPTH 3
#include "tso.pml"

// The idle word.
byte searching = 0;
byte awake = N;
// Guarded by a mutex, whose critical sections are single steps.
bool sleeps[N];

byte top[N];
byte bottom[N];  // What the owner sees; memory[w] is what others see.

// Of the proof, not of the protocol.
byte forks = 0;
bool somebody_hogs = false;

// --- The idle set: as in park.pml ----------------------------------------------------------------

inline load_idle(w) {
  if
  :: searching > 0 || awake == N -> w = NOBODY
  :: else -> w = 0
  fi
}

inline wake_sleeper(w) {
  if
  :: w == NOBODY -> skip
  :: else ->
     d_step {
       drain(me);
       if
       :: searching > 0 || awake == N -> skip
       :: else ->
          if
          :: sleeps[0] -> w = 0
          :: !sleeps[0] && sleeps[1] -> w = 1
#if N > 2
          :: !sleeps[0] && !sleeps[1] -> w = 2
#endif
          fi;
          sleeps[w] = false;
          awake++;
          searching++
       fi;
       w = NOBODY
     }
  fi
}

// --- Publishing ----------------------------------------------------------------------------------

inline push() {
  atomic { store(me, me, bottom[me] + 1); bottom[me]++ }
}

inline publish() {
#ifdef STICKY
  if
  :: memory[USED] != 0 || buffer[me]??[USED, _] -> push()
  :: else ->
     store(me, USED, 1);
#ifdef FLAG_PLAIN
     push()
#else
#ifdef BARRIER_LATE
     push();
     full_barrier(me)
#else
     full_barrier(me);
     push()
#endif
#endif
  fi;
#else
  push();
#endif
  atomic { load_idle(w) }
  wake_sleeper(w)
}

// --- A worker ------------------------------------------------------------------------------------

// The others pass their barriers one after the other. The own buffer is empty: an RMW comes before each membarrier.
inline membarrier() {
#if N > 2
  if
  :: full_barrier((me + 1) % N);
     full_barrier((me + 2) % N)
  :: full_barrier((me + 2) % N);
     full_barrier((me + 1) % N)
  fi
#else
  full_barrier((me + 1) % N)
#endif
}

inline steal_from(v) {
  if
  :: d_step { top[v] < memory[v] && top[v] < bottom[v] -> drain(me); top[v]++ }
     goto task
  :: top[v] >= memory[v] || top[v] >= bottom[v] -> skip
  fi
}

inline look_at(v) {
  if
  :: atomic { top[v] < memory[v] -> goto found }
  :: top[v] >= memory[v] -> skip
  fi
}

proctype worker(byte me) {
  bool searches = false;
  bool searched = false;
  byte w = NOBODY;

  if
  :: me == 0 -> goto task
  :: else -> skip
  fi;

turn:
  if
  :: atomic { top[me] + 1 < bottom[me] && nfull(buffer[me]) -> bottom[me]--; store(me, me, bottom[me]); goto task }
  :: atomic { top[me] + 1 == bottom[me] -> drain(me); top[me]++; goto task }  // The CAS.
  :: top[me] == bottom[me] -> skip
  fi;

search:
  if
  :: searches -> skip
  :: else ->
     if
     :: 2 * searching >= N -> goto announce
     :: 2 * searching < N -> skip
     fi;
     d_step { drain(me); searching++; searches = true }
  fi;
#ifdef STICKY
  if
  :: memory[USED] == 0 -> goto announce
  :: memory[USED] != 0 -> skip
  fi;
#endif
  membarrier();
  steal_from((me + 1) % N);
#if N > 2
  steal_from((me + 2) % N);
#endif

announce:
  atomic {
    drain(me);
    sleeps[me] = true;
    awake--;
    searched = searches;
    if
    :: searches -> searching--; searches = false
    :: else -> skip
    fi
  }
#ifdef STICKY
  if
  :: memory[USED] == 0 -> goto asleep
  :: memory[USED] != 0 -> skip
  fi;
#endif
#ifndef SLEEP_NO_MEMBARRIER
  membarrier();
#endif
  look_at((me + 1) % N);
#if N > 2
  look_at((me + 2) % N);
#endif
asleep:
  searched = false;
end_asleep:
  atomic { !sleeps[me] -> searches = true; goto search }

found:
  atomic {
    if
    :: sleeps[me] ->
       sleeps[me] = false;
       awake++;
       if
       :: searched -> searching++; searches = true
       :: else -> skip
       fi
    :: else -> searches = true
    fi;
    searched = false
  }
  goto turn;

task:
  atomic {
    if
    :: searches ->
       searches = false;
       searching--;
       if
       :: searching == 0 -> w = 0
       :: else -> skip
       fi
    :: else -> skip
    fi
  }
  wake_sleeper(w);
progress_task:
  do
  :: atomic { forks < FORKS -> forks++ }
     publish()
  :: atomic { !somebody_hogs -> somebody_hogs = true }
end_hog:
     false
  :: goto turn
  od
}

// --- The properties ------------------------------------------------------------------------------

proctype monitor() {
  byte i;
  atomic {
    timeout ->
    for (i : 0 .. N - 1) {
      assert(top[i] == bottom[i] && memory[i] == bottom[i])
    }
    assert(searching == 0 && awake == somebody_hogs)
  }
}

init {
  byte i;
  atomic {
    for (i : 0 .. N - 1) {
      run store_buffer(i);
      run worker(i)
    }
    run monitor()
  }
}
