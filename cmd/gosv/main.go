// gosv runs an unmodified Linux program as a microVM, on a kernel written in Go.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"gosv/internal/state"
	"gosv/internal/vmm"
)

// exitError ends gosv with a code of its own.
type exitError struct {
	code int
	err  error // printed unless nil
}

func (e *exitError) Error() string {
	if e.err == nil {
		return ""
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// Codes for programs that cannot be started, as of shells and docker.
const (
	exitCannotExecute = 126
	exitNotFound      = 127
)

func main() {
	err := command().Execute()
	if err == nil {
		return
	}
	complain(err)
	os.Exit(exitCode(err))
}

// complain prints an error; of several, each.
func complain(err error) {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range several.Unwrap() {
			complain(err)
		}
	} else if msg := err.Error(); msg != "" {
		fmt.Fprintln(os.Stderr, "gosv:", msg)
	}
}

// exitCode is what a command that returned err exits with.
func exitCode(err error) int {
	var e *exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e.code
	}
	return vmm.ExitGosv
}

func command() *cobra.Command {
	root := &cobra.Command{
		Use:           "gosv",
		Short:         "Run a Linux program as a microVM",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.PersistentPreRun = func(*cobra.Command, []string) { state.Sweep() }
	root.AddCommand(runCommand(), buildCommand(), psCommand(), logsCommand(), stopCommand(), rmCommand(), topCommand(), netstatCommand(), stacksCommand(), straceCommand(), pingCommand(), tcpdumpCommand(), pprofCommand(), catCommand(), metricsCommand(), imagesCommand(), rmiCommand(), doctorCommand(), abiCommand(), netnsCommand(), jailCommand(), &cobra.Command{
		Use:   "version",
		Short: "Print gosv's version",
		Args:  cobra.NoArgs,
		Run: func(cmd *cobra.Command, args []string) {
			version := "(devel)"
			if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
				version = info.Main.Version
			}
			fmt.Println("gosv", version)
		},
	})
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w; %s --help says more", err, cmd.CommandPath())
	})
	for _, cmd := range root.Commands() {
		cmd.DisableFlagsInUseLine = true
		if !strings.Contains(cmd.Use, "[flags]") && cmd.HasAvailableLocalFlags() {
			name, args, _ := strings.Cut(cmd.Use, " ")
			cmd.Use = strings.TrimSpace(name + " [flags] " + args)
		}
		if check := cmd.Args; check != nil {
			cmd.Args = func(cmd *cobra.Command, args []string) error {
				err := check(cmd, args)
				if err != nil {
					err = fmt.Errorf("%w; usage: %s", err, cmd.UseLine())
				}
				return err
			}
		}
	}
	return root
}
