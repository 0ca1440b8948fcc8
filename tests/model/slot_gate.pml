// SPDX-License-Identifier: Apache-2.0
//
// A worker's slot, which its owner uses without read-modify-writes while nobody else does, and which a thief may
// empty late. For the model checker Spin; run by run_model.sh, what is left out is in README.md.
//
//   owner: put, take --> slot --> thief
//
// What is to be shown. The owner's access is a load and a store; a thief that empties the slot in between takes the
// task that the owner has loaded too, or its nil is overwritten.
//
//   owner                                    thief
//   1 claim = 1 (plain)                      1 raise the gate (read-modify-write)
//   2 load the gate                          2 membarrier
//   3 it is 0: load the slot, store it       3 claim is 0: exchange the slot
//     else: exchange the slot                4 lower the gate
//   4 claim = 0 (plain)
//
// [SLOT-GATE] The owner loads 0: either before the thief's 1, then its claim stands before the membarrier; the
// thief sees the claim, or that it is over, and the owner's store to the slot with it. Or after the thief's 4.
//
// Properties: nothing is taken twice or from nowhere (take()); when the owner has emptied the slot, all that was put
// there has been taken (monitor()). What a put displaces counts as taken: it goes to the ring.
//
// Sizes: PUTS tasks, THIEVES. REFUSED: the kernel has no membarrier; the gate is 1 from the beginning.
// Faults: README.md.

#ifndef PUTS
#define PUTS 3
#endif
#ifndef THIEVES
#define THIEVES 2
#endif

#define NIL 0

#define OWNER 0
#define OWNERS 1
#define CLAIM 0
#define SLOT 1
#define CELLS 2
#define DEPTH 4
#include "tso.pml"

#ifdef REFUSED
byte gate = 1;
#else
byte gate = 0;
#endif

// Of the proof, not of the protocol.
byte puts = 0;
bool taken[PUTS + 1];

// Within a step; takes nothing if it is nil.
inline take(x) {
  value = x;
  assert(!taken[value]);
  taken[value] = (value != NIL);
  value = 0
}

// --- The owner -----------------------------------------------------------------------------------

// The slot gets `x`; what was there is taken.
inline access(x) {
#ifdef GATE_READ_EARLY
  g = gate;
  store(OWNER, CLAIM, 1);
#else
  store(OWNER, CLAIM, 1);
  g = gate;
#endif
  if
  :: atomic { g == 0 -> old = (buffer[OWNER]??[SLOT, _] -> stored : memory[SLOT]) }
     atomic { store(OWNER, SLOT, x); stored = x; take(old); old = NIL }
  :: d_step {
       g != 0 ->
       drain(OWNER);
       take(memory[SLOT]);
       memory[SLOT] = x;
       g = 0
     }
  fi;
  store(OWNER, CLAIM, 0)
}

proctype owner() {
  byte g = 0;
  byte old = NIL;
  byte stored = NIL;  // The youngest store of its own to the slot.

  do
  :: puts < PUTS -> puts++; access(puts)
  :: true -> access(NIL)
  :: true -> access(NIL); break
  od;
  full_barrier(OWNER);
  stored = NIL
}

// --- A thief -------------------------------------------------------------------------------------

inline exchange_slot() {
  d_step { take(memory[SLOT]); memory[SLOT] = NIL }
}

proctype thief() {
  do
  :: true ->
#ifndef REFUSED
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
     if
#ifdef NO_CLAIM
     :: true ->
#else
     :: memory[CLAIM] == 0 ->
#endif
#ifdef LOWER_EARLY
        gate--;
        exchange_slot();
        gate++  // For the end's sake.
#else
        exchange_slot()
#endif
     :: memory[CLAIM] != 0 -> skip
     fi;
#ifndef REFUSED
     gate--
#endif
  :: break
  od
}

// --- The properties ------------------------------------------------------------------------------

proctype monitor() {
  byte i;
  atomic {
    timeout ->
    assert(memory[SLOT] == NIL && memory[CLAIM] == 0 && empty(buffer[OWNER]));
#ifndef REFUSED
    assert(gate == 0);
#endif
    for (i : 1 .. puts) {
      assert(taken[i])
    }
  }
}

init {
  byte i;
  atomic {
    run store_buffer(OWNER);
    run owner();
    for (i : 1 .. THIEVES) {
      run thief()
    }
    run monitor()
  }
}
