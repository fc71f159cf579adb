package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// What the kernel's table of system calls says of each is for people, and for
// the host, which has a copy (internal/abi). The kernel reads none of it: it is
// built from a table without, by the go command's -overlay.

// Where the table is.
const (
	tablePackage = "gosv/kernel/linux"
	tableFile    = "table.go"
)

var (
	anyCall       = regexp.MustCompile(`(?m)^\t\d+:\s*\{.*$`)
	describedCall = regexp.MustCompile(`(?m)^(\t\d+:\s*\{\w+), "[^"\\]*"\},$`)
	descField     = regexp.MustCompile(`(?m)^\tdesc string$`)
)

// undescribed takes the descriptions out of the table's source, line by line.
func undescribed(source string) (string, error) {
	calls, fields := len(anyCall.FindAllString(source, -1)), len(descField.FindAllString(source, -1))
	if described := len(describedCall.FindAllString(source, -1)); described == 0 || described != calls || fields != 1 {
		return "", fmt.Errorf("%s has %d calls, %d of them with a description that mkkernel understands, and %d fields for these",
			tableFile, calls, described, fields)
	}
	return descField.ReplaceAllString(describedCall.ReplaceAllString(source, "$1},"), ""), nil
}

// overlay is what the go command's -overlay takes: files, and those that are read in
// their place.
type overlay map[string]string

// undescribe has the table without the descriptions, written into dir, in its place.
func (o overlay) undescribe(dir string) error {
	out, err := goList("-f", "{{.Dir}}", tablePackage)
	if err != nil {
		return err
	}
	original := filepath.Join(strings.TrimSpace(string(out)), tableFile)
	source, err := os.ReadFile(original)
	if err != nil {
		return err
	}
	table, err := undescribed(string(source))
	if err != nil {
		return err
	}
	o[original] = filepath.Join(dir, tableFile)
	return os.WriteFile(o[original], []byte(table), 0o644)
}

// write writes the overlay into dir, and returns the file's name.
func (o overlay) write(dir string) (string, error) {
	b, err := json.Marshal(map[string]overlay{"Replace": o})
	if err != nil {
		return "", err
	}
	name := filepath.Join(dir, "overlay.json")
	return name, os.WriteFile(name, b, 0o644)
}
