// SPDX-License-Identifier: Apache-2.0

package main

import (
	"runtime"
	"sort"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// --- A thread that sleeps -----------------------------------------------------------------------

// CLOCK_MONOTONIC of the kernel, as an absolute sleep wants it: Go's clock does not tell a moment in it.
const clockMonotonic = 1

func monotonicNs() int64 {
	var now syscall.Timespec
	if _, _, err := syscall.RawSyscall(
		syscall.SYS_CLOCK_GETTIME, clockMonotonic, uintptr(unsafe.Pointer(&now)), 0); err != 0 {
		panic(err)
	}
	return now.Nano()
}

// Keeps the calling thread asleep, as a thread outside would be: no timer of Go's is asked.
func sleepThreadUntil(dueNs int64) {
	const timerAbsTime = 1
	due := syscall.NsecToTimespec(dueNs)
	for {
		_, _, err := syscall.Syscall6(syscall.SYS_CLOCK_NANOSLEEP, clockMonotonic, timerAbsTime,
			uintptr(unsafe.Pointer(&due)), 0, 0, 0)
		if err == 0 {
			return
		}
		if err != syscall.EINTR {
			panic(err)
		}
	}
}

// --- The row ------------------------------------------------------------------------------------

const slice = 20 * time.Microsecond

// Computes until 20 us have passed.
func computeSlice() {
	for start := time.Now(); time.Since(start) < slice; {
	}
}

// Go has no priorities: all goroutines are alike, and the pings show what that means. No thread is outside of its
// scheduler: the pings are spawned by a goroutine that is bound to a thread, which sleeps in the kernel between them.
// Slices are counted, not timed: one that the kernel interrupts takes longer by the clock, but has not computed for
// longer.
func priority(pings int64) outcome {
	const lowTasksPerWorker = 100
	const pingInterval = time.Millisecond
	workers := runtime.GOMAXPROCS(0)
	delays := make([]time.Duration, pings)
	var slices int64
	used := measure(func() {
		var stop int32
		var started, pinged, ended sync.WaitGroup
		started.Add(lowTasksPerWorker * workers)
		ended.Add(lowTasksPerWorker * workers)
		for i := 0; i < lowTasksPerWorker*workers; i++ {
			go func() {
				computeSlice()
				own := int64(1)
				started.Done()
				for atomic.LoadInt32(&stop) == 0 {
					runtime.Gosched()
					computeSlice()
					own++
				}
				atomic.AddInt64(&slices, own)
				ended.Done()
			}()
		}
		started.Wait()
		pinged.Add(int(pings))
		runtime.LockOSThread()
		due := monotonicNs()
		for i := range delays {
			due += int64(pingInterval)
			sleepThreadUntil(due)
			delay, ready := &delays[i], time.Now()
			go func() {
				*delay = time.Since(ready)
				pinged.Done()
			}()
		}
		runtime.UnlockOSThread()
		pinged.Wait()
		atomic.StoreInt32(&stop, 1)
		ended.Wait()
	})
	sort.Slice(delays, func(i, j int) bool { return delays[i] < delays[j] })
	lowShare := float64(slices*int64(slice)) / (float64(used.wall) * float64(workers))
	return outcome{
		ops:     pings,
		right:   slices >= int64(lowTasksPerWorker*workers),
		used:    used,
		figures: append(latencyFigures(delays), figure{"low_share", lowShare}),
	}
}
