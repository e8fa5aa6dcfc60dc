package main

import (
	"errors"
	"net"

	"github.com/spf13/cobra"

	"github.com/pgbridge/pgbridge/archive/node"
)

func newArchive() *cobra.Command {
	cmd := &cobra.Command{
		Use: "archive", Short: "pgbridge's own archive", Args: noCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newArchiveServe())
	return cmd
}

func newArchiveServe() *cobra.Command {
	var dir, listen string
	cmd := &cobra.Command{
		Use:   "serve --dir DIR --listen ADDRESS",
		Short: "Serve a folder as a small Bundlr-compatible node and gateway",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := newApp(cmd)
			if err != nil {
				return err
			}
			if dir == "" {
				return usageError{errors.New("where are the items? give --dir DIR")}
			}
			listener, err := net.Listen("tcp", listen)
			if err != nil {
				return usageError{err}
			}
			n, err := node.Open(cmd.Context(), node.Options{Dir: dir, Log: a.log})
			if err != nil {
				return errors.Join(err, listener.Close())
			}
			defer n.Close()
			a.log.Info("serving", "dir", dir, "address", listener.Addr().String())
			notifyReady()
			return n.Serve(cmd.Context(), listener)
		},
	}
	cmd.Flags().StringVar(&dir, "dir", "", "`folder` of the items; made if it is not there")
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:1984", "`address` to listen on")
	return cmd
}
