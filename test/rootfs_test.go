package test

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// rootArchive is a small system: busybox, a link to it as sh, a user.
func rootArchive(t *testing.T) []byte {
	t.Helper()
	prog, err := os.ReadFile(busybox(t))
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range []struct {
		header tar.Header
		data   []byte
	}{
		{tar.Header{Typeflag: tar.TypeReg, Name: "usr/bin/busybox", Mode: 0o755}, prog},
		{tar.Header{Typeflag: tar.TypeSymlink, Name: "bin", Linkname: "usr/bin", Mode: 0o777}, nil},
		{tar.Header{Typeflag: tar.TypeSymlink, Name: "usr/bin/sh", Linkname: "busybox", Mode: 0o777}, nil},
		{tar.Header{Typeflag: tar.TypeReg, Name: "etc/passwd", Mode: 0o644}, []byte("root:x:0:0::/:/bin/sh\nweb:x:33:34::/srv:/bin/sh\n")},
		{tar.Header{Typeflag: tar.TypeReg, Name: "srv/own", Mode: 0o600, Uid: 33, Gid: 34}, []byte("web's own\n")},
		{tar.Header{Typeflag: tar.TypeReg, Name: "srv/roots", Mode: 0o600}, []byte("root's\n")},
	} {
		m.header.Size = int64(len(m.data))
		if err := w.WriteHeader(&m.header); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(m.data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// whoAmI runs in the small system; the shell is a link to busybox.
const (
	whoAmI = "read x <own; echo $x; read y <roots; echo $y; echo $HOME $PWD; test -w /etc || echo not root"
	isWeb  = "web's own\n\n/root /srv\nnot root\n"
)

func TestRootfs(t *testing.T) {
	t.Parallel()
	archive := filepath.Join(t.TempDir(), "root.tar")
	if err := os.WriteFile(archive, rootArchive(t), 0o644); err != nil {
		t.Fatal(err)
	}
	o := options{flags: []string{"--rootfs", archive, "-u", "web"}, dir: "/srv"}
	r := run(t, microvm, o, "sh", "-c", whoAmI)
	r.stderr = "" // the shell's, on what it may not read
	expect(t, r, isWeb)

	dir := t.TempDir()
	write(t, dir, "srv/own", "web's own\n")
	prog, err := os.ReadFile(busybox(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "busybox"), prog, 0o755); err != nil {
		t.Fatal(err)
	}
	img := filepath.Join(t.TempDir(), "app.img")
	expect(t, command(t, nil, "", nil, gosv, "build", "--rootfs", dir, "-o", img, "-u", "12:34", "/busybox", "id"), "")
	expect(t, run(t, microvm, options{}, img), "uid=12 gid=34\n")
}

func TestContainerImage(t *testing.T) {
	t.Parallel()
	img, err := mutate.AppendLayers(empty.Image, static.NewLayer(rootArchive(t), types.OCIUncompressedLayer))
	if err != nil {
		t.Fatal(err)
	}
	img, err = mutate.Config(img, v1.Config{Entrypoint: []string{"sh"}, Cmd: []string{"-c", "echo $COLOUR"},
		Env: []string{"PATH=/usr/bin", "COLOUR=blue"}, WorkingDir: "/srv", User: "web"})
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	config.OS, config.Architecture = "linux", "amd64"
	if img, err = mutate.ConfigFile(img, config); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "image.tar")
	if err := tarball.WriteToFile(file, nil, img); err != nil {
		t.Fatal(err)
	}
	expect(t, run(t, microvm, options{}, file), "blue\n")
	expect(t, run(t, microvm, options{env: []string{"COLOUR=red"}}, file), "red\n")
	r := run(t, microvm, options{}, file, "-c", whoAmI)
	r.stderr = ""
	expect(t, r, isWeb)
}
