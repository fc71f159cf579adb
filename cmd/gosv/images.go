package main

import (
	"errors"
	"fmt"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"gosv/internal/state"
)

func imagesCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "images",
		Short: "List the images that gosv build -t has made",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := state.Open()
			if err != nil {
				return err
			}
			all, err := store.Images()
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
			fmt.Fprintln(w, "NAME\tSIZE\tMADE")
			for _, i := range all {
				fmt.Fprintf(w, "%s\t%.1f MB\t%s ago\n", i.Name, float64(i.Size)/1e6, age(i.Made))
			}
			return w.Flush()
		},
	}
}

func rmiCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "rmi NAME...",
		Short: "Remove images that gosv build -t has made",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := state.Open()
			if err != nil {
				return err
			}
			var bad []error
			for _, name := range args {
				bad = append(bad, store.RemoveImage(name))
			}
			return errors.Join(bad...)
		},
	}
}

// namedImage returns the path of the image of that name; !ok if there is none.
func namedImage(name string) (path string, ok bool) {
	store, err := state.Open()
	if err != nil {
		return "", false
	}
	return store.FindImage(name)
}
