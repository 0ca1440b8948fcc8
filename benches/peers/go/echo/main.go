// SPDX-License-Identifier: Apache-2.0

// The echo server on Go. See benches/echo/server.h for what servers have in common.
package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"time"
)

const bufferSize = 1024

func echo(connection net.Conn) {
	defer connection.Close()
	buffer := make([]byte, bufferSize)
	for {
		count, err := connection.Read(buffer)
		if err != nil {
			return
		}
		if _, err := connection.Write(buffer[:count]); err != nil {
			return
		}
	}
}

// Computes for 100 ms at a time.
func hog() {
	for {
		for start := time.Now(); time.Since(start) < 100*time.Millisecond; {
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func main() {
	workers := flag.Int("workers", 2, "threads that run goroutines (GOMAXPROCS)")
	hogs := flag.Bool("hog", false, "one goroutine computes for 100 ms, sleeps for 20 ms, and so on")
	flag.Parse()
	runtime.GOMAXPROCS(*workers)
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Printf("listening on %d\n", listener.Addr().(*net.TCPAddr).Port)
	if *hogs {
		go hog()
	}
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go echo(connection) // Go sets TCP_NODELAY by itself.
		}
	}()
	io.Copy(io.Discard, os.Stdin)
}
