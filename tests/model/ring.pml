// SPDX-License-Identifier: Apache-2.0
//
// A worker's ring: its owner pushes, takes the oldest and takes the newest; thieves take half of what is ready. For the
// model checker Spin; run by run_model.sh, what is left out is in README.md.
//
//   owner: push, pop_newest at `tail` <--> [ slots ] --> owner: pop at `real`; thief: claims [real, real + half)
//
// What is to be shown. The owner takes the newest task without moving the head, and a thief claims by a CAS of the head
// what it has counted up to a tail that it has read before:
//
//   owner                                    thief
//   1 tail = tail - 1 (plain)                1 load head
//   2 CAS head: one more change              2 load tail; it claims half of [real, tail)
//     real == the old tail: it was claimed;  3 CAS head: real + half, one more change
//     tail = tail + 1, and nothing taken     4 copy the slots; CAS head: steal = real
//
// [RING-BACK] Whichever CAS comes first, the other one fails, for each counts a change. The thief's first: the owner
// sees what was claimed. The owner's first: the thief's head is outdated, or it has loaded the one with that change, and
// then its load of tail sees the lower one, which reached memory before.
//
// Positions wrap at WRAP, as those of the code do at 2^16; so a thief may read a tail that is one below its head, and
// must take that for none. The changes are counted modulo CHANGES, which are never used up; the code has 2^32 of them.
//
// Properties: nothing is taken twice or from nowhere (take()); when all is quiet, all that was pushed has been taken
// (monitor()). What overflows counts as taken.
//
// Sizes: TASKS, N slots, THIEVES, WRAP (a multiple of N, more than 2 N).
// Faults: README.md.

#ifndef TASKS
#define TASKS 4
#endif
#ifndef N
#define N 2
#endif
#ifndef THIEVES
#define THIEVES 2
#endif
#ifndef WRAP
#define WRAP 8
#endif
#ifndef CHANGES
#define CHANGES 64
#endif

#define OWNER 0
#define OWNERS 1
#define TAIL 0
#define SLOTS 1
#define CELLS (SLOTS + N)
#define DEPTH 4
#include "tso.pml"

#define slot_of(i) (SLOTS + (i) % N)
#define distance(from, to) (((to) + WRAP - (from)) % WRAP)
#define plus(i, n) (((i) + (n)) % WRAP)

// One word: written by read-modify-writes alone.
byte steal = 0;
byte real = 0;
byte changes = 0;

// Of the proof, not of the protocol.
byte pushed = 0;
bool taken[TASKS + 1];

// Within a step.
inline take(x) {
  value = x;
  assert(value != 0 && !taken[value]);
  taken[value] = true;
  value = 0
}

inline count_change() {
  changes = (changes + 1) % CHANGES
}

// --- The owner -----------------------------------------------------------------------------------

// Nobody else writes the tail or the slots: it has them in `tail` and `slots`. A load of the head, and a step that
// compares and swaps it, are one here: in between, only a failing CAS would come, and another load.
inline push() {
  if
  :: d_step {
       distance(steal, tail) < N && len(buffer[OWNER]) <= DEPTH - 2 ->
       pushed++;
       slots[slot_of(tail)] = pushed;
       store(OWNER, slot_of(tail), pushed);
       tail = plus(tail, 1);
       store(OWNER, TAIL, tail)
     }
  :: d_step {
       distance(steal, tail) == N && steal != real ->
       pushed++;
       take(pushed)
     }
  :: d_step {
       distance(steal, tail) == N && steal == real ->
       drain(OWNER);
       for (i : 0 .. N / 2 - 1) {
         take(slots[slot_of(plus(real, i))])
       }
       i = 0;
       pushed++;
       take(pushed);
       real = plus(real, N / 2);
       steal = real;
       count_change()
     }
  fi
}

inline pop() {
  d_step {
    distance(real, tail) != 0 ->
    drain(OWNER);
    take(slots[slot_of(real)]);
    if
    :: steal == real -> steal = plus(real, 1)
    :: else -> skip
    fi;
    real = plus(real, 1);
    count_change()
  }
}

inline lower_tail() {
  store(OWNER, TAIL, plus(tail, WRAP - 1))
}

// The CAS, and the look before it: has a thief claimed what is taken here? What was loaded before the tail was lowered
// is outdated, and makes the CAS fail, or has not changed since.
inline tell_head() {
  if
  :: d_step {
#ifndef NO_LOOK
       distance(real, tail) != 0 ->
#endif
       drain(OWNER);
#ifndef NO_COUNT
       count_change();
#endif
       mine = true
     }
#ifndef NO_LOOK
  :: distance(real, tail) == 0 -> skip
#endif
  fi
}

inline pop_newest() {
  distance(real, tail) != 0;
#ifdef TELL_EARLY
  tell_head();
  lower_tail();
#else
  lower_tail();
#ifdef TELL_NOT
  mine = true;
#else
  tell_head();
#endif
#endif
  if
  :: d_step { mine -> tail = plus(tail, WRAP - 1); take(slots[slot_of(tail)]); mine = false }
#ifdef NO_RESTORE
  :: !mine -> tail = plus(tail, WRAP - 1)
#else
  :: !mine -> store(OWNER, TAIL, tail)
#endif
  fi
}

proctype owner() {
  byte tail = WRAP - 1;
  byte slots[CELLS];
  byte i = 0;
  bool mine = false;

  do
  :: pushed < TASKS -> push()
  :: pop()
  :: pop_newest()
  :: distance(real, tail) == 0 && pushed == TASKS -> break
  od
}

// --- A thief -------------------------------------------------------------------------------------

inline load_head() {
  atomic { steal == real -> first = real; seen = changes }
}
inline load_tail() {
  end = memory[TAIL]
}

inline attempt() {
#ifdef TAIL_EARLY
  load_tail();
  load_head();
#else
  load_head();
  load_tail();
#endif
  d_step {
    count = distance(first, end);
#ifndef TRUST_TAIL
    if
    :: count == WRAP - 1 -> count = 0
    :: else -> skip
    fi;
#endif
    count = count - count / 2;
    end = 0
  }
  if
  :: d_step {
       count != 0 && steal == first && real == first && changes == seen ->
       assert(count <= N);
       real = plus(first, count);
       count_change();
#ifdef FREE_EARLY
       steal = real;
#endif
       seen = 0
     }
     do
     :: d_step {
          count != 0 ->
          take(memory[slot_of(first)]);
          first = plus(first, 1);
          count--
        }
     :: d_step { count == 0 -> steal = real; count_change(); first = 0 }
        break
     od
  :: else -> d_step { first = 0; seen = 0; count = 0 }
  fi
}

proctype thief() {
  byte first = 0;
  byte seen = 0;
  byte end = 0;
  byte count = 0;

  do
  :: attempt()
  :: break
  od
}

// --- The properties ------------------------------------------------------------------------------

proctype monitor() {
  byte i;
  atomic {
    timeout ->
    assert(empty(buffer[OWNER]) && steal == real && memory[TAIL] == real);
    for (i : 1 .. pushed) {
      assert(taken[i])
    }
  }
}

init {
  byte i;
  atomic {
    steal = WRAP - 1;
    real = WRAP - 1;
    memory[TAIL] = WRAP - 1;
    run store_buffer(OWNER);
    run owner();
    for (i : 1 .. THIEVES) {
      run thief()
    }
    run monitor()
  }
}
