package state

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Image is an application image that has a name.
type Image struct {
	Name string
	Path string
	Size int64
	Made time.Time
}

const imageSuffix = ".img"

// ImagePath is where the image of that name is, or is to be put.
func (s *Store) ImagePath(name string) (string, error) {
	if !validName.MatchString(name) {
		return "", fmt.Errorf("%q is no name for an image: letters, digits, and _.- after the first, 63 at most", name)
	}
	dir := filepath.Join(s.dir, "images")
	return filepath.Join(dir, name+imageSuffix), os.MkdirAll(dir, 0o700)
}

// Half is what a file is called in which this process makes the image that will be at path.
func Half(path string) string { return fmt.Sprintf("%s.%d%s", path, os.Getpid(), halfSuffix) }

const halfSuffix = ".tmp"

// sweepImages removes those that were half made when their process was killed.
func (s *Store) sweepImages() {
	halves, err := filepath.Glob(filepath.Join(s.dir, "images", "*"+imageSuffix+".*"+halfSuffix))
	if err != nil {
		return
	}
	for _, half := range halves {
		pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Ext(strings.TrimSuffix(half, halfSuffix)), "."))
		if err == nil && pid > 0 && syscall.Kill(pid, 0) == syscall.ESRCH {
			os.Remove(half)
		}
	}
}

// FindImage returns the path of the image of that name; !ok if there is none.
func (s *Store) FindImage(name string) (path string, ok bool) {
	path, err := s.ImagePath(name)
	if err != nil {
		return "", false
	}
	_, err = os.Stat(path)
	return path, err == nil
}

// Images returns the images that have names, by name.
func (s *Store) Images() (all []Image, err error) {
	dir := filepath.Join(s.dir, "images")
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), imageSuffix)
		info, err := e.Info()
		if ok && err == nil && validName.MatchString(name) {
			all = append(all, Image{name, filepath.Join(dir, e.Name()), info.Size(), info.ModTime()})
		}
	}
	return all, err
}

// RemoveImage removes an image.
func (s *Store) RemoveImage(name string) error {
	path, ok := s.FindImage(name)
	if !ok {
		return fmt.Errorf("%s: there is no image of that name", name)
	}
	return os.Remove(path)
}
