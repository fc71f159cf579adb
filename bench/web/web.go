// web is a web server that has served its purpose with so many requests as its argument
// says, or the first one. It tells when half of them are answered, and all.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
)

func main() {
	all := int64(1)
	if len(os.Args) > 1 {
		n, err := strconv.ParseInt(os.Args[1], 10, 64)
		if err != nil {
			log.Fatal(err)
		}
		all = n
	}
	var done atomic.Int64
	l, err := net.Listen("tcp", ":80")
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "answer\n") }),
		// The state changes to idle when the response is on its way.
		ConnState: func(c net.Conn, s http.ConnState) {
			if s != http.StateIdle {
				return
			}
			switch n := done.Add(1); n {
			case all:
				fmt.Println("answered")
				l.Close()
			case all / 2:
				fmt.Println("half")
			}
		},
	}
	server.Serve(l)
}
