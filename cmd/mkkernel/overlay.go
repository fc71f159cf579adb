package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
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

// overlay writes what go build's -overlay takes into dir, and returns its name.
func overlay(dir string) (string, error) {
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}", tablePackage).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return "", fmt.Errorf("go list %s: %w", tablePackage, err)
	}
	original := filepath.Join(strings.TrimSpace(string(out)), tableFile)
	source, err := os.ReadFile(original)
	if err != nil {
		return "", err
	}
	table, err := undescribed(string(source))
	if err != nil {
		return "", err
	}
	replacement, name := filepath.Join(dir, tableFile), filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(replacement, []byte(table), 0o644); err != nil {
		return "", err
	}
	b, err := json.Marshal(map[string]map[string]string{"Replace": {original: replacement}})
	if err != nil {
		return "", err
	}
	return name, os.WriteFile(name, b, 0o644)
}
