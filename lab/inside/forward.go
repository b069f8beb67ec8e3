package inside

import (
	"context"
	"io"
	"net"
	"os"

	"fairlead.dev/fairlead/lab/netns"
)

// Forward takes connections from the listener on file descriptor 3, which
// belongs to the host, and carries them to addr in the network namespace at
// path, so that programs on the host reach an API server inside a lab.
func Forward(path, addr string) error {
	listener, err := net.FileListener(os.NewFile(3, "listener"))
	if err != nil {
		return err
	}
	for {
		near, err := listener.Accept()
		if err != nil {
			return err
		}
		go carry(near, path, addr)
	}
}

func carry(near net.Conn, path, addr string) {
	defer near.Close()
	far, err := netns.Dial(context.Background(), path, "tcp", addr)
	if err != nil {
		return // the client sees its connection closed, as it would from a refusing server
	}
	defer far.Close()
	go func() {
		_, _ = io.Copy(far, near)
		_ = far.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(near, far)
}
