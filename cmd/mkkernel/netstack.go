package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// The kernel with a network is built from gVisor's netstack without what a kernel
// never uses: the code for checkpoints, which is a tenth of it, and packages that
// there are smaller ones for in netstackDir. The go command is told that the whole
// module lies there: what does not, by -overlay.

const (
	netstackModule = "gvisor.dev/gvisor"
	netstackDir    = "kernel/net/netstack"
	checkpoints    = "_state_autogen.go" // what the names of their files end with
)

// replacedPackages are those that nothing remains of. In others only files of the same
// name are replaced.
var replacedPackages = map[string]bool{"pkg/log": true}

// netstack adds the module's files to an overlay, and returns the name of a go.mod in
// dir that leads to them.
func netstack(dir string, files overlay) (modfile string, err error) {
	out, err := goList("-deps", "-json=Dir,GoFiles,SFiles,Module", netKernel)
	if err != nil {
		return "", err
	}
	type module struct {
		Path, Dir, GoMod string
		Main             bool
	}
	var from, to module
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			Dir             string
			GoFiles, SFiles []string
			Module          module
		}
		if err := d.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			return "", fmt.Errorf("go list: %w", err)
		}
		if p.Module.Main {
			to = p.Module
		}
		if p.Module.Path != netstackModule {
			continue
		}
		from = p.Module
		pkg, err := filepath.Rel(from.Dir, p.Dir)
		if err != nil {
			return "", err
		}
		for _, name := range append(p.GoFiles, p.SFiles...) {
			if !replacedPackages[pkg] && !strings.HasSuffix(name, checkpoints) {
				files[filepath.Join(netstackDir, pkg, name)] = filepath.Join(p.Dir, name)
			}
		}
	}
	if from.Dir == "" || to.Dir == "" {
		return "", errors.New(netKernel + " has no netstack")
	}
	files[filepath.Join(netstackDir, "go.mod")] = from.GoMod
	for name, source := range files {
		if filepath.IsAbs(name) {
			continue
		}
		delete(files, name)
		name = filepath.Join(to.Dir, name)
		if _, err := os.Stat(name); errors.Is(err, os.ErrNotExist) { // or it is ours
			files[name] = source
		}
	}
	mod, err := os.ReadFile(to.GoMod)
	if err != nil {
		return "", err
	}
	sum, err := os.ReadFile(strings.TrimSuffix(to.GoMod, ".mod") + ".sum")
	if err != nil {
		return "", err
	}
	mod = fmt.Appendf(mod, "\nreplace %s => ./%s\n", netstackModule, netstackDir)
	modfile = filepath.Join(dir, "go.mod")
	return modfile, errors.Join(os.WriteFile(modfile, mod, 0o644), os.WriteFile(filepath.Join(dir, "go.sum"), sum, 0o644))
}
