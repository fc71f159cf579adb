package firecracker

import (
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"gosv/internal/vmm"
)

// Jail is what Firecracker's jailer takes from firecracker: all files but those in a
// directory, and root's rights.
type Jail struct {
	UID, GID int

	path string // of the jailer
}

// Nobody is the user and group of --jailer without a value.
const Nobody = "65534:65534"

// ParseJail reads UID[:GID].
func ParseJail(s string) (*Jail, error) {
	user, group, ok := strings.Cut(s, ":")
	if !ok {
		group = user
	}
	uid, uerr := strconv.ParseUint(user, 10, 31)
	gid, gerr := strconv.ParseUint(group, 10, 31)
	if uerr != nil || gerr != nil {
		return nil, fmt.Errorf("--jailer %s: UID[:GID] is wanted, numbers of a user and a group", s)
	}
	if uid == 0 {
		return nil, errors.New("--jailer 0: root is not to be in a jail, it gets out")
	}
	if os.Geteuid() != 0 {
		return nil, errors.New("--jailer needs root: the jailer makes devices, and becomes another user")
	}
	path, err := vmm.Find("jailer", "it comes with Firecracker's releases; put the binary there")
	if err != nil {
		return nil, err
	}
	return &Jail{int(uid), int(gid), path}, nil
}

// cell is the directory that becomes firecracker's root.
type cell struct {
	*Jail
	dir, base, exec string
}

const inmate = "vm" // the jailer's id of the machine, whose directory nobody shares

// cell makes one in dir for the program at path.
func (j *Jail) cell(dir, path string) (*cell, error) {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, err
	}
	f, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return nil, fmt.Errorf("%s needs shared libraries, which are outside; that of Firecracker's releases needs none", path)
		}
	}
	base := filepath.Join(dir, "jail")
	c := &cell{j, filepath.Join(base, filepath.Base(path), inmate, "root"), base, path}
	return c, os.MkdirAll(c.dir, 0o755)
}

// take puts a copy of a file into the cell by that name and returns its path there.
func (c *cell) take(path, name string) (string, error) {
	from, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer from.Close()
	name = "/" + name
	to, err := os.OpenFile(filepath.Join(c.dir, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o444)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(to, from)
	return name, errors.Join(err, to.Close())
}

// command is how to start firecracker with args in the cell.
func (c *cell) command(args []string) []string {
	return append([]string{c.path, "--id", inmate, "--exec-file", c.exec, "--uid", strconv.Itoa(c.UID), "--gid", strconv.Itoa(c.GID),
		"--chroot-base-dir", c.base, "--"}, args...)
}
