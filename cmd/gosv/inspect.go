package main

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"gosv/internal/inspect"
)

// looker reads files of a running VM.
type looker interface {
	Read(path string) ([]byte, error)
}

// lookInto makes a command that looks into a VM.
func lookInto(use, short string, args cobra.PositionalArgs, f func(vm looker, args []string) error) *cobra.Command {
	return onVM(use, short, args, func(vm *inspect.Client, args []string) error { return f(vm, args[1:]) })
}

// onVM makes a command that asks a VM, which its first argument names.
func onVM(use, short string, args cobra.PositionalArgs, f func(vm *inspect.Client, args []string) error) *cobra.Command {
	return &cobra.Command{
		Use:   use,
		Short: short,
		Args:  args,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := dialVM(args[0])
			if err != nil {
				return err
			}
			return f(c, args)
		},
	}
}

func catCommand() *cobra.Command {
	return lookInto("cat NAME PATH...", "Print files of a running VM; of a directory, the names in it", cobra.MinimumNArgs(2),
		func(vm looker, paths []string) error {
			for _, p := range paths {
				b, err := vm.Read(p)
				if err != nil {
					return err
				}
				if _, err := os.Stdout.Write(b); err != nil {
					return err
				}
			}
			return nil
		})
}

func stacksCommand() *cobra.Command {
	return lookInto("stacks NAME", "Print where the kernel's goroutines are in a running VM", cobra.ExactArgs(1),
		func(vm looker, _ []string) error {
			b, err := vm.Read("/proc/gosv/stacks")
			if err != nil {
				return err
			}
			_, err = os.Stdout.Write(b)
			return err
		})
}

func topCommand() *cobra.Command {
	var every time.Duration
	cmd := lookInto("top NAME", "Show what the threads of a running VM do", cobra.ExactArgs(1),
		func(vm looker, _ []string) error {
			if every <= 0 {
				return fmt.Errorf("-d %v: some time must pass between two looks", every)
			}
			tty := term.IsTerminal(int(os.Stdout.Fd()))
			var before *sample
			for {
				now, err := take(vm)
				if err != nil {
					return err
				}
				if before != nil {
					if tty {
						fmt.Print("\x1b[H\x1b[J")
					}
					if err := now.print(os.Stdout, before); err != nil || !tty {
						return err
					}
				}
				before = now
				time.Sleep(every)
			}
		})
	cmd.Flags().DurationVarP(&every, "delay", "d", time.Second, "time between two looks")
	return cmd
}

// sample is what /proc says at one time.
type sample struct {
	uptime  float64 // seconds
	memory  map[string]uint64
	rss     uint64 // bytes
	threads []thread
	cpus    int
}

// thread is one of the program's, or the program as a whole.
type thread struct {
	id    int
	name  string
	state string
	ticks uint64 // CPU time, in hundredths of a second
}

// take reads a sample.
func take(vm looker) (*sample, error) {
	s := &sample{memory: map[string]uint64{}}
	up, err := vm.Read("/proc/uptime")
	if err != nil {
		return nil, err
	}
	if _, err := fmt.Sscan(string(up), &s.uptime); err != nil {
		return nil, fmt.Errorf("/proc/uptime: %w", err)
	}
	meminfo, err := vm.Read("/proc/meminfo")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(meminfo)) {
		k, v, _ := strings.Cut(line, ":")
		var kib uint64
		fmt.Sscan(v, &kib)
		s.memory[k] = kib << 10
	}
	cpus, err := vm.Read("/proc/stat")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(cpus)) {
		if strings.HasPrefix(line, "cpu") && !strings.HasPrefix(line, "cpu ") {
			s.cpus++
		}
	}
	statm, err := vm.Read("/proc/self/statm")
	if err != nil {
		return nil, err
	}
	var size uint64
	fmt.Sscan(string(statm), &size, &s.rss)
	s.rss *= 4096
	tasks, err := vm.Read("/proc/self/task")
	if err != nil {
		return nil, err
	}
	for id := range strings.FieldsSeq(string(tasks)) {
		if _, err := strconv.Atoi(id); err != nil {
			continue // . and ..
		}
		stat, err := vm.Read("/proc/self/task/" + id + "/stat")
		if err != nil {
			continue // it has ended
		}
		t, err := parseStat(string(stat))
		if err != nil {
			return nil, err
		}
		s.threads = append(s.threads, t)
	}
	return s, nil
}

// parseStat reads /proc/PID/stat (man 5 proc_pid_stat).
func parseStat(s string) (t thread, err error) {
	open, end := strings.IndexByte(s, '('), strings.LastIndexByte(s, ')')
	if open < 0 || end < open {
		return t, fmt.Errorf("no line of a stat file: %q", s)
	}
	t.name = s[open+1 : end]
	t.id, err = strconv.Atoi(strings.TrimSpace(s[:open]))
	const state, utime, stime = 0, 11, 12 // of the fields after the name
	f := strings.Fields(s[end+1:])
	if err != nil || len(f) <= stime {
		return t, fmt.Errorf("no line of a stat file: %q", s)
	}
	t.state = f[state]
	user, err1 := strconv.ParseUint(f[utime], 10, 64)
	system, err2 := strconv.ParseUint(f[stime], 10, 64)
	t.ticks = user + system
	return t, errors.Join(err1, err2)
}

// print shows s, and how much each thread ran since before.
func (s *sample) print(out io.Writer, before *sample) error {
	mib := func(n uint64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
	fmt.Fprintf(out, "up %.0f s, %d CPUs, memory %s of %s free, the program has %s\n\n",
		s.uptime, s.cpus, mib(s.memory["MemFree"]), mib(s.memory["MemTotal"]), mib(s.rss))
	old := map[int]uint64{}
	for _, t := range before.threads {
		old[t.id] = t.ticks
	}
	passed := (s.uptime - before.uptime) * 100
	percent := func(t thread) float64 {
		if passed <= 0 {
			return 0
		}
		return float64(t.ticks-min(t.ticks, old[t.id])) / passed * 100
	}
	slices.SortStableFunc(s.threads, func(a, b thread) int {
		switch x, y := percent(a), percent(b); {
		case x > y:
			return -1
		case x < y:
			return 1
		}
		return a.id - b.id
	})
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "THREAD\tSTATE\t%CPU\tTIME\t NAME")
	for _, t := range s.threads {
		fmt.Fprintf(w, "%d\t%s\t%.1f\t%.2f\t %s\n", t.id, t.state, percent(t), float64(t.ticks)/100, t.name)
	}
	return w.Flush()
}

func netstatCommand() *cobra.Command {
	return lookInto("netstat NAME", "List the sockets of a running VM", cobra.ExactArgs(1), func(vm looker, _ []string) error {
		w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
		fmt.Fprintln(w, "PROTO\tRECV-Q\tSEND-Q\tLOCAL\tREMOTE\tSTATE")
		for _, proto := range []string{"tcp", "tcp6", "udp", "udp6"} {
			b, err := vm.Read("/proc/net/" + proto)
			if err != nil {
				continue // a kernel without it
			}
			sockets, err := parseSockets(string(b))
			if err != nil {
				return fmt.Errorf("/proc/net/%s: %w", proto, err)
			}
			for _, s := range sockets {
				state := s.state
				if strings.HasPrefix(proto, "udp") {
					state = ""
				}
				fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\t%s\n", proto, s.receive, s.send, s.local, s.remote, state)
			}
		}
		return w.Flush()
	})
}

// netSocket is a line of /proc/net/tcp and its like.
type netSocket struct {
	local, remote netip.AddrPort
	state         string
	send, receive uint64 // bytes in its queues
}

// tcpStates are the names of a socket's states, from 1 on (man 8 netstat).
var tcpStates = [...]string{1: "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE", "CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING"}

// parseSockets reads such a file, whose first line is a heading.
func parseSockets(text string) (all []netSocket, err error) {
	for i, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		if i == 0 {
			continue
		}
		f := strings.Fields(line) // sl local remote state tx:rx ...
		if len(f) < 5 {
			return nil, fmt.Errorf("a line that makes no sense: %q", line)
		}
		var s netSocket
		var err1, err2 error
		s.local, err1 = parseEndpoint(f[1])
		s.remote, err2 = parseEndpoint(f[2])
		state, err3 := strconv.ParseUint(f[3], 16, 8)
		tx, rx, _ := strings.Cut(f[4], ":")
		var err4, err5 error
		s.send, err4 = strconv.ParseUint(tx, 16, 64)
		s.receive, err5 = strconv.ParseUint(rx, 16, 64)
		if err := errors.Join(err1, err2, err3, err4, err5); err != nil {
			return nil, err
		}
		s.state = strconv.Itoa(int(state))
		if int(state) < len(tcpStates) && tcpStates[state] != "" {
			s.state = tcpStates[state]
		}
		all = append(all, s)
	}
	return all, nil
}

// parseEndpoint reads ADDRESS:PORT in hexadecimal, the address in words of four
// bytes, each in the machine's order.
func parseEndpoint(s string) (netip.AddrPort, error) {
	addr, port, _ := strings.Cut(s, ":")
	b, err := hex.DecodeString(addr)
	n, err2 := strconv.ParseUint(port, 16, 16)
	if err != nil || err2 != nil || len(b) != 4 && len(b) != 16 {
		return netip.AddrPort{}, fmt.Errorf("%q is no address", s)
	}
	for w := b; len(w) > 0; w = w[4:] {
		binary.BigEndian.PutUint32(w, binary.LittleEndian.Uint32(w))
	}
	a, _ := netip.AddrFromSlice(b)
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), nil
}

func metricsCommand() *cobra.Command {
	return lookInto("metrics NAME", "Print figures of a running VM, in the form that Prometheus reads", cobra.ExactArgs(1), func(vm looker, _ []string) error {
		s, err := take(vm)
		if err != nil {
			return err
		}
		kernel, err := vm.Read("/proc/gosv/memory")
		if err != nil {
			return err
		}
		return s.metrics(os.Stdout, string(kernel))
	})
}

// metrics writes s, and the kernel's own figures, in Prometheus's text format.
func (s *sample) metrics(out io.Writer, kernel string) error {
	var b strings.Builder
	metric := func(name, kind, help string, value float64) {
		fmt.Fprintf(&b, "# HELP gosv_%s %s\n# TYPE gosv_%s %s\ngosv_%s %s\n", name, help, name, kind, name, strconv.FormatFloat(value, 'g', -1, 64))
	}
	metric("uptime_seconds", "counter", "Time since the VM's start.", s.uptime)
	metric("cpus", "gauge", "Number of CPUs.", float64(s.cpus))
	metric("threads", "gauge", "Threads of the program.", float64(len(s.threads)))
	metric("program_resident_bytes", "gauge", "Memory of the program.", float64(s.rss))
	var ticks uint64
	for _, t := range s.threads {
		ticks += t.ticks
	}
	metric("thread_cpu_seconds", "gauge", "CPU time of the threads that there are.", float64(ticks)/100)
	for line := range strings.Lines(kernel) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return fmt.Errorf("/proc/gosv/memory: %w", err)
			}
			metric("kernel_"+name, "gauge", "Of the kernel: "+strings.ReplaceAll(name, "_", " ")+".", v)
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}
