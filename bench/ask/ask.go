// Ask is the client of bench/web. It asks URL for one thing after the other, each so many
// times, and prints how many it got a second:
//
//	ask URL [THING COUNT]... [-- VM [ARG]...]
//
// The things are
//
//	first        answers of a server that may not be there yet: from the start of VM
//	requests     answers, by 64 connections that are kept
//	connections  answers, each by a connection of its own, 64 at a time
//	together     answers, by as many connections, which all are open when each is asked for another
//	download     megabytes from the server, by one connection
//	upload       megabytes to it
//	end          the end of the server
//
// With VM, the command of the machine that serves, it prints "start", starts that, whose output goes
// to standard error, and ends with it.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	clients  = 64
	megabyte = 1000000
	bulk     = 8 // megabytes of a request: as web.go has it
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("ask: ")
	if len(os.Args) < 2 {
		log.Fatal("usage: ask URL [THING COUNT]... [-- VM [ARG]...]")
	}
	url, things, argv := os.Args[1], os.Args[2:], []string(nil)
	if dashes := slices.Index(things, "--"); dashes >= 0 {
		things, argv = things[:dashes], things[dashes+1:]
	}
	if len(argv) == 0 {
		if err := askFor(url, things, time.Now()); err != nil {
			log.Fatal(err)
		}
		return
	}
	fmt.Println("start")
	start := time.Now()
	vm := exec.Command(argv[0], argv[1:]...)
	vm.Stdout, vm.Stderr = os.Stderr, os.Stderr
	if err := vm.Start(); err != nil {
		log.Fatal(err)
	}
	go func() {
		if err := askFor(url, things, start); err != nil {
			log.Print(err) // which the VM's end may be the reason of
		}
		const ends = time.Minute // for a VM that has answered enough
		time.AfterFunc(ends, func() { vm.Process.Signal(syscall.SIGTERM) })
	}()
	if err := vm.Wait(); err != nil {
		log.Fatal(err)
	}
}

// askFor asks for all things, and prints the rate of each. The first's time begins at start.
func askFor(url string, things []string, start time.Time) error {
	for ; len(things) > 1; things = things[2:] {
		n, err := strconv.Atoi(things[1])
		if err != nil {
			return err
		}
		switch what := things[0]; what {
		case "first":
			first(url, n)
		case "requests":
			err = many(n, false, func(c *http.Client) error { return get(c, url) })
		case "connections":
			err = many(n, true, func(c *http.Client) error { return get(c, url) })
		case "together":
			err = together(url, n)
		case "download":
			err = one(n, func(c *http.Client) error { return get(c, url+"/bulk") })
		case "upload":
			err = one(n, func(c *http.Client) error { return post(c, url+"/bulk") })
		case "end":
			get(&http.Client{Timeout: time.Second}, url+"/end") // whose end may be too soon for the answer
			return nil
		default:
			err = errors.New("no such thing")
		}
		if err != nil {
			return fmt.Errorf("%s: %w", things[0], err)
		}
		fmt.Printf("web %s %.3f\n", things[0], float64(n)/time.Since(start).Seconds())
		start = time.Now()
	}
	return nil
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
func many(n int, alone bool, ask func(*http.Client) error) error {
	var left atomic.Int64
	left.Store(int64(n))
	var group errgroup.Group
	for range clients {
		group.Go(func() error {
			c := &http.Client{Transport: &http.Transport{DisableKeepAlives: alone}}
			defer c.CloseIdleConnections()
			for left.Add(-1) >= 0 {
				if err := ask(c); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// together asks by n connections for an answer each, and then, when there are all of them, for another.
func together(url string, n int) error {
	address := strings.TrimPrefix(url, "http://")
	if !strings.Contains(address, ":") {
		address += ":80"
	}
	open := make([]net.Conn, n)
	for range 2 {
		var next atomic.Int64
		var group errgroup.Group
		for range clients {
			group.Go(func() error {
				for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
					if err := askOn(&open[i], address); err != nil {
						return fmt.Errorf("connection %d: %w", i, err)
					}
				}
				return nil
			})
		}
		if err := group.Wait(); err != nil {
			return err
		}
	}
	for _, c := range open {
		c.Close()
	}
	return nil
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
func one(megabytes int, ask func(*http.Client) error) error {
	c := &http.Client{Transport: &http.Transport{}}
	defer c.CloseIdleConnections()
	for n := 0; n < megabytes; n += bulk {
		if err := ask(c); err != nil {
			return err
		}
	}
	return nil
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
