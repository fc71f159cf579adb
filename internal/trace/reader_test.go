package trace

import (
	"encoding/binary"
	"reflect"
	"testing"
	"time"

	"gosv/internal/diag"
)

// record makes one of numbers and bytes.
func record(kind byte, parts ...any) []byte {
	body := []byte{kind}
	for _, p := range parts {
		switch p := p.(type) {
		case int:
			body = binary.AppendUvarint(body, uint64(p))
		case string:
			body = append(body, p...)
		}
	}
	return append(binary.AppendUvarint(nil, uint64(len(body))), body...)
}

var testPlan = &Plan{Calls: map[int]CallPlan{
	0:  {Args: 3, Captures: []Capture{{Arg: 1, How: diag.Bytes, OnExit: true, Count: diag.Result, Size: 1, Max: 32}}},
	20: {Args: 3, Captures: []Capture{{Arg: 1, How: diag.Vector, Count: 2, Size: 1, Max: 32}}},
	39: {},
}}

func TestReader(t *testing.T) {
	in := append(record(diag.Thread, 1, 10, "main"), record(diag.Call, 1, 39, 20, 5, 0, 1)...)
	in = append(in, record(diag.Entered, 1, 0, 30, 0, 4096, 10)...)
	in = append(in, record(diag.Call, 2, 20, 31, 1, 8192, 1, 2, 64, 2, 3, "hi", 7, 0, 2)...)
	in = append(in, record(diag.Signal, 2, 35, "0123456789abcdef0123456789abcdef")...)
	in = append(in, record(diag.Left, 1, 70, 0, 3, 4, "abc")...)
	in = append(in, record(diag.Fault, 1, 100, 2, 0x5000, 1, 0)...)
	in = append(in, record(diag.Ran, 1, 0, 10, 90)...)
	in = append(in, record(diag.Mark, 3, "tables")...)
	in = append(in, record(diag.Gone, 2, 110)...)
	in = append(in, record(diag.End, 1, 120, 139, 11, 1)...)
	read := Call{TID: 1, NR: 0, Start: 30, Args: []uint64{0, 4096, 10}, Data: []Data{{}}, Waited: true}
	over := read
	over.Over, over.Duration, over.Result, over.Data = true, 70, 3, []Data{{OK: true, Bytes: []byte("abc")}}
	signal := Signal{TID: 2, Time: 35}
	copy(signal.Info[:], "0123456789abcdef0123456789abcdef")
	want := []Event{
		Thread{1, 10, "main"},
		&Call{TID: 1, NR: 39, Start: 20, Args: []uint64{}, Data: []Data{}, Over: true, Duration: 5, Result: 1},
		&read,
		&Call{TID: 2, NR: 20, Start: 31, Args: []uint64{1, 8192, 1}, Over: true, Duration: 7, Result: 2,
			Data: []Data{{OK: true, Parts: []Part{{Base: 64, Len: 2, OK: true, Bytes: []byte("hi")}}}}},
		signal,
		&over,
		Fault{1, 100, 2, 0x5000, 1, false},
		Ran{1, 0, 10, 90 * time.Nanosecond},
		Mark{3, "tables"},
		Gone{2, 110},
		End{1, 120, 139, 11, true},
	}
	for cut := range len(in) { // wherever the line cuts it
		var got []Event
		r := NewReader(testPlan, func(e Event) {
			if c, ok := e.(*Call); ok {
				kept := *c
				kept.Data = append([]Data{}, c.Data...)
				e = &kept
			}
			got = append(got, e)
		})
		r.Write(in[:cut])
		r.Write(in[cut:])
		if r.Err() != nil || !reflect.DeepEqual(got, want) {
			for i := range got {
				t.Errorf("cut at %d: %+v", cut, got[i])
			}
			t.Fatal(r.Err())
		}
	}
}

// Who looks late sees the end of a call whose beginning it has not seen.
func TestReaderLate(t *testing.T) {
	var got []Event
	r := NewReader(testPlan, func(e Event) { got = append(got, e) })
	r.Write(record(diag.Left, 1, 70, 0, 3, 4, "abc"))
	r.Write(record(diag.Lost, 7))
	if want := []Event{Lost{7}}; r.Err() != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, r.Err())
	}
}

// A kernel that lies is found out, and nothing is made of what follows.
func TestReaderLies(t *testing.T) {
	for name, in := range map[string][]byte{
		"empty":               {0},
		"endless":             {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"huge":                binary.AppendUvarint(nil, 1<<40),
		"unknown kind":        record('?', 1),
		"cut":                 record(diag.Ran, 1, 2),
		"too long":            record(diag.Ran, 1, 2, 3, 4, 5),
		"a call not asked":    record(diag.Call, 1, 99, 0, 0, 0, 0),
		"a long capture":      record(diag.Call, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1<<40),
		"a long vector":       record(diag.Call, 1, 20, 0, 0, 0, 0, 1<<30, 0, 0, 0),
		"a negative thread":   record(diag.Gone, -1, 0),
		"a time beyond times": record(diag.Gone, 1, -1),
	} {
		n := 0
		r := NewReader(testPlan, func(Event) { n++ })
		for _, p := range [][]byte{in, record(diag.Gone, 1, 2)} {
			if k, err := r.Write(p); k != len(p) || err != nil {
				t.Errorf("%s: wrote %d, %v", name, k, err)
			}
		}
		if r.Err() == nil || n != 0 {
			t.Errorf("%s: %d events, %v", name, n, r.Err())
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add(record(diag.Call, 2, 20, 31, 1, 8192, 1, 2, 64, 2, 3, "hi", 7, 0, 2), 3)
	f.Add(record(diag.Thread, 1, 10, "main"), 1)
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		count := func(at int) (n int, failed bool) {
			r := NewReader(testPlan, func(Event) { n++ })
			r.Write(in[:at])
			r.Write(in[at:])
			return n, r.Err() != nil
		}
		if cut < 0 || cut > len(in) {
			cut = 0
		}
		n, failed := count(len(in))
		if m, mfailed := count(cut); m != n || mfailed != failed {
			t.Errorf("%x cut at %d: %d events, %v; whole: %d, %v", in, cut, m, mfailed, n, failed)
		}
	})
}
