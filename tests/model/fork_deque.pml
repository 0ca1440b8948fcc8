// SPDX-License-Identifier: Apache-2.0
//
// The fork deque: its owner pushes and pops without a barrier while the gate says that nobody steals. For the
// model checker Spin; run by run_model.sh, what is left out is in README.md.
//
//   owner: push, pop at `bottom` --> [ slots ] --> thief: steal at `top`
//   owner                          <-- gate <--    thief: raised while it steals
//
// What is to be shown. Pop stores `bottom` and then loads `top`; a thief loads `top` and then `bottom`. While the
// owner's store waits in its store buffer, both take the same item. Chase and Lev put a barrier there. Here:
//
//   owner                                   thief
//   1 store bottom                          1 raise the gate (read-modify-write)
//   2 load the gate; not 0: barrier         2 membarrier
//   3 load top                              3 load top, bottom, the slot; CAS of top
//                                           4 lower the gate
//
// [GATE] The owner loads 0: either before the thief's 1, then its store stands before the membarrier and is visible
// to the thief's 3. Or after the thief's 4, then its load of top comes after the thief's: what it takes without a CAS
// stands above what the thief may still take.
//
// pop_if(x) compares the newest slot with x before it stores anything, and ends there if they differ; else it is
// pop. So the model has pop only. It comes at any time, also when the deque is empty and the slot still holds
// what was stolen from it.
//
// Growth: once, from N slots to 2 N, into a second array. The first one stays as it is, for thieves still read it.
//
// Properties: nothing is taken twice (take()). The owner pops until the deque is empty; then all that was pushed
// has been taken (monitor()).
//
// Sizes: PUSHES items, N slots at first, THIEVES. REFUSED: the kernel has no membarrier; the gate is 1 from the
// beginning. LOWER_BEFORE_CAS: the gate is lowered when top has been loaded; no fault, as README.md says.
// Faults: README.md.

#ifndef PUSHES
#define PUSHES 3
#endif
#ifndef N
#define N 2
#endif
#ifndef THIEVES
#define THIEVES 2
#endif

#define OWNER 0
#define OWNERS 1
#define BOTTOM 0
#define ARRAY 1
#define SLOTS 2
#define CELLS (SLOTS + 3 * N)
#define DEPTH (N + 4)
#include "tso.pml"

// Where item `i` stands in the first array, number 0, and in the second.
#define slot_of(array, i) (array == 0 -> SLOTS + (i) % N : SLOTS + N + (i) % (2 * N))

// Indices begin at 1: pop computes bottom - 1, and bytes do not go below 0.
byte top = 1;
#ifdef REFUSED
byte gate = 1;
#else
byte gate = 0;
#endif

// Of the proof, not of the protocol.
byte pushed = 0;
bool taken[PUSHES + 1];

// Within a step.
inline take(x) {
  value = x;
  assert(value != 0 && !taken[value]);
  taken[value] = true;
  value = 0
}

// --- The owner -----------------------------------------------------------------------------------

inline store_bottom(b) {
  atomic { store(OWNER, BOTTOM, b); bottom = b }
}

// The stores are one step, and those of grow(): what only waits in the buffer is nobody's business.
inline push() {
  d_step {
    len(buffer[OWNER]) <= DEPTH - 2 ->
    pushed++;
    slots[slot_of(array, bottom)] = pushed;
    store(OWNER, slot_of(array, bottom), pushed);
    bottom++;
    store(OWNER, BOTTOM, bottom)
  }
}

inline grow() {
  d_step {
    len(buffer[OWNER]) <= DEPTH - N - 1 ->
    for (i : bottom - N .. bottom - 1) {
      slots[slot_of(1, i)] = slots[slot_of(0, i)];
      store(OWNER, slot_of(1, i), slots[slot_of(0, i)])
    }
    i = 0;
    array = 1;
    store(OWNER, ARRAY, array)
  }
}

inline pop() {
#ifdef GATE_READ_EARLY
  g = gate;
  store_bottom(bottom - 1);
#else
  store_bottom(bottom - 1);
  g = gate;
#endif
  if
  :: g != 0 -> full_barrier(OWNER); g = 0
  :: else -> skip
  fi;
  t = top;
  if
  :: d_step { t < bottom -> take(slots[slot_of(array, bottom)]); t = 0 }
  :: t == bottom ->
     d_step {
#ifdef NO_CAS_LAST
       top = bottom + 1;
       take(slots[slot_of(array, bottom)]);
#else
       drain(OWNER);
       if
       :: top == bottom -> top++; take(slots[slot_of(array, bottom)])
       :: else -> skip
       fi;
#endif
       t = 0
     }
     store_bottom(bottom + 1)
  :: t > bottom ->
     store_bottom(bottom + 1);
     t = 0;
     if
     :: ends -> break
     :: else -> skip
     fi
  fi
}

proctype owner() {
  // What the owner sees: nobody else writes `bottom`, the array or the slots.
  byte bottom = 1;
  byte array = 0;
  byte slots[CELLS];
  byte g = 0;
  byte t = 0;
  byte i = 0;
  bool ends = false;

  do
  :: !ends && pushed < PUSHES ->
     t = top;
     if
     :: atomic { bottom - t < N + N * array -> t = 0 }
        push()
     :: atomic { bottom - t == N && array == 0 -> t = 0 }
        grow();
        push()
     :: atomic { bottom - t == 2 * N -> t = 0 }
     fi
  :: !ends -> ends = true
  :: true -> pop()
  od
}

// --- A thief -------------------------------------------------------------------------------------

inline attempt() {
#ifdef ARRAY_EARLY
  a = memory[ARRAY];
#endif
  t = top;
#ifdef LOWER_BEFORE_CAS
  gate--;
#endif
  b = memory[BOTTOM];
  if
  :: t < b ->
#ifndef ARRAY_EARLY
     a = memory[ARRAY];
#endif
     x = memory[slot_of(a, t)];
     d_step {
       if
       :: top == t -> top++; take(x)
       :: else -> skip
       fi;
       a = 0; t = 0; b = 0; x = 0
     }
  :: else -> d_step { a = 0; t = 0; b = 0 }
  fi
}

inline search() {
#ifdef REFUSED
  skip;
#else
#ifdef GATE_AFTER_BARRIER
  full_barrier(OWNER);
  gate++;
#else
  gate++;
#ifndef NO_MEMBARRIER
  full_barrier(OWNER);
#endif
#endif
#endif
  do
  :: attempt();
#ifdef LOWER_BEFORE_CAS
     break
#else
     skip
  :: break
#endif
  od;
#ifndef REFUSED
#ifndef LOWER_BEFORE_CAS
  gate--;
#endif
#endif
#ifdef LOWER_EARLY
  attempt();
#endif
  skip
}

proctype thief() {
  byte a = 0;
  byte t = 0;
  byte b = 0;
  byte x = 0;

  do
  :: search()
  :: break
  od
}

// --- The properties ------------------------------------------------------------------------------

proctype monitor() {
  byte i;
  atomic {
    timeout ->
    assert(top == memory[BOTTOM] && empty(buffer[OWNER]));
#ifndef REFUSED
    assert(gate == 0);
#endif
    for (i : 1 .. pushed) {
      assert(taken[i])
    }
  }
}

init {
  byte i;
  atomic {
    memory[BOTTOM] = 1;
    run store_buffer(OWNER);
    run owner();
    for (i : 1 .. THIEVES) {
      run thief()
    }
    run monitor()
  }
}
