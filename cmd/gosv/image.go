package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"gosv/internal/appimage"
	"gosv/internal/image"
	"gosv/internal/state"
)

// imageFlags say what goes into an image; run and build share them.
type imageFlags struct {
	env      []string
	envFile  []string
	workdir  string
	volumes  []string
	cwd      bool
	hostname string
	rootfs   string
	user     string
}

// add adds them to a command; volumesToo is what -v can be besides.
func (f *imageFlags) add(cmd *cobra.Command, volumesToo string) {
	fl := cmd.Flags()
	fl.SetInterspersed(false) // what follows the program is the program's
	fl.StringArrayVarP(&f.env, "env", "e", nil, "set an environment variable: K=V, or K to take it from here")
	fl.StringArrayVar(&f.envFile, "env-file", nil, "read environment variables from a file, one K=V a line")
	fl.StringVarP(&f.workdir, "workdir", "w", "", "working directory in the VM (default /)")
	fl.StringArrayVarP(&f.volumes, "volume", "v", nil, "put a copy of a file or directory into the image: HOST:GUEST"+volumesToo)
	fl.BoolVar(&f.cwd, "cwd", false, "put a copy of the current directory at the same path, and start there")
	fl.StringVar(&f.hostname, "hostname", "", "the VM's host name")
	fl.StringVar(&f.rootfs, "rootfs", "", "a directory or a tar archive as root file system, PROGRAM being in it")
	fl.StringVarP(&f.user, "user", "u", "", "who runs the program: USER[:GROUP], names or numbers (default root)")
}

// An application is what run and build make of their arguments.
type application struct {
	spec  image.Spec
	ready []byte // an image, if the argument was one; spec.Config is its, changed
	file  string // where it is
	clean func()
}

// application resolves the program: an image, a container image, a file of
// --rootfs, an ELF file, or a Go package, which is built into dir.
func (f *imageFlags) application(args []string, name, dir string, tty bool) (a *application, err error) {
	const longestName = 64 // sethostname(2)
	if len(f.hostname) > longestName {
		return nil, fmt.Errorf("--hostname %s: longer than %d bytes", f.hostname, longestName)
	}
	env, err := f.environment(name, tty)
	if err != nil {
		return nil, err
	}
	a = &application{spec: image.Spec{User: f.user}, clean: func() {}}
	a.spec.Config = appimage.Config{Args: args, Env: env, Cwd: "/", HostName: name}
	switch {
	case f.rootfs != "":
		a.spec.Config.Exe = args[0]
		if a.spec.Root, err = f.root(a); err != nil {
			return nil, err
		}
	case image.IsContainer(args[0]):
		err = f.fromContainer(a, args)
	default:
		var prog string
		if prog, err = resolve(args[0], dir); err != nil {
			return nil, err
		}
		if isImage(prog) {
			return f.fromImage(prog, args, env)
		}
		a.spec.Program = prog
		base := filepath.Base(args[0])
		if base == "." || base == ".." || base == "/" {
			base = filepath.Base(prog)
		}
		a.spec.Path = "/bin/" + base
		a.spec.Config.Exe = a.spec.Path
		err = checkProgram(prog)
	}
	if err != nil {
		return nil, err
	}
	if err := f.files(&a.spec); err != nil {
		a.clean()
		return nil, err
	}
	return a, nil
}

// root opens what --rootfs names.
func (f *imageFlags) root(a *application) (image.Tree, error) {
	info, err := os.Stat(f.rootfs)
	if err != nil {
		return nil, fmt.Errorf("--rootfs: %w", err)
	}
	if info.IsDir() {
		return image.Dir(f.rootfs), nil
	}
	archive, err := os.Open(f.rootfs)
	if err != nil {
		return nil, fmt.Errorf("--rootfs: %w", err)
	}
	a.clean = func() { archive.Close() }
	return image.Tar{Reader: archive}, nil
}

// fromContainer takes a container image with what it says is to be run; arguments take
// the place of its command.
func (f *imageFlags) fromContainer(a *application, args []string) error {
	progress("reading %s", args[0])
	c, err := image.OpenContainer(args[0])
	progress("")
	if err != nil {
		return &exitError{exitCannotExecute, err}
	}
	a.clean = c.Close
	a.spec.Root = c.Root()
	if a.spec.User == "" {
		a.spec.User = c.User
	}
	config := &a.spec.Config
	if len(args) > 1 {
		c.Cmd = args[1:]
	}
	if config.Args = append(c.Entrypoint, c.Cmd...); len(config.Args) == 0 {
		return &exitError{exitCannotExecute, fmt.Errorf("%s does not say what to run: name a program after it", args[0])}
	}
	config.Exe = config.Args[0]
	if c.Dir != "" {
		config.Cwd = path.Join("/", c.Dir)
	}
	given := len(f.env)+len(f.envFile) > 0
	env := c.Env
	for _, kv := range config.Env {
		env = setenv(env, kv, given)
	}
	config.Env = env
	return nil
}

// files adds to s what the flags put into the image, and where to start.
func (f *imageFlags) files(s *image.Spec) error {
	for _, v := range f.volumes {
		c, err := image.ParseCopy(v)
		if err != nil {
			return err
		}
		if _, err := os.Stat(c.Host); err != nil {
			return fmt.Errorf("-v %s: %w", v, err)
		}
		if isFileSystem(c.Host) {
			return fmt.Errorf("-v %s: a disk with a file system, which is no part of an image: give it to gosv run", v)
		}
		s.Copies = append(s.Copies, c)
	}
	if f.cwd {
		cwd, err := os.Getwd()
		if err != nil {
			return err
		}
		s.Copies = append(s.Copies, image.Copy{Host: cwd, Guest: cwd})
		s.Config.Cwd = cwd
	}
	if f.workdir != "" {
		if !path.IsAbs(f.workdir) {
			return fmt.Errorf("-w %s: the working directory must be an absolute path", f.workdir)
		}
		s.Config.Cwd = path.Clean(f.workdir)
	}
	return nil
}

// fromImage takes an image as it is, with arguments and environment changed.
func (f *imageFlags) fromImage(name string, args, env []string) (*application, error) {
	done := slow("checking %s", name)
	img, c, err := image.Open(name)
	done()
	if err != nil {
		return nil, &exitError{exitCannotExecute, err}
	}
	if len(f.volumes) > 0 || f.cwd {
		return nil, errors.New("-v and --cwd need a program, not a finished image: give them to gosv build")
	}
	if f.user != "" {
		return nil, errors.New("-u needs a program, not a finished image: give it to gosv build")
	}
	if len(args) > 1 {
		c.Args = append(c.Args[:min(1, len(c.Args))], args[1:]...)
	}
	for _, kv := range env {
		c.Env = setenv(c.Env, kv, len(f.env)+len(f.envFile) > 0)
	}
	if f.workdir != "" {
		c.Cwd = path.Clean(f.workdir)
	}
	if f.hostname != "" {
		c.HostName = f.hostname
	}
	return &application{spec: image.Spec{Config: c}, ready: img, file: name, clean: func() {}}, nil
}

// setenv sets K=V in env; where K is there already only if replace is set.
func setenv(env []string, kv string, replace bool) []string {
	k, _, _ := strings.Cut(kv, "=")
	for i, old := range env {
		if strings.HasPrefix(old, k+"=") {
			if replace {
				env[i] = kv
			}
			return env
		}
	}
	return append(env, kv)
}

// environment is a container's usual one, and what the flags say.
func (f *imageFlags) environment(name string, tty bool) ([]string, error) {
	env := []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOSTNAME=" + name,
		"HOME=/root",
	}
	if t := os.Getenv("TERM"); tty && t != "" {
		env = append(env, "TERM="+t)
	}
	var given []string
	for _, file := range f.envFile {
		r, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		s := bufio.NewScanner(r)
		for s.Scan() {
			if l := strings.TrimSpace(s.Text()); l != "" && l[0] != '#' {
				given = append(given, l)
			}
		}
		r.Close()
		if err := s.Err(); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	for _, kv := range append(given, f.env...) {
		if !strings.Contains(kv, "=") {
			v, ok := os.LookupEnv(kv)
			if !ok {
				continue
			}
			kv += "=" + v
		}
		if strings.HasPrefix(kv, "=") {
			return nil, fmt.Errorf("-e %s: a variable needs a name", kv)
		}
		env = setenv(env, kv, true)
	}
	return env, nil
}

// resolve finds the program that arg names: a file, an image of gosv build -t, a
// command on the PATH, or a Go package, which it builds.
func resolve(arg, dir string) (string, error) {
	info, err := os.Stat(arg)
	switch {
	case err == nil && info.IsDir():
		if sources, err := filepath.Glob(filepath.Join(arg, "*.go")); err == nil && len(sources) == 0 {
			return "", &exitError{exitCannotExecute, fmt.Errorf("%s: a directory with neither a Go package nor a container image in it (one of a root file system is given by --rootfs)", arg)}
		}
		return buildPackage(arg, dir)
	case err == nil && info.Mode().IsRegular():
		return arg, nil
	case err == nil:
		return "", &exitError{exitCannotExecute, fmt.Errorf("%s: not a program but a device, a pipe or a socket", arg)}
	case !errors.Is(err, fs.ErrNotExist):
		return "", &exitError{exitCannotExecute, err}
	}
	if p, ok := namedImage(arg); ok {
		return p, nil
	}
	if !strings.Contains(arg, "/") {
		if p, err := exec.LookPath(arg); err == nil {
			return p, nil
		}
	} else if strings.HasSuffix(arg, ".go") || !strings.HasPrefix(arg, ".") && !strings.HasPrefix(arg, "/") {
		if p, err := buildPackage(arg, dir); err == nil {
			return p, nil
		}
	}
	return "", &exitError{exitNotFound, fmt.Errorf("%s: no such program, image, or Go package", arg)}
}

// buildPackage builds a Go package for the VM.
func buildPackage(pkg, dir string) (string, error) {
	goTool, err := exec.LookPath("go")
	if err != nil {
		return "", &exitError{exitCannotExecute, fmt.Errorf("%s is a Go package, and there is no Go toolchain on the PATH to build it with", pkg)}
	}
	if filepath.IsLocal(pkg) && !strings.HasPrefix(pkg, ".") {
		if _, err := os.Stat(pkg); err == nil {
			pkg = "./" + pkg
		}
	}
	abs, err := filepath.Abs(pkg)
	if err != nil {
		return "", err
	}
	out := filepath.Join(dir, filepath.Base(abs))
	cmd := exec.Command(goTool, "build", "-o", out)
	// Without what debuggers read, as by go run: it is a third of the program, and all of it lies in
	// the VM's memory. Whoever has other flags for the linker has reasons.
	if flags, err := exec.Command(goTool, "env", "GOFLAGS").Output(); err == nil && !strings.Contains(string(flags), "-ldflags") {
		cmd.Args = append(cmd.Args, "-ldflags=-s -w")
	}
	if info, err := os.Stat(pkg); err == nil && info.IsDir() {
		cmd.Dir = pkg // which may be of another module
		cmd.Args = append(cmd.Args, ".")
	} else {
		cmd.Args = append(cmd.Args, pkg)
	}
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH=amd64", "CGO_ENABLED=0")
	progress("building %s", pkg)
	msg, err := cmd.CombinedOutput()
	progress("")
	if err != nil {
		return "", &exitError{exitCannotExecute, fmt.Errorf("building the Go package %s failed:\n%s", pkg, strings.TrimSpace(string(msg)))}
	}
	if isArchive(out) {
		return "", &exitError{exitCannotExecute, fmt.Errorf("%s: a Go package, but not a program: it is not package main", pkg)}
	}
	return out, nil
}

// isArchive says whether a file is what go build makes of a library.
func isArchive(name string) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	const magic = "!<arch>\n"
	b := make([]byte, len(magic))
	_, err = io.ReadFull(f, b)
	return err == nil && string(b) == magic
}

// erofsMagic is what an EROFS file system has at 1024.
const erofsMagic = "\xe2\xe1\xf5\xe0"

// isImage says whether a file ends like an application image, or is named
// like one and is no ELF file.
func isImage(name string) bool {
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	var magic [4]byte
	f.ReadAt(magic[:], 0)
	if string(magic[:]) == "\x7fELF" {
		return false
	}
	var super [4]byte
	f.ReadAt(super[:], 1024)
	return string(super[:]) == erofsMagic || strings.HasSuffix(name, ".img")
}

// checkProgram says what the guest would say of an unsuitable file, before
// there is a guest.
func checkProgram(name string) error {
	b, err := os.ReadFile(name)
	if err == nil {
		if err = image.CheckProgram(b, "run that, with the script put into the image by -v"); err != nil {
			err = fmt.Errorf("%s: %w", name, err)
		}
	}
	if err != nil {
		return &exitError{exitCannotExecute, err}
	}
	return nil
}

// write puts the image into a new file. It can be called once.
func (a *application) write(name string) error {
	defer a.clean()
	out, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	var leftOut []string
	done := slow("making the image")
	if a.ready != nil {
		err = image.Rewrite(out, a.ready, &a.spec.Config)
	} else {
		a.spec.LeftOut = func(name string) { leftOut = append(leftOut, name) }
		err = image.Write(out, &a.spec)
	}
	done()
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		os.Remove(name)
		switch {
		case image.NotFound(err):
			return &exitError{exitNotFound, err}
		case image.BadProgram(err):
			return &exitError{exitCannotExecute, err}
		}
		return fmt.Errorf("making the image: %w", err)
	}
	switch others := len(leftOut) - 1; {
	case others == 0:
		fmt.Fprintf(os.Stderr, "gosv: %s, a device or a socket, is left out of the image\n", leftOut[0])
	case others > 0:
		fmt.Fprintf(os.Stderr, "gosv: devices and sockets are left out of the image: %s and %d others\n", leftOut[0], others)
	}
	return nil
}

// needProgram checks the arguments of run and build.
func needProgram(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("%s what? Name a program, a Go package or an image", cmd.Name())
	}
	return nil
}

// replaceable returns the name of the file that another one is to be renamed to to take the
// place of what out names.
func replaceable(out string) (string, error) {
	info, err := os.Stat(out)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return out, nil
	case err != nil:
		return "", err
	case info.IsDir():
		return "", fmt.Errorf("-o %s: a directory", out)
	case !info.Mode().IsRegular():
		return "", fmt.Errorf("-o %s: not a regular file, which is what an image is", out)
	}
	return filepath.EvalSymlinks(out)
}

func buildCommand() *cobra.Command {
	var f imageFlags
	var out, tag string
	cmd := &cobra.Command{
		Use:   "build [flags] PROGRAM [ARG...]",
		Short: "Make an application image",
		Long: `Make an application image of a Go package, a static Linux program, a directory, or
a container image, with its arguments and files.`,
		Example: `  gosv build -o hello.img ./examples/hello
  gosv build -t hello ./examples/hello; gosv run hello
  gosv build --rootfs ./dir -o app.img /bin/app
  gosv build -o app.img docker://registry.example/app
  gosv build -e DEBUG=1 -v ./config:/etc/app -o app.img ./app --serve
  gosv run app.img`,
		Args: needProgram,
		RunE: func(cmd *cobra.Command, args []string) error {
			dir, err := state.TempDir()
			if err != nil {
				return err
			}
			defer os.RemoveAll(dir)
			noLonger := onSignal(func() { os.RemoveAll(dir) })
			defer func() { noLonger() }()
			name := f.hostname
			if name == "" {
				name = "gosv"
			}
			a, err := f.application(args, name, dir, false)
			if err != nil {
				return err
			}
			if tag != "" {
				store, err := state.Open()
				if err != nil {
					return err
				}
				if out, err = store.ImagePath(tag); err != nil {
					return err
				}
			} else if out == "" {
				out = filepath.Base(a.spec.Config.Exe) + ".img"
			}
			if out, err = replaceable(out); err != nil {
				return err
			}
			half := state.Half(out)
			noLonger()
			noLonger = onSignal(func() { os.RemoveAll(dir); os.Remove(half) })
			if err := a.write(half); err != nil {
				return err
			}
			if err := os.Rename(half, out); err != nil {
				os.Remove(half)
				return err
			}
			return nil
		},
	}
	f.add(cmd, "")
	cmd.Flags().StringVarP(&out, "output", "o", "", "the image's file (default PROGRAM.img)")
	cmd.Flags().StringVarP(&tag, "tag", "t", "", "keep the image by a name instead, which gosv run takes: see gosv images, rmi")
	cmd.MarkFlagsMutuallyExclusive("output", "tag")
	return cmd
}
