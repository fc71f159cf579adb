package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/erofs/go-erofs"

	"gosv/internal/echo"
	"gosv/internal/network"
	"gosv/internal/strace"
	"gosv/internal/trace"
)

// The protocol is HTTP.
//
//	GET /file?path=PATH       a file of the VM's
//	GET /records?calls=LIST   what the kernel reports of those system calls, without end; with
//	                          profile=1 samples of the CPUs, and with heap=1 the kernel's heap is sampled
//	GET /packets?snaplen=N    the packets of its network, without end
//	GET /ping                 after how many ns the VM has answered; 504 if it has not
//	GET /kernel               its kernel's ELF file
//	GET /image?path=PATH      a file as it is in the image
//
// A guest's errno comes as a 404 with its number in a header.
const (
	filePath    = "/file"
	recordsPath = "/records"
	packetsPath = "/packets"
	pingPath    = "/ping"
	kernelPath  = "/kernel"
	imagePath   = "/image"
	errnoHeader = "Gosv-Errno"
)

// patience is how long a guest may take to answer.
const patience = 30 * time.Second

// VM is a running VM, as far as it can be looked into.
type VM struct {
	*Guest
	Net           *network.Interfaces
	Kernel, Image string // paths of what it was started with
}

// Server answers for a VM.
type Server struct {
	http http.Server
	vm   atomic.Pointer[VM]
}

// NewServer returns a server that answers for a VM that does not run yet.
func NewServer() *Server {
	s := &Server{}
	mux := http.NewServeMux()
	for path, answer := range map[string]func(vm *VM, w http.ResponseWriter, r *http.Request){
		filePath: (*VM).serveFile, recordsPath: (*VM).serveRecords, packetsPath: (*VM).servePackets, pingPath: (*VM).servePing, kernelPath: (*VM).serveKernel, imagePath: (*VM).serveImage,
	} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			if vm := s.vm.Load(); vm != nil {
				answer(vm, w, r)
				return
			}
			fail(w, errors.New("the VM does not run yet"))
		})
	}
	s.http.Handler = mux
	return s
}

// Show makes vm the one to answer for.
func (s *Server) Show(vm *VM) { s.vm.Store(vm) }

// Serve answers what comes in at l, until the server is closed.
func (s *Server) Serve(l net.Listener) error { return s.http.Serve(l) }

// Close lets answers about a VM that has ended come to their ends.
func (s *Server) Close() error {
	const patience = 2 * time.Second // for who does not take them
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return s.http.Shutdown(ctx)
}

func (vm *VM) serveFile(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), patience)
	defer cancel()
	data, err := vm.Read(ctx, r.URL.Query().Get("path"))
	if err != nil {
		fail(w, err)
		return
	}
	send(w, data)
}

func (vm *VM) serveRecords(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	plan := trace.Plan{Profile: q.Has("profile"), Heap: q.Has("heap")}
	if list := q.Get("calls"); list != "" {
		var err error
		if plan.Calls, err = strace.Select(list); err != nil {
			fail(w, err)
			return
		}
	}
	s := stream{w: w}
	if err := vm.Watch(r.Context(), &plan, w, s.start, s.flush); err != nil && !s.started {
		fail(w, err)
	}
}

func (vm *VM) servePing(w http.ResponseWriter, r *http.Request) {
	const patience = time.Second
	took, err := vm.Net.Ping(patience)
	switch {
	case errors.Is(err, echo.ErrNoAnswer):
		http.Error(w, err.Error(), http.StatusGatewayTimeout)
	case err != nil:
		fail(w, err)
	default:
		fmt.Fprint(w, int64(took))
	}
}

func (vm *VM) serveKernel(w http.ResponseWriter, r *http.Request) {
	b, err := os.ReadFile(vm.Kernel)
	if err != nil {
		vm.failHere(w, err)
		return
	}
	send(w, b)
}

func (vm *VM) serveImage(w http.ResponseWriter, r *http.Request) {
	b, err := vm.imageFile(r.URL.Query().Get("path"))
	if err != nil {
		vm.failHere(w, err)
		return
	}
	send(w, b)
}

// imageFile reads a file of the image that the VM was started with: the VM has nothing to
// do for it.
func (vm *VM) imageFile(path string) ([]byte, error) {
	f, err := os.Open(vm.Image)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	files, err := erofs.Open(f)
	if err != nil {
		return nil, err
	}
	return fs.ReadFile(files, strings.TrimPrefix(path, "/"))
}

func (vm *VM) servePackets(w http.ResponseWriter, r *http.Request) {
	snapLen, err := strconv.Atoi(r.URL.Query().Get("snaplen"))
	if err != nil || snapLen < 0 {
		fail(w, errors.New("no snaplen"))
		return
	}
	s := stream{w: w}
	if err := vm.capture(r.Context(), snapLen, w, s.start, s.flush); err != nil && !s.started {
		fail(w, err)
	}
}

// send answers with bytes.
func send(w http.ResponseWriter, b []byte) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Write(b)
}

// fail answers with an error.
func fail(w http.ResponseWriter, err error) {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		w.Header().Set(errnoHeader, strconv.Itoa(int(errno)))
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	http.Error(w, err.Error(), http.StatusServiceUnavailable)
}

// failHere answers with an error of ours, whose errno is not the guest's.
func (vm *VM) failHere(w http.ResponseWriter, err error) {
	select {
	case <-vm.done: // and its files are gone
		err = ErrEnded
	default:
	}
	http.Error(w, err.Error(), http.StatusServiceUnavailable)
}

// stream is an answer that goes on.
type stream struct {
	w       http.ResponseWriter
	started bool
}

func (s *stream) start() {
	s.started = true
	s.w.Header().Set("Content-Type", "application/octet-stream")
	s.w.WriteHeader(http.StatusOK)
	s.flush()
}

func (s *stream) flush() { s.w.(http.Flusher).Flush() }

// Client asks the gosv that runs a VM.
type Client struct{ http http.Client }

// NewClient returns a client that dials as dial does.
func NewClient(dial func(ctx context.Context) (net.Conn, error)) *Client {
	return &Client{http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
	}}}
}

// Read is Guest.Read.
func (c *Client) Read(path string) ([]byte, error) {
	b, err := c.whole(filePath, url.Values{"path": {path}})
	var errno syscall.Errno
	if errors.As(err, &errno) {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return b, err
}

// Records copies to w what the kernel reports of the system calls in a list (of
// strace.Select), until ctx or the VM ends: to be read by a trace.Reader that knows all
// calls. When it begins it calls started.
func (c *Client) Records(ctx context.Context, calls string, w io.Writer, started func()) error {
	return c.stream(ctx, recordsPath, url.Values{"calls": {calls}}, w, started)
}

// Samples has each CPU sampled whenever it was busy for a while (see diag.Sample), until ctx
// or the VM ends, and copies records to w as Records does.
func (c *Client) Samples(ctx context.Context, w io.Writer, started func()) error {
	return c.stream(ctx, recordsPath, url.Values{"profile": {"1"}}, w, started)
}

// SampleHeap has allocations of the kernel's heap sampled until ctx or the VM ends.
func (c *Client) SampleHeap(ctx context.Context, started func()) error {
	return c.stream(ctx, recordsPath, url.Values{"heap": {"1"}}, io.Discard, started)
}

// Kernel returns the ELF file of the VM's kernel.
func (c *Client) Kernel() ([]byte, error) {
	return c.whole(kernelPath, nil)
}

// ImageFile returns a file of the image that the VM was started with.
func (c *Client) ImageFile(path string) ([]byte, error) {
	return c.whole(imagePath, url.Values{"path": {path}})
}

// whole returns an answer.
func (c *Client) whole(path string, query url.Values) ([]byte, error) {
	body, err := c.get(context.Background(), path, query)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	b, err := io.ReadAll(body)
	return b, cut(err)
}

// Silence is the error of one who was asked and does not answer.
type Silence struct{ Why string }

func (s *Silence) Error() string { return s.Why }

// Ping asks the VM's network for an answer, and returns after what time it came. Its error
// is a Silence if none did.
func (c *Client) Ping() (time.Duration, error) {
	b, err := c.whole(pingPath, nil)
	if err != nil {
		return 0, err
	}
	ns, err := strconv.ParseInt(string(b), 10, 64)
	return time.Duration(ns), err
}

// ErrKilled is returned when the gosv that runs the VM ends in the middle of an answer.
var ErrKilled = errors.New("the gosv that ran the VM is gone")

// cut is what an answer that breaks off means.
func cut(err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) {
		return ErrKilled
	}
	return err
}

// stream copies an answer that goes on. The end of ctx is no error.
func (c *Client) stream(ctx context.Context, path string, query url.Values, w io.Writer, started func()) error {
	body, err := c.get(ctx, path, query)
	if err == nil {
		started()
		_, err = io.Copy(w, body)
		body.Close()
	}
	if ctx.Err() != nil {
		return nil
	}
	return cut(err)
}

// get begins to ask.
func (c *Client) get(ctx context.Context, path string, query url.Values) (io.ReadCloser, error) {
	q, err := http.NewRequestWithContext(ctx, "GET", "http://vm"+path+"?"+query.Encode(), nil)
	if err != nil {
		return nil, err
	}
	r, err := c.http.Do(q)
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return nil, err
	}
	errno, _ := strconv.Atoi(r.Header.Get(errnoHeader))
	if r.StatusCode == http.StatusOK {
		return r.Body, nil
	}
	defer r.Body.Close()
	if errno != 0 {
		return nil, syscall.Errno(errno)
	}
	b, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, cut(err)
	}
	said := strings.TrimSpace(string(b))
	if r.StatusCode == http.StatusGatewayTimeout {
		return nil, &Silence{said}
	}
	return nil, errors.New(said)
}
