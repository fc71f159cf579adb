package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"
)

// The protocol is HTTP: GET /file?path=PATH. A guest's errno comes as a 404
// with its number in a header.
const (
	filePath    = "/file"
	errnoHeader = "Gosv-Errno"
)

// patience is how long a guest may take to answer.
const patience = 30 * time.Second

// Serve answers for g what comes in at l, until l is closed.
func Serve(l net.Listener, g *Guest) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+filePath, func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), patience)
		defer cancel()
		data, err := g.Read(ctx, r.URL.Query().Get("path"))
		var errno syscall.Errno
		switch {
		case errors.As(err, &errno):
			w.Header().Set(errnoHeader, strconv.Itoa(int(errno)))
			http.Error(w, err.Error(), http.StatusNotFound)
		case err != nil:
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		default:
			w.Header().Set("Content-Type", "application/octet-stream")
			w.Write(data)
		}
	})
	s := http.Server{Handler: mux}
	return s.Serve(l)
}

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
	r, err := c.http.Get("http://vm" + filePath + "?path=" + url.QueryEscape(path))
	if err != nil {
		var u *url.Error
		if errors.As(err, &u) {
			err = u.Err
		}
		return nil, err
	}
	defer r.Body.Close()
	data, err := io.ReadAll(r.Body)
	switch errno, _ := strconv.Atoi(r.Header.Get(errnoHeader)); {
	case err != nil:
		return nil, err
	case errno != 0:
		return nil, fmt.Errorf("%s: %w", path, syscall.Errno(errno))
	case r.StatusCode != http.StatusOK:
		return nil, errors.New(string(data))
	}
	return data, nil
}
