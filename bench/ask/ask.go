// Ask is the client of bench/web. It asks URL for one thing after the other, each so many
// times, and prints how many it got a second:
//
//	ask URL [THING COUNT]...
//
// The things are
//
//	first        an answer, of a server that may not be there yet
//	requests     answers, by 64 connections that are kept
//	connections  answers, each by a connection of its own, 64 at a time
//	together     answers, by as many connections, which all are open when each is asked for another
//	download     megabytes from the server, by one connection
//	upload       megabytes to it
//	end          the end of the server
package main

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	clients  = 64
	megabyte = 1000000
	bulk     = 8 // megabytes of a request: as web.go has it
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("ask: ")
	url, args := os.Args[1], os.Args[2:]
	for ; len(args) > 1; args = args[2:] {
		n, err := strconv.Atoi(args[1])
		if err != nil {
			log.Fatal(err)
		}
		start := time.Now()
		switch what := args[0]; what {
		case "first":
			first(url, n)
		case "requests":
			many(n, false, func(c *http.Client) error { return get(c, url) })
		case "connections":
			many(n, true, func(c *http.Client) error { return get(c, url) })
		case "together":
			together(url, n)
		case "download":
			one(n, func(c *http.Client) error { return get(c, url+"/bulk") })
		case "upload":
			one(n, func(c *http.Client) error { return post(c, url+"/bulk") })
		case "end":
			get(&http.Client{Timeout: time.Second}, url+"/end") // whose end may be too soon for the answer
			return
		default:
			log.Fatalf("there is no %s", what)
		}
		fmt.Printf("web %s %.3f\n", args[0], float64(n)/time.Since(start).Seconds())
	}
}

// first asks until there were so many answers, each time by another connection. It gives none up
// that is on its way: a guest that is not up yet may find it later.
func first(url string, n int) {
	c := &http.Client{Timeout: 5 * time.Second}
	for n > 0 {
		if get(c, url) == nil {
			n--
		} else {
			time.Sleep(time.Millisecond)
		}
		c.CloseIdleConnections()
	}
}

// many lets clients ask n times together.
func many(n int, alone bool, ask func(*http.Client) error) {
	var left atomic.Int64
	left.Store(int64(n))
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			c := &http.Client{Transport: &http.Transport{DisableKeepAlives: alone}}
			defer c.CloseIdleConnections()
			for left.Add(-1) >= 0 {
				if err := ask(c); err != nil {
					log.Fatal(err)
				}
			}
		})
	}
	wg.Wait()
}

// together asks by n connections for an answer each, and then, when there are all of them, for another.
func together(url string, n int) {
	address := strings.TrimPrefix(url, "http://")
	if !strings.Contains(address, ":") {
		address += ":80"
	}
	open := make([]net.Conn, n)
	for range 2 {
		var next atomic.Int64
		var wg sync.WaitGroup
		for range clients {
			wg.Go(func() {
				for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
					if err := askOn(&open[i], address); err != nil {
						log.Fatalf("connection %d: %v", i, err)
					}
				}
			})
		}
		wg.Wait()
	}
	for _, c := range open {
		c.Close()
	}
}

// askOn asks by *c, which it makes if there is none yet.
func askOn(c *net.Conn, address string) (err error) {
	if *c == nil {
		if *c, err = net.Dial("tcp", address); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(*c, "GET / HTTP/1.1\r\nHost: web\r\n\r\n"); err != nil {
		return err
	}
	r, err := http.ReadResponse(bufio.NewReader(*c), nil)
	if err != nil {
		return err
	}
	return done(r)
}

// one asks for so many megabytes, by one connection.
func one(megabytes int, ask func(*http.Client) error) {
	c := &http.Client{Transport: &http.Transport{}}
	defer c.CloseIdleConnections()
	for n := 0; n < megabytes; n += bulk {
		if err := ask(c); err != nil {
			log.Fatal(err)
		}
	}
}

func get(c *http.Client, url string) error {
	r, err := c.Get(url)
	if err != nil {
		return err
	}
	return done(r)
}

func post(c *http.Client, url string) error {
	req, err := http.NewRequest("POST", url, io.LimitReader(zeros{}, bulk*megabyte))
	if err != nil {
		return err
	}
	req.ContentLength = bulk * megabyte
	r, err := c.Do(req)
	if err != nil {
		return err
	}
	return done(r)
}

func done(r *http.Response) error {
	defer r.Body.Close()
	_, err := io.Copy(io.Discard, r.Body)
	return err
}

// zeros is an endless file of them.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
