package perfetto

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"gosv/internal/strace"
	"gosv/internal/trace"
)

type parsed struct {
	Name     string
	Cat, Ph  string
	TS, Dur  float64
	PID, TID int
	Args     map[string]any
}

func write(t *testing.T, events ...trace.Event) (list []parsed) {
	t.Helper()
	plan, err := strace.Select("all")
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	p := NewWriter(&b, plan)
	for _, e := range events {
		p.Event(e)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	var all struct{ TraceEvents []parsed }
	if err := json.Unmarshal(b.Bytes(), &all); err != nil {
		t.Fatalf("%v: %s", err, b.String())
	}
	return all.TraceEvents
}

func TestWriter(t *testing.T) {
	getpid := &trace.Call{TID: 7, NR: 39, Start: 5_001, Over: true, Duration: 1_500, Result: 7}
	pause := &trace.Call{TID: 8, NR: 34, Start: 6_000, Waited: true}
	events := write(t,
		trace.Mark{Time: 1_000, Stage: "tables"}, trace.Mark{Time: 3_500, Stage: "runtime"},
		trace.Thread{TID: 7, Time: 4_000, Name: `a "prog"`}, trace.Thread{TID: 8, Time: 4_100, Name: "worker"},
		getpid, pause,
		trace.Fault{TID: 7, Start: 7_000, Duration: 10, Addr: 0x1000, Access: 1},
		trace.Ran{TID: 7, CPU: 0, Start: 4_000, Duration: 4_000},
		trace.Ran{TID: 8, CPU: 0, Start: 7_000, Duration: 2_000}, // reported late: it began later
		trace.Signal{TID: 7, Time: 8_000, Info: [32]byte{11}},
		trace.End{TID: 7, Time: 9_000, Status: 139, Signal: 11})
	find := func(name string) (e parsed) {
		for _, e := range events {
			if e.Name == name && e.Ph != "M" {
				return e
			}
		}
		t.Fatalf("no %s in %+v", name, events)
		return e
	}
	if e := find("runtime"); e.TS != 1 || e.Dur != 2.5 || e.PID != machine {
		t.Errorf("%+v", e)
	}
	if e := find("getpid"); e.TS != 5.001 || e.Dur != 1.5 || e.PID != 7 || e.TID != 7 || e.Args["result"] != "7" || e.Args["call"] != "getpid()" {
		t.Errorf("%+v", e)
	}
	if e := find("pause"); e.TID != 8 || e.TS != 6 || e.Dur != 3 || e.Args["result"] != "?" { // to the end
		t.Errorf("%+v", e)
	}
	if e := find("worker (8)"); e.TS != 8 || e.Dur != 1 || e.TID != firstCPU { // not before the other had left the CPU
		t.Errorf("%+v", e)
	}
	find("SIGSEGV")
	find("killed by SIGSEGV")
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("full") }

func TestWriteError(t *testing.T) {
	p := NewWriter(full{}, nil)
	for range 10_000 {
		p.Event(trace.Ran{TID: 1, Duration: 1})
	}
	if p.Close() == nil {
		t.Error("nobody noticed")
	}
}

// Whatever the kernel reports becomes JSON, and slices that do not overlap.
func FuzzWriter(f *testing.F) {
	plan, err := strace.Select("all")
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("\x04r\x01\x00\x05\x04t\x01\x02\xff\x05r\x01\x00\x01\x09"))
	f.Fuzz(func(t *testing.T, in []byte) {
		var list []trace.Event
		r := trace.NewReader(&trace.Plan{Calls: plan}, func(e trace.Event) { list = append(list, e) })
		r.Write(in)
		until := map[[2]int]time.Duration{}
		for _, e := range write(t, list...) {
			if e.Ph != "X" {
				continue
			}
			start, end := time.Duration(e.TS*1000+0.5), time.Duration((e.TS+e.Dur)*1000+0.5)
			track := [2]int{e.PID, e.TID}
			if start < until[track] && e.TS < 1<<40 { // beyond that a float64 is not exact
				t.Errorf("%+v begins before the one before it ended", e)
			}
			until[track] = end
		}
	})
}
