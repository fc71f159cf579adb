// Package inspect looks into running VMs: it reads files of theirs and has their
// programs watched, over the console, which costs the guest nothing while nobody asks. The gosv that runs
// a VM answers others over a socket.
package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"

	"gosv/internal/console"
	"gosv/internal/trace"
)

// Guest is a running VM's console, as far as it answers questions. It is an
// io.Writer for the answers (console.Demux.Replies).
type Guest struct {
	input io.Writer

	ask chan struct{} // holds something while a question is open: there is one at a time

	mu     sync.Mutex
	parser parser
	answer chan result // of the question that is open, or nil
	ended  bool

	records records
	done    chan struct{} // closed at the end
}

type result struct {
	data []byte
	err  error
}

// NewGuest returns the guest that reads from input.
func NewGuest(input io.Writer) *Guest {
	return &Guest{input: input, ask: make(chan struct{}, 1), done: make(chan struct{}), records: records{watchers: map[*queue]*trace.Plan{}}}
}

// ErrEnded is returned for a guest that is no more.
var ErrEnded = errors.New("the VM has ended")

// maxAnswer bounds what a guest may send for one question.
const maxAnswer = 64 << 20

// Read returns a file's contents, or the names in a directory, a line each. Its
// errors are the guest's errno, or that it does not answer until ctx ends.
func (g *Guest) Read(ctx context.Context, path string) ([]byte, error) {
	const longest = 4096
	if len(path) == 0 || len(path) > longest || strings.ContainsRune(path, 0) {
		return nil, syscall.EINVAL
	}
	return g.question(ctx, func() []byte { return console.Show(path) })
}

// question sends what text returns when all earlier questions are answered, and returns
// the answer.
func (g *Guest) question(ctx context.Context, text func() []byte) ([]byte, error) {
	select {
	case g.ask <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("the guest does not answer: %w", ctx.Err())
	}
	answer := make(chan result, 1)
	g.mu.Lock()
	if g.ended {
		answer <- result{err: ErrEnded}
	} else {
		g.answer = answer
		go func() {
			if _, err := g.input.Write(text()); err != nil {
				g.End()
			}
		}()
	}
	g.mu.Unlock()
	select {
	case r := <-answer:
		<-g.ask
		return r.data, r.err
	case <-ctx.Done():
		go func() { // a late answer would be taken for the next one's
			<-answer
			<-g.ask
		}()
		return nil, fmt.Errorf("the guest does not answer: %w", ctx.Err())
	}
}

// End answers all questions from now on with ErrEnded.
func (g *Guest) End() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.ended {
		close(g.done)
	}
	g.ended = true
	g.reply(result{err: ErrEnded})
	g.records.end()
}

// reply answers the open question, if there is one. The caller holds g.mu.
func (g *Guest) reply(r result) {
	if g.answer != nil {
		g.answer <- r
		g.answer = nil
	}
}

// Write takes a part of the answers. It never fails: what nobody asked for, or
// has no end, is thrown away.
func (g *Guest) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n := len(p)
	for len(p) > 0 {
		var r *result
		if r, p = g.parser.take(p); r != nil {
			g.reply(*r)
		}
	}
	return n, nil
}

// parser puts answers together (docs/contracts.md): chunks of a length (u16)
// and bytes, then length 0 and an errno.
type parser struct {
	data   []byte
	head   []byte // of a chunk, as far as it is there
	left   int    // of the chunk's bytes
	ending bool   // the errno comes next
}

// take consumes a part of p, and returns the answer that it ends, if it does.
func (a *parser) take(p []byte) (r *result, rest []byte) {
	switch {
	case a.ending:
		r = &result{data: a.data}
		if p[0] != 0 {
			r = &result{err: syscall.Errno(p[0])}
		}
		*a = parser{}
		return r, p[1:]
	case a.left > 0:
		n := min(a.left, len(p))
		if len(a.data) < maxAnswer {
			a.data = append(a.data, p[:n]...)
		}
		a.left -= n
		return nil, p[n:]
	}
	a.head = append(a.head, p[0])
	if len(a.head) == 2 {
		a.left = int(a.head[0]) | int(a.head[1])<<8
		a.ending = a.left == 0
		a.head = a.head[:0]
	}
	return nil, p[1:]
}
