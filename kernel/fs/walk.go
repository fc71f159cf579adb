package fs

import "gosv/kernel/errno"

// At says for whom a path is resolved, and from where.
type At struct {
	Caller *Caller
	Root   Place // where absolute paths begin, and ".." ends
	Base   Place // where others begin
	Flags  uint32

	Err errno.Errno // what is wrong with the path, told when it is its turn

	Watcher Watcher // nil: nobody watches
	Emptied bool    // set by Open if it threw a file's contents away
}

// Flags of At.
const (
	NoFollow = 1 << iota // a symbolic link at the end of the path is meant itself
	OnlyDir              // what is not a directory is ENOTDIR

	// As in openat2(2).
	NoXDev
	NoMagicLinks
	NoSymlinks
	Beneath
	InRoot
)

// maxLinks is how many symbolic links a path may lead through (MAXSYMLINKS).
const maxLinks = 40

// Jumper is a symbolic link that does not lead along a path but to a place, as
// those in /proc/self/fd do.
type Jumper interface {
	Jump() (Place, errno.Errno)
}

// Lookup returns the place that path leads to.
func (at *At) Lookup(path string) (Place, errno.Errno) {
	w := walk{At: at, mode: Directory}
	if err := w.start(path); err != 0 {
		return Place{}, err
	}
	err := w.to(path, false)
	return w.place, err
}

// walk is a path's resolution on its way.
type walk struct {
	*At
	place Place
	mode  uint32 // of place.Inode
	links int

	// The root directory was needed: until then Linux takes it for one on another mount.
	rooted bool

	// Where a walk for a name's sake stopped: at the directory that place is.
	last  string // the path's last component; "" for the root
	slash bool   // slashes follow it
}

// start puts w where path begins.
func (w *walk) start(path string) errno.Errno {
	if w.Err != 0 {
		return w.Err
	}
	if path == "" {
		return errno.ENOENT
	}
	w.place = w.Base
	if path[0] == '/' {
		if w.Flags&Beneath != 0 {
			return errno.EXDEV
		}
		w.place = *w.top()
	}
	w.rooted = path[0] == '/' || w.Flags&(InRoot|Beneath) != 0
	w.mode = w.place.Inode.Mode()
	return 0
}

// top is where absolute paths begin and ".." ends.
func (w *walk) top() *Place {
	if w.Flags&(InRoot|Beneath) != 0 {
		return &w.Base
	}
	return &w.Root
}

func (w *walk) toRoot() errno.Errno {
	if w.Flags&Beneath != 0 {
		return errno.EXDEV
	}
	top := w.top()
	if w.Flags&NoXDev != 0 && (!w.rooted || w.place.Mount != top.Mount) {
		return errno.EXDEV
	}
	w.rooted = true
	w.place = *top
	return 0
}

// to goes where path leads, or with stopAtLast to the directory that has its
// last component, which is not looked at.
func (w *walk) to(path string, stopAtLast bool) errno.Errno {
	for {
		if path == "" {
			return w.end()
		}
		if !IsDir(w.mode) {
			return errno.ENOTDIR
		}
		if path = trimSlashes(path); path == "" {
			return w.end()
		}
		if !w.Caller.Can(CapDACReadSearch) {
			if err := w.Caller.Access(w.place.Inode, MayExec); err != 0 {
				return err
			}
		}
		name, rest, slash := cutSlash(path)
		rest = trimSlashes(rest)
		if rest == "" && stopAtLast {
			w.last, w.slash = name, slash
			return 0
		}
		from := w.place
		if err := w.step(name); err != 0 {
			return err
		}
		if IsSymlink(w.mode) && (slash || w.Flags&NoFollow == 0) {
			target, err := w.follow(from)
			if err != 0 {
				return err
			}
			switch {
			case rest != "":
				target += "/" + rest
			case slash:
				target += "/"
			}
			path = target
			continue
		}
		if rest == "" {
			if slash && !IsDir(w.mode) {
				return errno.ENOTDIR
			}
			return w.end()
		}
		path = rest
	}
}

// trimSlashes and cutSlash are strings.TrimLeft and Cut for slashes: package
// strings stays out of the kernel (docs/contracts.md).
func trimSlashes(path string) string {
	for len(path) > 0 && path[0] == '/' {
		path = path[1:]
	}
	return path
}

func cutSlash(path string) (name, rest string, found bool) {
	for i := range len(path) {
		if path[i] == '/' {
			return path[:i], path[i+1:], true
		}
	}
	return path, "", false
}

// end checks where a path ended.
func (w *walk) end() errno.Errno {
	if w.Flags&OnlyDir != 0 && !IsDir(w.mode) {
		return errno.ENOTDIR
	}
	return 0
}

// step goes to an entry of the directory it is at.
func (w *walk) step(name string) errno.Errno {
	switch name {
	case ".":
		return 0
	case "..":
		return w.up()
	}
	p := &w.place
	if len(name) > MaxName {
		if p.Inode.Attr().Nlink == 0 { // nothing is looked up in a directory that was removed
			return errno.ENOENT
		}
		return errno.ENAMETOOLONG
	}
	if m := p.Mount.mountAt(p.Inode, name); m != nil {
		if w.Flags&NoXDev != 0 {
			return errno.EXDEV
		}
		w.place = m.Place()
		w.mode = w.place.Inode.Mode()
		return 0
	}
	n, err := p.Inode.Lookup(name)
	if err != 0 {
		return err
	}
	p.dir, p.Inode, p.name = p.Inode, n, name
	w.mode = n.Mode()
	return 0
}

// up goes to the parent directory.
func (w *walk) up() errno.Errno {
	p := &w.place
	w.rooted = true
	if top := w.top(); p.Same(top) {
		if w.Flags&Beneath != 0 {
			return errno.EXDEV
		}
		return 0
	}
	if p.isTop() {
		if p.Mount.parent.Inode == nil {
			return 0
		}
		if w.Flags&NoXDev != 0 {
			return errno.EXDEV
		}
		*p = p.Mount.parent
		return 0
	}
	n, err := p.Inode.Lookup("..")
	if err != 0 {
		return err
	}
	*p = Place{Mount: p.Mount, Inode: n}
	return 0
}

// follow reads the symbolic link that w is at, goes back to where its target
// begins, and returns that. A link that leads to a place has no target left.
func (w *walk) follow(from Place) (target string, err errno.Errno) {
	if w.links++; w.links > maxLinks || w.Flags&NoSymlinks != 0 {
		return "", errno.ELOOP
	}
	link := w.place.Inode
	if j, ok := link.(Jumper); ok {
		if w.Flags&(NoMagicLinks|Beneath|InRoot) != 0 {
			if w.Flags&NoMagicLinks != 0 {
				return "", errno.ELOOP
			}
			return "", errno.EXDEV
		}
		p, err := j.Jump()
		if err != 0 {
			return "", err
		}
		if w.Flags&NoXDev != 0 && p.Mount != w.place.Mount {
			return "", errno.EXDEV
		}
		w.place, w.mode = p, p.Inode.Mode()
		return "", 0
	}
	if target, err = link.Readlink(w.Caller); err != 0 {
		return "", err
	}
	if target == "" {
		return "", errno.ENOENT
	}
	w.place, w.mode = from, Directory
	if target[0] == '/' {
		err = w.toRoot()
	}
	return target, err
}
