package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"gosv/internal/abi"
)

func abiCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "abi [flags] [CALL...]",
		Short: "Print which system calls there are",
		Long: `Print the table of system calls, or some of it: number, name, how complete the
call is, and what about it is not. Complete: all of what its manual page says;
partial: some; refused: the answer of a Linux without it; missing: ENOSYS.`,
		Example: `  gosv abi
  gosv abi openat io_uring_setup
  gosv abi --json | jq '.[] | select(.state == "missing").name'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			calls, err := chosenCalls(args)
			if err != nil {
				return err
			}
			return printCalls(cmd.OutOrStdout(), calls, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print it as JSON: an array of {number, name, state, note}")
	return cmd
}

// chosenCalls returns the calls with the given names, or all.
func chosenCalls(names []string) (calls []abi.Call, err error) {
	if len(names) == 0 {
		return abi.Calls(), nil
	}
	for _, name := range names {
		c, ok := abi.Find(name)
		if !ok {
			return nil, abi.Unknown(name)
		}
		calls = append(calls, c)
	}
	return calls, nil
}

func printCalls(w io.Writer, calls []abi.Call, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		e.SetIndent("", "  ")
		return e.Encode(calls)
	}
	const minWidth, tab, padding = 0, 8, 2
	t := tabwriter.NewWriter(w, minWidth, tab, padding, ' ', 0)
	for _, c := range calls {
		fmt.Fprintf(t, "%d\t%s\t%s", c.Number, c.Name, c.State)
		if c.Note != "" {
			fmt.Fprintf(t, "\t%s", c.Note)
		}
		fmt.Fprintln(t)
	}
	return t.Flush()
}
