package net

import (
	"bytes"
	"testing"

	"gosv/kernel/errno"
)

// BenchmarkRequest asks and answers by connections that are kept.
func BenchmarkRequest(b *testing.B) {
	const connections = 64
	near, far := newCable(1), newCable(2)
	near.send, far.send = far.receive, near.receive
	server, client := start(b, "10.0.0.1/24", near), start(b, "10.0.0.2/24", far)
	l := open(b, server, afInet, sockStream)
	l.Bind(addr4Of(10, 0, 0, 1, 80))
	l.Listen(connections)
	request, answer := bytes.Repeat([]byte{'q'}, 100), bytes.Repeat([]byte{'a'}, 130)
	left := make(chan bool, b.N)
	for range b.N {
		left <- true
	}
	close(left)
	done := make(chan bool)
	for range connections {
		c := open(b, client, afInet, sockStream)
		if err := c.Connect(addr4Of(10, 0, 0, 1, 80)); err != errno.EINPROGRESS {
			b.Fatal(err)
		}
		s := l.accept()
		go func() {
			for {
				if s.receiveAll(1)[0] == 'e' {
					return
				}
				s.sendAll(answer)
			}
		}()
		go func() {
			for range left {
				c.sendAll(request)
				c.receiveAll(len(answer))
			}
			c.sendAll([]byte{'e'})
			done <- true
		}()
	}
	for range connections {
		<-done
	}
}
