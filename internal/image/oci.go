package image

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Container is a container image: a root file system, and what to run in it.
type Container struct {
	image v1.Image
	clean func()

	Entrypoint, Cmd, Env []string
	Dir, User            string
}

// pullPrefix is what a reference to a registry begins with.
const pullPrefix = "docker://"

// IsContainer says whether arg names a container image: docker://REFERENCE, a
// directory in the OCI image layout, or an archive of either kind.
func IsContainer(arg string) bool {
	if strings.HasPrefix(arg, pullPrefix) {
		return true
	}
	if _, err := os.Stat(filepath.Join(arg, "oci-layout")); err == nil {
		return true
	}
	members, err := archiveMembers(arg, "oci-layout", "manifest.json")
	return err == nil && len(members) > 0
}

// archiveMembers returns which of the names are in the archive file.
func archiveMembers(file string, names ...string) (found map[string]bool, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// Whatever else it is, it is not read from end to end to find out.
	var head [tarHead]byte
	if _, err := io.ReadFull(f, head[:]); err != nil || !isTar(head[:]) {
		return nil, errors.New("not a tar archive")
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	found = map[string]bool{}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err != nil {
			return found, nil
		}
		for _, n := range names {
			if filepath.Clean(h.Name) == n {
				found[n] = true
			}
		}
	}
}

// OpenContainer opens what IsContainer knows, for linux/amd64. The caller
// calls Close.
func OpenContainer(arg string) (*Container, error) {
	c := &Container{clean: func() {}}
	if err := c.open(arg); err != nil {
		c.Close()
		return nil, fmt.Errorf("%s: %w", arg, err)
	}
	return c, nil
}

func (c *Container) open(arg string) (err error) {
	switch ref, pull := strings.CutPrefix(arg, pullPrefix); {
	case pull:
		err = c.pull(ref)
	case isDir(arg):
		err = c.layout(arg)
	default:
		err = c.archive(arg)
	}
	if err != nil {
		return err
	}
	config, err := c.image.ConfigFile()
	if err != nil {
		return fmt.Errorf("its configuration: %w", err)
	}
	if config.OS != "linux" || config.Architecture != "amd64" {
		return fmt.Errorf("an image for %s/%s; gosv runs linux/amd64", config.OS, config.Architecture)
	}
	c.Entrypoint, c.Cmd, c.Env = config.Config.Entrypoint, config.Config.Cmd, config.Config.Env
	c.Dir, c.User = config.Config.WorkingDir, config.Config.User
	return nil
}

// Close removes what was unpacked to read the image.
func (c *Container) Close() { c.clean() }

// Root is its file system: all layers, one over the other. It is for one use.
func (c *Container) Root() Tree { return flattened{c.image} }

type flattened struct{ image v1.Image }

func (f flattened) fill(b *builder) error {
	r := mutate.Extract(f.image)
	defer r.Close()
	return Tar{r}.fill(b)
}

var platform = v1.Platform{OS: "linux", Architecture: "amd64"}

func (c *Container) pull(ref string) error {
	r, err := name.ParseReference(ref)
	if err != nil {
		return err
	}
	c.image, err = remote.Image(r, remote.WithPlatform(platform), remote.WithAuthFromKeychain(authn.DefaultKeychain))
	return err
}

// layout takes the one image of an OCI image layout.
func (c *Container) layout(dir string) error {
	p, err := layout.FromPath(dir)
	if err != nil {
		return err
	}
	index, err := p.ImageIndex()
	if err != nil {
		return err
	}
	c.image, err = pick(index)
	return err
}

// pick returns the image of our platform in index: the only one, or else the
// only one that says so.
func pick(index v1.ImageIndex) (v1.Image, error) {
	m, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	var found []v1.Descriptor
	for _, d := range m.Manifests {
		if (d.MediaType.IsImage() || d.MediaType.IsIndex()) && (d.Platform == nil || d.Platform.Satisfies(platform)) {
			found = append(found, d)
		}
	}
	switch {
	case len(found) == 0:
		return nil, errors.New("there is no image for linux/amd64 in it")
	case len(found) > 1:
		return nil, errors.New("there are several images for linux/amd64 in it")
	case found[0].MediaType.IsImage():
		return index.Image(found[0].Digest)
	}
	inner, err := index.ImageIndex(found[0].Digest)
	if err != nil {
		return nil, err
	}
	return pick(inner)
}

// archive takes what docker save or skopeo write. The OCI kind is unpacked
// first: its blobs come in any order.
func (c *Container) archive(file string) error {
	members, err := archiveMembers(file, "oci-layout", "manifest.json")
	if err != nil {
		return err
	}
	if members["manifest.json"] {
		c.image, err = tarball.ImageFromPath(file, nil)
		return err
	}
	dir, err := os.MkdirTemp("", "gosv-oci")
	if err != nil {
		return err
	}
	c.clean = func() { os.RemoveAll(dir) }
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	root, err := os.OpenRoot(dir) // no member leads out of it
	if err != nil {
		return err
	}
	defer root.Close()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			return c.layout(dir)
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		member := filepath.Clean(h.Name)
		if err := root.MkdirAll(filepath.Dir(member), 0o755); err != nil {
			return err
		}
		out, err := root.Create(member)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, r)
		if cerr := out.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return err
		}
	}
}

func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}

// user finds the numbers of USER[:GROUP], names or numbers, in the image's
// /etc/passwd and /etc/group. Without GROUP the user has all groups that name
// it as a member.
func (b *builder) user(s string) (uid, gid uint32, groups []uint32, err error) {
	name, group, hasGroup := strings.Cut(s, ":")
	users, err := b.table("/etc/passwd") // name:password:uid:gid:...
	if err != nil {
		return 0, 0, nil, err
	}
	uid, isNumber := parseID(name)
	found := false
	for _, f := range users {
		if len(f) < 4 {
			continue
		}
		u, ok1 := parseID(f[2])
		g, ok2 := parseID(f[3])
		if ok1 && ok2 && (f[0] == name && name != "" || isNumber && u == uid) {
			name, uid, gid, found = f[0], u, g, true
			break
		}
	}
	if !found && !isNumber {
		return 0, 0, nil, fmt.Errorf("there is no user %s in the image's /etc/passwd", name)
	}
	if g, ok := parseID(group); hasGroup && ok {
		return uid, g, nil, nil
	}
	table, err := b.table("/etc/group") // name:password:gid:members
	if err != nil {
		return 0, 0, nil, err
	}
	for _, f := range table {
		if len(f) < 4 {
			continue
		}
		g, ok := parseID(f[2])
		switch {
		case !ok:
		case hasGroup && f[0] == group:
			return uid, g, nil, nil
		case !hasGroup && found && slices.Contains(strings.Split(f[3], ","), name):
			groups = append(groups, g)
		}
	}
	if hasGroup {
		return 0, 0, nil, fmt.Errorf("there is no group %s in the image's /etc/group", group)
	}
	return uid, gid, groups, nil
}

func parseID(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil
}

// table returns the lines of a file of the image, split at colons; none if
// there is no such file.
func (b *builder) table(name string) (lines [][]string, err error) {
	p, err := b.resolve(name)
	if err != nil || !b.seen[p] {
		return nil, nil
	}
	f, err := b.w.Open(p)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		lines = append(lines, strings.Split(strings.TrimSpace(line), ":"))
	}
	return lines, nil
}
