// serve is a server with a port for each way in which a client may be a burden:
//
//	80  HTTP: GET / greets, GET /down/N sends N bytes, POST /up tells how many came and their CRC-32C,
//	    POST /sum answers with the SHA-256 of what comes
//	81  takes connections and reads nothing
//	82  writes without end
//	83  UDP, which it does not read
//	84  UDP: sends back what comes
//	85  sends back what comes
package main

import (
	"crypto/sha256"
	"fmt"
	"hash/crc32"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func main() {
	serve(":81", func(c net.Conn) { select {} })
	serve(":82", func(c net.Conn) {
		for err := error(nil); err == nil; {
			_, err = c.Write(make([]byte, 4096))
		}
	})
	serve(":85", func(c net.Conn) { io.Copy(struct{ io.Writer }{c}, struct{ io.Reader }{c}) })
	if _, err := net.ListenPacket("udp", ":83"); err != nil {
		log.Fatal(err)
	}
	u, err := net.ListenPacket("udp", ":84")
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		b := make([]byte, 2000)
		for {
			if n, from, err := u.ReadFrom(b); err == nil {
				u.WriteTo(b[:n], from)
			}
		}
	}()
	http.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello\n") })
	http.HandleFunc("GET /down/{n}", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.ParseInt(r.PathValue("n"), 10, 64)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		io.CopyN(w, rand.NewChaCha8([32]byte{}), n)
	})
	http.HandleFunc("POST /up", func(w http.ResponseWriter, r *http.Request) {
		sum := crc32.New(castagnoli)
		n, err := io.Copy(sum, r.Body)
		fmt.Fprintf(w, "%d %x %v\n", n, sum.Sum32(), err)
	})
	http.HandleFunc("POST /sum", func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		if _, err := io.Copy(sum, r.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintf(w, "%x  -\n", sum.Sum(nil)) // as sha256sum
	})
	log.Fatal(http.ListenAndServe(":80", nil))
}

// serve has f care for the connections of a port, each on a goroutine.
func serve(addr string, f func(c net.Conn)) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				log.Fatal(err)
			}
			go func() {
				defer c.Close()
				f(c)
			}()
		}
	}()
}
