package kube

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// kubeletPatience is how long a kubelet that lives may take for its first word: many
// times what it takes on a node at work, and little beside what an outage costs.
const kubeletPatience = 300 * time.Millisecond

// kubeletPort is the kubelet's own default, for Nodes that do not tell theirs.
const kubeletPort = 10250

// KubeletOf is where the kubelet of a node listens, one host:port for every address;
// none where the node is unknown. From a cache it makes no call.
func KubeletOf(ctx context.Context, c client.Reader, node string) ([]string, error) {
	var found corev1.Node
	if err := c.Get(ctx, client.ObjectKey{Name: node}, &found); err != nil {
		return nil, fmt.Errorf("read Node %s: %w", node, err)
	}
	return kubeletOf(&found), nil
}

func kubeletOf(n *corev1.Node) []string {
	port := strconv.Itoa(int(cmp.Or(n.Status.DaemonEndpoints.KubeletEndpoint.Port, kubeletPort)))
	var out []string
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			out = append(out, net.JoinHostPort(a.Address, port))
		}
	}
	return out
}

// KubeletAnswers tells whether a kubelet lives that listens at one of the addresses.
// It does as soon as it answers a TLS greeting with anything at all: a kernel whose
// kubelet is gone or frozen accepts or refuses a connection, but says no word. The
// greeting has no credentials, and asks for nothing.
func KubeletAnswers(ctx context.Context, addresses []string) bool {
	ctx, cancel := context.WithTimeout(ctx, kubeletPatience)
	defer cancel()
	answers := make(chan bool, len(addresses))
	for _, a := range addresses {
		go func() { answers <- greets(ctx, a) }()
	}
	answered := false
	for range addresses {
		if <-answers {
			answered = true
			cancel() // the others need not go on
		}
	}
	return answered
}

func greets(ctx context.Context, address string) bool {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	heard := &listening{Conn: conn}
	// Whoever it is: nothing is told to it, and nothing is believed but that it is there.
	greeting := tls.Client(heard, &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS12}) //nolint:gosec // see above
	_ = greeting.HandshakeContext(ctx)                                                                 // closes conn when ctx ends
	_ = greeting.Close()
	return heard.any.Load()
}

// listening notes whether anything was heard on a connection.
type listening struct {
	net.Conn
	any atomic.Bool
}

func (l *listening) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	if n > 0 {
		l.any.Store(true)
	}
	return n, err
}
