// SPDX-License-Identifier: Apache-2.0

// The rows of the scheduler comparison on Go: benches/README.md says what each one does.
//
// A goroutine has no handle to await. Its result is written to a place that its parent knows, and a WaitGroup says when
// it is there. Channels in its place, one for each child or one for each parent, took as long.
package main

import (
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	exitWrongAnswer = 1
	exitUsage       = 2
)

const usage = `usage: go_rows ROW [--size N] [--workers N]
       go_rows --list | --help
`

const help = usage + `
Runs one row of the scheduler comparison on Go.

  --list       names the rows: name, full size, smoke size, what the size is
  --size N     instead of the full size
  --workers N  threads that run goroutines (GOMAXPROCS); 2 unless said otherwise

Runs the row once smaller, to warm up, then once for the figures; checks the answer; prints one
line of JSON. Exit status: 0 done, 1 a wrong answer, 2 a mistake in the command line.
`

// The sizes of a row: that of its definition, that of its warm-up, the least that still does everything.
type sizes struct{ full, warmUp, smoke, min, max int64 }

type figure struct {
	name  string
	value float64
}

// What a run of a row gave.
type outcome struct {
	ops     int64
	right   bool
	used    resources
	figures []figure
}

type row struct {
	name   string
	sizes  sizes
	sizeIs string
	run    func(size int64) outcome
}

var (
	sizesOfTasks    = sizes{1_000_000, 100_000, 2_500, 1, 100_000_000}
	sizesOfMessages = sizes{10_000_000, 1_000_000, 5_000, 1, 1_000_000_000}
	rows            = []row{
		{"spawn_join", sizesOfTasks, "tasks", spawnJoin},
		{"spawn_external", sizesOfTasks, "tasks", spawnExternal},
		{"chained_spawn", sizesOfTasks, "tasks", chainedSpawn},
		{"skynet_spawn", sizes{6, 4, 3, 0, 9}, "depth of the tree", skynetSpawn},
		{"fib_spawn", sizes{27, 18, 10, 0, 60}, "which number", fibSpawn},
		{"yield", sizes{1000, 100, 10, 1, 1_000_000}, "yields of each of 1000 tasks", yield},
		{"ping_pong", sizes{1000, 100, 3, 1, 1_000_000}, "rounds of 1000 pairs", pingPong},
		{"mpsc_1_1", sizesOfMessages, "messages", passer(1, 1)},
		{"mpsc_4_1", sizesOfMessages, "messages", passer(4, 1)},
		{"mpmc_4_4", sizesOfMessages, "messages", passer(4, 4)},
		{"mutex", sizes{100_000, 10_000, 100, 1, 10_000_000}, "locks by each of 64 tasks", mutex},
		{"timers", sizes{1_000_000, 10_000, 1_000, 1, 10_000_000}, "tasks that sleep", timers},
		{"priority", sizes{2000, 100, 20, 1, 1_000_000}, "pings, one a millisecond", priority},
	}
)

// --- What a run costs -------------------------------------------------------------------------

type resources struct{ wall, cpu time.Duration }

func processCPU() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func measure(work func()) resources {
	startCPU := processCPU()
	start := time.Now()
	work()
	wall := time.Since(start)
	return resources{wall, processCPU() - startCPU}
}

// The most memory that this process has had resident; 0 if the kernel does not say. Not getrusage's Maxrss: that one is
// handed on by exec, and starts at what the starting program had.
func peakRSSKiB() int64 {
	status, _ := os.ReadFile("/proc/self/status")
	for _, line := range strings.Split(string(status), "\n") {
		fields := strings.Fields(line)
		if len(fields) >= 2 && fields[0] == "VmHWM:" {
			kib, _ := strconv.ParseInt(fields[1], 10, 64)
			return kib
		}
	}
	return 0
}

// --- Goroutines that do nothing ---------------------------------------------------------------

func spawnJoin(tasks int64) outcome {
	const batchMax = 1000
	var sum int64
	used := measure(func() {
		var group sync.WaitGroup
		results := make([]int64, batchMax)
		for left := tasks; left > 0; left -= batchMax {
			batch := results
			if left < batchMax {
				batch = results[:left]
			}
			group.Add(len(batch))
			for i := range batch {
				result := &batch[i]
				go func() {
					*result = 1
					group.Done()
				}()
			}
			group.Wait()
			for i := range batch {
				sum += batch[i]
				batch[i] = 0
			}
		}
	})
	return outcome{ops: tasks, right: sum == tasks, used: used}
}

// No thread is outside of Go's scheduler. The nearest is a goroutine that is bound to a thread of its own.
func spawnExternal(tasks int64) outcome {
	left := tasks
	end := make(chan struct{})
	used := measure(func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for i := int64(0); i < tasks; i++ {
			go func() {
				if atomic.AddInt64(&left, -1) == 0 {
					close(end)
				}
			}()
		}
		<-end
	})
	return outcome{ops: tasks, right: atomic.LoadInt64(&left) == 0, used: used}
}

func chainedSpawn(length int64) outcome {
	var links int64
	used := measure(func() {
		end := make(chan int64)
		var link func(before int64)
		link = func(before int64) {
			if before+1 == length {
				end <- length
			} else {
				go link(before + 1)
			}
		}
		go link(0)
		links = <-end
	})
	return outcome{ops: length, right: links == length, used: used}
}

func yield(times int64) outcome {
	const tasks = 1000
	var sum int64
	used := measure(func() {
		var group sync.WaitGroup
		yields := make([]int64, tasks)
		group.Add(tasks)
		for i := range yields {
			result := &yields[i]
			go func() {
				done := int64(0)
				for ; done < times; done++ {
					runtime.Gosched()
				}
				*result = done
				group.Done()
			}()
		}
		group.Wait()
		for _, done := range yields {
			sum += done
		}
	})
	return outcome{ops: tasks * times, right: sum == tasks*times, used: used}
}

// --- Trees ------------------------------------------------------------------------------------

const branches = 10

func skynet(first, leaves int64) int64 {
	if leaves == 1 {
		return first
	}
	share := leaves / branches
	var children struct {
		sync.WaitGroup
		parts [branches]int64
	}
	children.Add(branches)
	for i := range children.parts {
		child := int64(i)
		go func() {
			children.parts[child] = skynet(first+child*share, share)
			children.Done()
		}()
	}
	children.Wait()
	var sum int64
	for _, part := range children.parts {
		sum += part
	}
	return sum
}

func skynetSpawn(depth int64) outcome {
	leaves := int64(1)
	for i := int64(0); i < depth; i++ {
		leaves *= branches
	}
	var sum int64
	used := measure(func() { sum = skynet(0, leaves) })
	return outcome{
		ops:   (leaves*branches - 1) / (branches - 1),
		right: sum == leaves*(leaves-1)/2,
		used:  used,
	}
}

func fib(n int64) int64 {
	if n < 2 {
		return n
	}
	var children struct {
		sync.WaitGroup
		parts [2]int64
	}
	children.Add(2)
	for i := range children.parts {
		child := int64(i)
		go func() {
			children.parts[child] = fib(n - 1 - child)
			children.Done()
		}()
	}
	children.Wait()
	return children.parts[0] + children.parts[1]
}

func fibNumber(n int64) int64 {
	a, b := int64(0), int64(1)
	for ; n > 0; n-- {
		a, b = b, a+b
	}
	return a
}

func fibSpawn(n int64) outcome {
	var number int64
	used := measure(func() { number = fib(n) })
	return outcome{ops: 2*fibNumber(n+1) - 1, right: number == fibNumber(n), used: used}
}

// --- Channels and locks -----------------------------------------------------------------------

func passer(producers, consumers int64) func(int64) outcome {
	return func(messages int64) outcome {
		var sum uint64
		used := measure(func() { sum = pass(producers, consumers, messages) })
		return outcome{ops: messages, right: sum == uint64(messages*(messages-1)/2), used: used}
	}
}

func pass(producers, consumers, messages int64) uint64 {
	const capacity = 1024
	values := make(chan uint64, capacity)
	sums := make([]uint64, consumers)
	var sent, received sync.WaitGroup
	sent.Add(int(producers))
	received.Add(int(consumers))
	for i := range sums {
		sum := &sums[i]
		go func() {
			own := uint64(0)
			for value := range values {
				own += value
			}
			*sum = own
			received.Done()
		}()
	}
	for i := int64(0); i < producers; i++ {
		first, end := uint64(messages*i/producers), uint64(messages*(i+1)/producers)
		go func() {
			for value := first; value < end; value++ {
				values <- value
			}
			sent.Done()
		}()
	}
	sent.Wait()
	close(values)
	received.Wait()
	total := uint64(0)
	for _, sum := range sums {
		total += sum
	}
	return total
}

// Go's mutex is not fair: who comes while it is free, takes it, whoever waits.
func mutex(times int64) outcome {
	const lockers = 64
	var counter int64
	used := measure(func() {
		var lock sync.Mutex
		var group sync.WaitGroup
		group.Add(lockers)
		for i := 0; i < lockers; i++ {
			go func() {
				for done := int64(0); done < times; done++ {
					lock.Lock()
					counter++
					lock.Unlock()
				}
				group.Done()
			}()
		}
		group.Wait()
	})
	return outcome{ops: lockers * times, right: counter == lockers*times, used: used}
}

// --- Timers -----------------------------------------------------------------------------------

// The same for all programs: 1 to 1000, spread evenly, in no order.
func sleepOfTask(task uint64) time.Duration {
	return time.Duration(1+(task*2_654_435_761>>7)%1000) * time.Millisecond
}

func timers(tasks int64) outcome {
	late := make([]time.Duration, tasks)
	used := measure(func() {
		var group sync.WaitGroup
		group.Add(int(tasks))
		for i := range late {
			result, sleep := &late[i], sleepOfTask(uint64(i))
			go func() {
				start := time.Now()
				time.Sleep(sleep)
				*result = time.Since(start) - sleep
				group.Done()
			}()
		}
		group.Wait()
	})
	sort.Slice(late, func(i, j int) bool { return late[i] < late[j] })
	return outcome{
		ops:     tasks,
		right:   late[0] >= 0,
		used:    used,
		figures: latencyFigures(late),
	}
}

// --- Pings ------------------------------------------------------------------------------------

// Asks a goroutine made for it, over two channels made for it. A channel with room for one value is Go's oneshot.
func ask(question int64) int64 {
	questions, answers := make(chan int64, 1), make(chan int64, 1)
	go func() { answers <- <-questions + 1 }()
	questions <- question
	return <-answers
}

func pingPong(rounds int64) outcome {
	const pairs = 1000
	var sum int64
	used := measure(func() {
		var group sync.WaitGroup
		results := make([]int64, pairs)
		for round := int64(0); round < rounds; round++ {
			group.Add(pairs)
			for i := range results {
				question, result := int64(i), &results[i]
				go func() {
					*result = ask(question)
					group.Done()
				}()
			}
			group.Wait()
			for i := range results {
				sum += results[i]
				results[i] = 0
			}
		}
	})
	return outcome{ops: rounds * pairs, right: sum == rounds*(pairs*(pairs+1)/2), used: used}
}

func quantileUs(sorted []time.Duration, quantile float64) float64 {
	nearest := int(quantile*float64(len(sorted)-1) + 0.5)
	return float64(sorted[nearest]) / float64(time.Microsecond)
}

// The same quantiles as harness/program.h has.
func latencyFigures(sorted []time.Duration) []figure {
	return []figure{
		{"p10_us", quantileUs(sorted, 0.1)},
		{"p50_us", quantileUs(sorted, 0.5)},
		{"p90_us", quantileUs(sorted, 0.9)},
		{"p99_us", quantileUs(sorted, 0.99)},
		{"p999_us", quantileUs(sorted, 0.999)},
		{"p9999_us", quantileUs(sorted, 0.9999)},
		{"max_us", quantileUs(sorted, 1)},
	}
}

// --- The program ------------------------------------------------------------------------------

func refuse(format string, values ...any) {
	fmt.Fprintf(os.Stderr, "go_rows: "+format+"\n"+usage, values...)
	os.Exit(exitUsage)
}

func find(name string) *row {
	for i := range rows {
		if rows[i].name == name {
			return &rows[i]
		}
	}
	refuse("unknown row %s; see --list", name)
	return nil
}

// The row to run, its size and the number of workers. Ends the program if there is nothing to run.
func parse(arguments []string) (chosen *row, size int64, workers int) {
	size, workers = -1, 2
	for i := 0; i < len(arguments); i++ {
		switch argument := arguments[i]; {
		case argument == "--help" || argument == "-h":
			fmt.Print(help)
			os.Exit(0)
		case argument == "--list":
			for _, row := range rows {
				fmt.Println(row.name, row.sizes.full, row.sizes.smoke, row.sizeIs)
			}
			os.Exit(0)
		case argument == "--size" || argument == "--workers":
			if i+1 == len(arguments) {
				refuse("%s needs a value", argument)
			}
			i++
			number, err := strconv.ParseInt(arguments[i], 10, 32)
			if err != nil || number < 0 {
				refuse("%s needs a number", argument)
			}
			if argument == "--size" {
				size = number
			} else {
				workers = int(number)
			}
		case strings.HasPrefix(argument, "-"):
			refuse("unknown option %s", argument)
		case chosen != nil:
			refuse("one row at a time")
		default:
			chosen = find(argument)
		}
	}
	if chosen == nil {
		refuse("which row? See --list")
	}
	if size == -1 {
		size = chosen.sizes.full
	}
	if size < chosen.sizes.min || size > chosen.sizes.max {
		refuse("the size of %s is from %d to %d", chosen.name, chosen.sizes.min, chosen.sizes.max)
	}
	if workers < 1 || workers > 1024 {
		refuse("--workers is from 1 to 1024")
	}
	return chosen, size, workers
}

func print(row *row, size int64, workers int, got outcome) {
	fmt.Printf(`{"row": "%s", "ns_per_op": %.3f, "wall_s": %.6f, "ops": %d, "cpu_s": %.6f, "max_rss_kib": %d`,
		row.name, float64(got.used.wall)/float64(got.ops), got.used.wall.Seconds(), got.ops,
		got.used.cpu.Seconds(), peakRSSKiB())
	fmt.Printf(`, "size": %d, "workers": %d`, size, workers)
	for _, figure := range got.figures {
		fmt.Printf(`, "%s": %.4f`, figure.name, figure.value)
	}
	fmt.Println("}")
}

func main() {
	row, size, workers := parse(os.Args[1:])
	runtime.GOMAXPROCS(workers)
	warmUp := row.sizes.warmUp
	if size < warmUp {
		warmUp = size
	}
	got := row.run(warmUp)
	if got.right {
		got = row.run(size)
	}
	if !got.right {
		fmt.Fprintf(os.Stderr, "go_rows: %s: wrong answer\n", row.name)
		os.Exit(exitWrongAnswer)
	}
	print(row, size, workers, got)
}
