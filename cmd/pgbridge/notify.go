package main

import (
	"net"
	"os"
)

// notifyReady tells systemd that the service is at work (Type=notify). Without
// systemd it does nothing; a notification that is lost only delays the unit's
// state, so errors are not acted on.
func notifyReady() {
	address := os.Getenv("NOTIFY_SOCKET")
	if address == "" {
		return
	}
	conn, err := net.Dial("unixgram", address)
	if err != nil {
		return
	}
	defer conn.Close()
	_, _ = conn.Write([]byte("READY=1"))
}
