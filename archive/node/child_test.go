package node

import (
	"context"
	"fmt"
	"net"
	"os"
)

const childDir = "PGBRIDGE_TEST_NODE_DIR"

// child is the test binary as a node of its own, to be killed. It prints its
// address.
func child(dir string) {
	n, err := Open(context.Background(), Options{Dir: dir})
	if err == nil {
		var l net.Listener
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err == nil {
			fmt.Println(l.Addr())
			err = n.Serve(context.Background(), l)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
