package linux

import (
	"encoding/binary"
	"strings"
	"testing"
)

// readString returns the string at a in a stack.
func (st *startStack) readString(a uintptr) string {
	b := st.bytes[a-st.sp:]
	return string(b[:strings.IndexByte(string(b), 0)])
}

func TestStack(t *testing.T) {
	for _, c := range []struct{ argv, envp []string }{
		{nil, nil},
		{[]string{"a"}, nil},
		{[]string{"prog", "b c", "", "ü"}, []string{"A=1", "EMPTY=", "LONG=" + strings.Repeat("x", 100_000)}},
	} {
		const top = 0x7ffffffff000
		si := startInfo{path: "/bin/prog", argv: c.argv, envp: c.envp, random: [16]byte{1, 2, 3, 15: 9}, entry: 0x401000, phdr: 0x400040, phnum: 7}
		st, err := si.build(top, maxArgTotal)
		if err != 0 {
			t.Fatal(err)
		}
		if st.sp%16 != 0 || st.sp+uintptr(len(st.bytes)) != top {
			t.Fatalf("sp %#x, %d bytes", st.sp, len(st.bytes))
		}
		at := 0
		word := func() uintptr { v := binary.LittleEndian.Uint64(st.bytes[at:]); at += 8; return uintptr(v) }
		if n := word(); n != uintptr(len(c.argv)) {
			t.Fatalf("argc %d", n)
		}
		for _, list := range [][]string{c.argv, c.envp} {
			for _, want := range list {
				if got := st.readString(word()); got != want {
					t.Fatalf("got %q, want %q", got, want)
				}
			}
			if word() != 0 {
				t.Fatal("list does not end")
			}
		}
		aux := map[uintptr]uintptr{}
		for {
			k, v := word(), word()
			if k == atNull {
				break
			}
			aux[k] = v
		}
		if at > int(aux[atRandom]-st.sp) {
			t.Fatal("vector runs into the strings")
		}
		if s := st.readString(aux[atExecFn]); s != si.path {
			t.Fatalf("AT_EXECFN %q", s)
		}
		if s := st.readString(aux[atPlatform]); s != "x86_64" {
			t.Fatalf("AT_PLATFORM %q", s)
		}
		if b := st.bytes[aux[atRandom]-st.sp:][:16]; [16]byte(b) != si.random {
			t.Fatalf("AT_RANDOM %v", b)
		}
		if aux[atEntry] != si.entry || aux[atPHDR] != si.phdr || aux[atPHNum] != si.phnum || aux[atPageSize] != 4096 || aux[atClkTck] != 100 {
			t.Fatalf("%v", aux)
		}
		args := string(st.bytes[st.argLo-st.sp : st.argHi-st.sp])
		if want := strings.Join(append(c.argv, ""), "\x00"); args != want {
			t.Fatalf("argument strings %q, want %q", args, want)
		}
	}
}

func TestStackTooBig(t *testing.T) {
	long := startInfo{argv: []string{strings.Repeat("x", maxArgString)}}
	if _, err := long.build(1<<47, maxArgTotal); err != E2BIG {
		t.Error("long string:", err)
	}
	many := startInfo{envp: make([]string, maxArgTotal/9+1)}
	if _, err := many.build(1<<47, maxArgTotal); err != E2BIG {
		t.Error("many strings:", err)
	}
}
