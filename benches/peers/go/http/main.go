// SPDX-License-Identifier: Apache-2.0
//
// What examples/http_server does, by Go's net/http: the peer of its measurement.
//
//	GOMAXPROCS=2 http -listen 127.0.0.1:8081
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
)

func main() {
	address := flag.String("listen", "127.0.0.1:8081", "IP:PORT")
	flag.Parse()
	body := []byte("Hello, world!\n")
	http.HandleFunc("/hello", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Write(body)
	})
	listener, err := net.Listen("tcp", *address)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("http: listening at http://%s/\n", listener.Addr())
	log.Fatal(http.Serve(listener, nil))
}
