package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/pgbridge/pgbridge/archive"
)

func newKeygen() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "keygen --out FILE",
		Short: "Make a writer key and print its writer",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := newApp(cmd)
			if err != nil {
				return err
			}
			if file == "" {
				return usageError{errors.New("where to? give --out FILE")}
			}
			key, err := archive.NewKey()
			if err != nil {
				return err
			}
			if err := writeNew(file, key.Encode()); err != nil {
				return err
			}
			return a.print(map[string]string{"writer": key.Writer().String(), "file": file}, "%s\n", key.Writer())
		},
	}
	cmd.Flags().StringVar(&file, "out", "", "the `file` to write; it must not exist")
	return cmd
}

// writeNew writes a file that only its owner may read, and never over another.
func writeNew(file string, text []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return usageError{fmt.Errorf("%s exists: a key is never overwritten", file)}
	}
	if err != nil {
		return usageError{err}
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}
