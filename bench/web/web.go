// web is a web server that has served its purpose with so many requests as its argument
// says, or the first one; 0 is for as many as come until one for /end. It tells when half of
// them are answered, and all. A GET of /bulk is a download, and a POST an upload.
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

// bulk is how long a download is, in bytes.
const bulk = 8e6

func main() {
	all := int64(1)
	if len(os.Args) > 1 {
		n, err := strconv.ParseInt(os.Args[1], 10, 64)
		if err != nil {
			log.Fatal(err)
		}
		all = n
	}
	l, err := net.Listen("tcp", ":80")
	if err != nil {
		log.Fatal(err)
	}
	var count atomic.Int64
	answered := func() {
		switch n := count.Add(1); n {
		case all:
			fmt.Println("answered")
			l.Close()
		case all / 2:
			fmt.Println("half")
		}
	}
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path == "/end":
				l.Close()
			case r.URL.Path != "/bulk":
				io.WriteString(w, "answer\n")
			case r.Method == "POST":
				io.Copy(io.Discard, r.Body)
			default:
				download(w)
			}
			if r.Close { // the connection does not become idle
				answered()
			}
		}),
		// The state changes to idle when the response is on its way.
		ConnState: func(c net.Conn, s http.ConnState) {
			if s == http.StateIdle {
				answered()
			}
		},
	}
	server.Serve(l)
}

func download(w http.ResponseWriter) {
	w.Header().Set("Content-Length", strconv.Itoa(bulk))
	piece := make([]byte, 64<<10)
	for left := int(bulk); left > 0; left -= len(piece) {
		if _, err := w.Write(piece[:min(left, len(piece))]); err != nil {
			return
		}
	}
}
