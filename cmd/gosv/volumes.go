package main

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"gosv/internal/appimage"
	"gosv/internal/image"
	"gosv/internal/vmm"
)

// isFileSystem says whether a file, or a block device, is the image of a file system that the kernel
// can mount.
func isFileSystem(name string) bool {
	if info, err := os.Stat(name); err != nil || !vmm.CanBeDisk(info.Mode()) {
		return false
	}
	f, err := os.Open(name)
	if err != nil {
		return false
	}
	defer f.Close()
	var super [64]byte
	if _, err := f.ReadAt(super[:], 1024); err != nil {
		return false
	}
	const ext4 = "\x53\xef"
	return string(super[56:58]) == ext4 || string(super[:4]) == erofsMagic
}

// takeDisks takes those of -v that are to be mounted, not copied, out of f, and adds
// them to the machine's disks.
func (f *imageFlags) takeDisks(d *vmm.Devices) (mounts []appimage.Disk, err error) {
	copies := f.volumes[:0:0]
	for _, v := range f.volumes {
		rest, option := v, ""
		for _, o := range []string{":ro", ":overlay"} {
			if s, ok := strings.CutSuffix(v, o); ok && strings.Contains(s, ":") {
				rest, option = s, o
			}
		}
		c, err := image.ParseCopy(rest)
		if err != nil {
			return nil, err
		}
		if !isFileSystem(c.Host) {
			if option != "" {
				return nil, fmt.Errorf("-v %s: %s is for the image of a file system, which %s is not", v, option, c.Host)
			}
			copies = append(copies, v)
			continue
		}
		disk := vmm.Disk{Path: c.Host, ReadOnly: true}
		if err = disk.Check(); err == nil && path.Clean(c.Guest) == "/" {
			err = errors.New("the root directory is the image's")
		}
		if err != nil {
			return nil, fmt.Errorf("-v %s: %w", v, err)
		}
		name, err := d.AddDisk(disk)
		if err != nil {
			return nil, fmt.Errorf("-v %s: %w", v, err)
		}
		mounts = append(mounts, appimage.Disk{Name: name, Path: c.Guest, Overlay: option == ":overlay"})
	}
	f.volumes = copies
	return mounts, nil
}
