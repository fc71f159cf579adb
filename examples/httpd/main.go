// httpd is an ordinary web server, to be run as a microVM:
//
//	gosv run -p 8080:80 ./examples/httpd
//	curl localhost:8080
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
)

func main() {
	addr := flag.String("addr", ":80", "address to listen at")
	flag.Parse()
	http.HandleFunc("GET /{$}", hello)
	http.HandleFunc("GET /bytes/{n}", bytes)
	http.HandleFunc("POST /count", count)
	log.Printf("listening at %s", *addr)
	log.Fatal(http.ListenAndServe(*addr, nil))
}

// hello greets.
func hello(w http.ResponseWriter, r *http.Request) {
	host, err := os.Hostname()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintf(w, "Hello from %s\n", host)
}

// bytes sends n zero bytes.
func bytes(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.PathValue("n"), 10, 64)
	if err != nil || n < 0 {
		http.Error(w, "not a number of bytes", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	io.CopyN(w, zeros{}, n)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// count says how many bytes came.
func count(w http.ResponseWriter, r *http.Request) {
	n, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	fmt.Fprintln(w, n)
}
