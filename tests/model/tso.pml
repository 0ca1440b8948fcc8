// SPDX-License-Identifier: Apache-2.0
//
// Store buffers, as x86-TSO has them: included by the models of what is published without a barrier.
//
//   store(w, a, v) --> buffer[w] --> memory[a]     in order, at any time; never later than a full barrier of w
//
// A load takes the youngest store to the cell that still waits in the own buffer, or else what memory has.
// Words that are written by read-modify-writes alone are plain variables of the models: x86 drains the buffer
// at each of them, so its own read_modify_write(w) comes first, in the same step.
//
// Loads are not reordered with each other, nor stores with each other: x86 does neither. membarrier() makes
// every running thread pass a full barrier between its start and its end, at a point that is open.
//
// The including model defines OWNERS, CELLS and DEPTH (stores that a buffer has room for; a store waits for
// room, as the machine does).

byte memory[CELLS];
chan buffer[OWNERS] = [DEPTH] of {byte, byte};

// Scratch, 0 between steps. Not `hidden`: when the search goes back, that would not be restored.
byte cell = 0;
byte value = 0;

proctype store_buffer(byte w) {
end:
  do
  :: d_step { buffer[w]?cell, value; memory[cell] = value; cell = 0; value = 0 }
  od
}

#define store(w, a, v) buffer[w]!a, v

// A step only where the caller makes it one.
inline drain(w) {
  do
  :: nempty(buffer[w]) -> buffer[w]?cell, value; memory[cell] = value
  :: empty(buffer[w]) -> break
  od;
  cell = 0;
  value = 0
}

inline full_barrier(w) {
  d_step { drain(w) }
}
