// Package state keeps what gosv knows of VMs that have a name: a directory for
// each, with a description and, of one in the background, its output and how it
// ended. That a VM runs is never written down: its gosv holds a lock, which ends
// with the process, however that ends.
package state

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// VM describes a VM.
type VM struct {
	Name    string    `json:"name"`
	Command []string  `json:"command"` // program and arguments
	VMM     string    `json:"vmm"`
	Ports   []string  `json:"ports,omitempty"`
	Started time.Time `json:"started"`

	// Foreground: its output is on a terminal, and when it has ended it is forgotten.
	Foreground bool `json:"foreground,omitempty"`

	Ended *time.Time `json:"ended,omitempty"` // not set if its gosv was killed
	Code  int        `json:"code"`            // its exit code, if Ended is set

	PID int `json:"-"` // of its gosv; 0 if it does not run
}

// Store is the directory of all VMs of a user.
type Store struct{ dir string }

// Open returns the user's store: in $XDG_STATE_HOME, or else in ~/.local/state.
func Open() (*Store, error) {
	s, err := place()
	if err == nil {
		err = os.MkdirAll(s.path(""), 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("no place for what is to be known of VMs: %w", err)
	}
	return s, nil
}

// place is the store, which may not have been made yet.
func place() (*Store, error) {
	base := os.Getenv("XDG_STATE_HOME")
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, err
		}
		base = filepath.Join(home, ".local", "state")
	}
	return &Store{filepath.Join(base, "gosv")}, nil
}

// The files in a VM's directory.
const (
	description = "vm.json"
	output      = "log"
	lock        = "lock"
	socket      = "socket"
)

func (s *Store) path(name string, file ...string) string {
	return filepath.Join(append([]string{s.dir, "vms", name}, file...)...)
}

var validName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}$`)

// CheckName says what is wrong with a name.
func CheckName(name string) error {
	if !validName.MatchString(name) {
		return fmt.Errorf("%q is no name for a VM: letters, digits, and _.- after the first, 63 at most", name)
	}
	return nil
}

// Running is a VM that this process runs.
type Running struct {
	VM
	store *Store
	lock  *os.File
	Log   *os.File // takes its output; nil in the foreground
}

// Create makes a VM this process's, until the process ends. One of that name
// that has ended gives way; one that runs is an error.
func (s *Store) Create(vm VM) (*Running, error) {
	if err := CheckName(vm.Name); err != nil {
		return nil, err
	}
	r := &Running{VM: vm, store: s}
	var err error
	if r.lock, err = s.acquire(vm.Name); err != nil {
		if errors.Is(err, errHeld) {
			err = fmt.Errorf("a VM named %s runs already: gosv stop %s ends it", vm.Name, vm.Name)
		}
		return nil, err
	}
	if err := r.write(); err != nil {
		return nil, err
	}
	if vm.Foreground {
		return r, os.RemoveAll(s.path(vm.Name, output)) // of an earlier one
	}
	r.Log, err = os.OpenFile(s.path(vm.Name, output), os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	return r, err
}

var errHeld = errors.New("another process holds the lock")

// acquire takes a VM's lock, which it makes if there is none. It is one by
// process (man 2 fcntl), for the sake of who asks whose it is. Who holds it may be about to
// remove the VM: that is waited for.
func (s *Store) acquire(name string) (*os.File, error) {
	const patience, again = 100 * time.Millisecond, 5 * time.Millisecond
	for begin := time.Now(); ; {
		if err := os.MkdirAll(s.path(name), 0o700); err != nil {
			return nil, err
		}
		f, err := os.OpenFile(s.path(name, lock), os.O_RDWR|os.O_CREATE, 0o600)
		if errors.Is(err, fs.ErrNotExist) {
			continue // just removed
		}
		if err != nil {
			return nil, err
		}
		whole := unix.Flock_t{Type: unix.F_WRLCK}
		if err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &whole); err != nil {
			f.Close()
			if err != unix.EAGAIN && err != unix.EACCES {
				return nil, err
			}
			if time.Since(begin) > patience {
				return nil, errHeld
			}
			time.Sleep(again)
			continue
		}
		ours, err1 := f.Stat()
		there, err2 := os.Stat(s.path(name, lock))
		if err1 == nil && err2 == nil && os.SameFile(ours, there) {
			return f, nil
		}
		f.Close() // of a VM that was removed meanwhile
	}
}

// write replaces the description.
func (r *Running) write() error {
	b, err := json.MarshalIndent(r.VM, "", "  ")
	if err != nil {
		return err
	}
	half := r.store.path(r.Name, description+".tmp")
	if err := os.WriteFile(half, append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(half, r.store.path(r.Name, description))
}

// Listen opens the socket by which the VM's gosv is asked about it.
func (r *Running) Listen() (net.Listener, error) {
	path := r.store.path(r.Name, socket)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	short, done, err := shorten(path)
	if err != nil {
		return nil, err
	}
	defer done()
	l, err := net.Listen("unix", short)
	if err != nil {
		return nil, err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // by a name that is no more
	return l, nil
}

// Dial connects to the gosv that runs a VM.
func (s *Store) Dial(name string) (net.Conn, error) {
	switch vm, err := s.Get(name); {
	case err != nil:
		return nil, err
	case vm.PID == 0:
		return nil, fmt.Errorf("%s does not run", name)
	}
	short, done, err := shorten(s.path(name, socket))
	if err != nil {
		return nil, err
	}
	defer done()
	return net.Dial("unix", short)
}

// shorten gives a socket a path that is not too long for one (man 7 unix).
func shorten(path string) (short string, done func(), err error) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return "", nil, err
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(path)), func() { dir.Close() }, nil
}

// RunsOn notes which VMM runs it.
func (r *Running) RunsOn(vmm string) error {
	r.VMM = vmm
	return r.write()
}

// Discard forgets a VM that did not start, or ran in the foreground.
func (r *Running) Discard() error { return os.RemoveAll(r.store.path(r.Name)) }

// End notes that the VM has ended with an exit code.
func (r *Running) End(code int) error {
	now := time.Now()
	r.Ended, r.Code = &now, code
	return r.write()
}

// ErrNoVM is returned for a name that no VM has.
var ErrNoVM = errors.New("there is no VM of that name")

// Get returns a VM.
func (s *Store) Get(name string) (VM, error) {
	if CheckName(name) != nil {
		return VM{}, fmt.Errorf("%s: %w", name, ErrNoVM)
	}
	b, err := os.ReadFile(s.path(name, description))
	if errors.Is(err, fs.ErrNotExist) {
		return VM{}, fmt.Errorf("%s: %w", name, ErrNoVM)
	}
	if err != nil {
		return VM{}, err
	}
	var vm VM
	if err := json.Unmarshal(b, &vm); err != nil {
		return VM{}, fmt.Errorf("%s: %w; gosv rm %s removes it", s.path(name, description), err, name)
	}
	vm.Name = name
	if vm.PID, err = s.holder(name); err != nil {
		return VM{}, err
	}
	if vm.Foreground && vm.PID == 0 { // killed: Sweep removes it
		return VM{}, fmt.Errorf("%s: %w", name, ErrNoVM)
	}
	return vm, nil
}

// holder returns the process that holds a VM's lock, 0 if none does.
func (s *Store) holder(name string) (pid int, err error) {
	f, err := os.OpenFile(s.path(name, lock), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	whole := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &whole); err != nil {
		return 0, err
	}
	if whole.Type == unix.F_UNLCK {
		return 0, nil
	}
	return int(whole.Pid), nil
}

// List returns all VMs, those started last first, and what is wrong with those
// that cannot be read.
func (s *Store) List() ([]VM, error) {
	entries, err := os.ReadDir(s.path(""))
	if err != nil {
		return nil, err
	}
	var all []VM
	var bad []error
	for _, e := range entries {
		switch vm, err := s.Get(e.Name()); {
		case err == nil:
			all = append(all, vm)
		case !errors.Is(err, ErrNoVM): // which it is while it is being made or removed
			bad = append(bad, err)
		}
	}
	slices.SortFunc(all, func(a, b VM) int { return b.Started.Compare(a.Started) })
	return all, errors.Join(bad...)
}

// Remove forgets a VM that has ended.
func (s *Store) Remove(name string) error {
	if CheckName(name) != nil {
		return fmt.Errorf("%s: %w", name, ErrNoVM)
	}
	if _, err := os.Stat(s.path(name)); err != nil {
		return fmt.Errorf("%s: %w", name, ErrNoVM)
	}
	f, err := s.acquire(name)
	if err != nil {
		if errors.Is(err, errHeld) {
			err = fmt.Errorf("%s runs: gosv stop %s ends it, gosv rm -f %s does both", name, name, name)
		}
		return err
	}
	defer f.Close()
	return os.RemoveAll(s.path(name))
}

// CopyLog copies a VM's output to w, with follow until the VM ends.
func (s *Store) CopyLog(w io.Writer, name string, follow bool) error {
	vm, err := s.Get(name)
	if err != nil {
		return err
	}
	if vm.Foreground {
		return fmt.Errorf("%s runs in the foreground: what it prints is on its terminal only", name)
	}
	f, err := os.Open(s.path(name, output))
	if err != nil {
		return err
	}
	defer f.Close()
	const again = 100 * time.Millisecond
	for {
		if _, err := io.Copy(w, f); err != nil || !follow || vm.PID == 0 {
			return err
		}
		time.Sleep(again)
		if vm.PID, err = s.holder(name); err != nil {
			return err
		}
	}
}

// TempDir makes a directory that Sweep leaves alone as long as this process
// lives.
func TempDir() (string, error) {
	dir, err := os.MkdirTemp("", tempPrefix)
	if err != nil {
		return "", fmt.Errorf("no place for temporary files: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, lock), os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		// Never closed: the end of the process does it. Children do not inherit it.
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		held = append(held, f)
	}
	if err != nil {
		os.RemoveAll(dir)
		return "", fmt.Errorf("no place for temporary files: %w", err)
	}
	return dir, nil
}

const tempPrefix = "gosv-run-"

// held keeps the locks of TempDir from being collected.
var held []*os.File

// Sweep removes what our user's gosv that were killed have left: their temporary
// directories, and VMs that nothing is to be known of. This process must not run a VM yet.
func Sweep() {
	sweepTemp()
	if s, err := place(); err == nil {
		s.sweep()
	}
}

// sweep removes VMs that ran in the foreground, and those that nobody got to describe.
func (s *Store) sweep() {
	entries, err := os.ReadDir(s.path(""))
	if err != nil {
		return
	}
	forgotten := func(name string) bool {
		b, err := os.ReadFile(s.path(name, description))
		var vm VM
		return errors.Is(err, fs.ErrNotExist) || json.Unmarshal(b, &vm) == nil && vm.Foreground
	}
	for _, e := range entries {
		name := e.Name()
		if pid, err := s.holder(name); !forgotten(name) || err != nil || pid != 0 {
			continue
		}
		if f, err := s.acquire(name); err == nil {
			if forgotten(name) { // and not another one by now
				os.RemoveAll(s.path(name))
			}
			f.Close()
		}
	}
}

func sweepTemp() {
	entries, err := os.ReadDir(os.TempDir())
	if err != nil {
		return
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !info.IsDir() || !strings.HasPrefix(e.Name(), tempPrefix) {
			continue
		}
		if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Geteuid() {
			continue
		}
		dir := filepath.Join(os.TempDir(), e.Name())
		f, err := os.Open(filepath.Join(dir, lock))
		if err != nil {
			// Killed before it had one, or about to make it.
			const patience = time.Minute
			if time.Since(info.ModTime()) > patience {
				os.RemoveAll(dir)
			}
			continue
		}
		if unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			os.RemoveAll(dir)
		}
		f.Close()
	}
}
