// web is a web server that has served its purpose with the first request.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
)

func main() {
	l, err := net.Listen("tcp", ":80")
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "answer\n") }),
		// The state changes to idle when the response is on its way.
		ConnState: func(c net.Conn, s http.ConnState) {
			if s == http.StateIdle {
				fmt.Println("answered")
				l.Close()
			}
		},
	}
	server.Serve(l)
}
