// Package state keeps what gosv knows of a user's VMs: a directory for
// each, with a description and, of one in the background, its output and how it
// ended. That a VM runs is never written down: its gosv holds a lock, which ends
// with the process, however that ends.
package state

import (
	"crypto/rand"
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
	if !filepath.IsAbs(base) { // the XDG base directory specification: to be ignored
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
	lock, err := s.acquire(vm.Name, toRun)
	if err != nil {
		if errors.Is(err, errHeld) {
			err = fmt.Errorf("a VM named %s runs already: gosv stop %s ends it", vm.Name, vm.Name)
		}
		return nil, err
	}
	return s.begin(vm, lock)
}

// CreateUnnamed is Create for a VM that nobody has named: it gets a name that begins as base
// does, as far as that can be in one, and that no other has, running or not.
func (s *Store) CreateUnnamed(base string, vm VM) (*Running, error) {
	for {
		vm.Name = newName(base)
		if err := os.Mkdir(s.path(vm.Name), 0o700); errors.Is(err, fs.ErrExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		switch lock, err := s.acquire(vm.Name, toRun); {
		case err == nil:
			return s.begin(vm, lock)
		case !errors.Is(err, errHeld):
			return nil, err
		}
	}
}

// newName makes a name of base.
func newName(base string) string {
	base = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_.-", r) {
			return r
		}
		return -1
	}, base)
	const most = 40
	base = strings.TrimLeft(base[:min(len(base), most)], "_.-")
	return strings.TrimPrefix(base+"-"+strings.ToLower(rand.Text()[:4]), "-")
}

// begin describes a VM whose lock this process has.
func (s *Store) begin(vm VM, lock *os.File) (*Running, error) {
	r := &Running{VM: vm, store: s, lock: lock}
	err := r.write()
	if err == nil {
		if vm.Foreground {
			err = os.RemoveAll(s.path(vm.Name, output)) // of an earlier one
		} else {
			r.Log, err = os.OpenFile(s.path(vm.Name, output), os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
		}
	}
	if err != nil {
		r.Discard()
		return nil, err
	}
	return r, nil
}

var errHeld = errors.New("another process holds the lock")

// What parts of a VM's lock are for: who runs it has all, who removes it not the one that tells
// that it runs.
var (
	toRun    = unix.Flock_t{Type: unix.F_WRLCK}
	runs     = unix.Flock_t{Type: unix.F_WRLCK, Start: 0, Len: 1}
	toRemove = unix.Flock_t{Type: unix.F_WRLCK, Start: 1, Len: 1}
)

// acquire takes a part of a VM's lock, which it makes if there is none. It is one by
// process (man 2 fcntl), for the sake of who asks whose it is. Who holds it may be about to
// remove the VM: that is waited for.
func (s *Store) acquire(name string, part unix.Flock_t) (*os.File, error) {
	const patience, again, tries = 100 * time.Millisecond, 5 * time.Millisecond, 1000
	begin := time.Now()
	for removed := 0; ; {
		if err := os.MkdirAll(s.path(name), 0o700); err != nil {
			return nil, err
		}
		f, err := os.OpenFile(s.path(name, lock), os.O_RDWR|os.O_CREATE, 0o600)
		if err == nil {
			if err = s.take(f, name, part); err == nil {
				return f, nil
			}
			f.Close()
		}
		switch {
		case err == errHeld && time.Since(begin) < patience:
			time.Sleep(again)
		case errors.Is(err, fs.ErrNotExist) && removed < tries: // just now
			removed++
		default:
			return nil, err
		}
	}
}

// take takes a part of the lock that f is, if it is a VM's still.
func (s *Store) take(f *os.File, name string, part unix.Flock_t) error {
	switch err := unix.FcntlFlock(f.Fd(), unix.F_SETLK, &part); err {
	case nil:
	case unix.EAGAIN, unix.EACCES:
		return errHeld
	default:
		return err
	}
	ours, err := f.Stat()
	if err != nil {
		return err
	}
	there, err := os.Stat(s.path(name, lock))
	if err != nil {
		return err
	}
	if !os.SameFile(ours, there) { // of a VM that was removed meanwhile
		return fs.ErrNotExist
	}
	return nil
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
	if r.VMM == vmm {
		return nil
	}
	r.VMM = vmm
	return r.write()
}

// Discard forgets a VM that did not start, or ran in the foreground.
func (r *Running) Discard() error { return r.store.remove(r.Name) }

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
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return VM{}, fmt.Errorf("%s: %w", name, ErrNoVM)
	}
	var vm VM
	if err == nil {
		err = json.Unmarshal(b, &vm)
	}
	if err != nil {
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

// holder returns the process that runs a VM, 0 if none does.
func (s *Store) holder(name string) (pid int, err error) {
	f, err := os.OpenFile(s.path(name, lock), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return lockHolder(f)
}

// lockHolder returns the process that runs the VM whose lock f is, 0 if none does.
func lockHolder(f *os.File) (pid int, err error) {
	lock := runs
	if err := unix.FcntlFlock(f.Fd(), unix.F_GETLK, &lock); err != nil {
		return 0, err
	}
	if lock.Type == unix.F_UNLCK {
		return 0, nil
	}
	return int(lock.Pid), nil
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
	if _, err := os.Lstat(s.path(name)); err != nil {
		return fmt.Errorf("%s: %w", name, ErrNoVM)
	}
	f, err := s.acquire(name, toRemove)
	if errors.Is(err, errHeld) {
		return fmt.Errorf("%s runs: gosv stop %s ends it, gosv rm -f %s does both", name, name, name)
	}
	if err != nil { // whatever is there, nobody can hold a lock of it
		return os.RemoveAll(s.path(name))
	}
	defer f.Close()
	return s.remove(name)
}

// remove removes a VM whose lock this process holds. Another may make one of that name
// at any time: the lock goes last, and the directory only if it is empty then.
func (s *Store) remove(name string) error {
	entries, err := os.ReadDir(s.path(name))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name() != lock {
			err = errors.Join(err, os.RemoveAll(s.path(name, e.Name())))
		}
	}
	if err != nil {
		return err
	}
	if err := os.Remove(s.path(name, lock)); err != nil {
		return err
	}
	os.Remove(s.path(name))
	return nil
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
// directories, images that were half made, and VMs that nothing is to be known of. This process must not run a VM yet.
func Sweep() {
	sweepTemp()
	if s, err := place(); err == nil {
		s.sweep()
		s.sweepImages()
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
		f, err := os.OpenFile(s.path(name, lock), os.O_RDWR, 0)
		if errors.Is(err, fs.ErrNotExist) {
			syscall.Rmdir(s.path(name)) // if it is empty; who is about to fill it makes it again
			continue
		}
		if err != nil {
			continue
		}
		if pid, err := lockHolder(f); err == nil && pid == 0 && forgotten(name) && s.take(f, name, toRemove) == nil && forgotten(name) {
			s.remove(name)
		}
		f.Close()
	}
}

func sweepTemp() {
	entries, err := os.ReadDir(os.TempDir())
	if err != nil {
		return
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), tempPrefix) {
			continue // nearly all of them
		}
		info, err := e.Info()
		if err != nil {
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
