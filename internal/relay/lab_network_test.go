//go:build lab

package relay

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/lab/netns"
)

var (
	vip4 = netip.MustParseAddr("10.0.0.200")
	vip6 = netip.MustParseAddr("fd00:1::200")
	vips = map[string]netip.Addr{"IPv4": vip4, "IPv6": vip6}
)

// host is a network namespace with an interface on the segment.
type host struct {
	*testing.T
	name    string
	path    string // of the namespace
	netlink *netlink.Handle
	uplink  string // the interface with its addresses
}

// segment is a client and two nodes on a bridge. Both nodes translate the VIPs, at
// port 80, to a server of their own that answers with the node's name, as kube-proxy
// does with pods.
type segment struct {
	*testing.T
	bridge, client, a, b *host
}

// newHost makes a namespace that lives as long as the test.
func newHost(t *testing.T, name string) *host {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("this test makes network namespaces: run it as root")
	}
	h := &host{T: t, name: name, uplink: "eth0"}
	var fd int
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its namespace
		err := unix.Unshare(unix.CLONE_NEWNET)
		if err == nil {
			fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
		if err == nil {
			h.netlink, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		}
		done <- err
	}()
	h.check(<-done)
	h.path = fmt.Sprintf("/proc/self/fd/%d", fd)
	t.Cleanup(func() {
		h.netlink.Close()
		unix.Close(fd)
	})
	h.check(h.netlink.LinkSetUp(h.link("lo")))
	h.set("net/ipv6/conf/default/accept_dad", "0")
	return h
}

func (h *host) check(err error) {
	h.Helper()
	if err != nil {
		h.Fatalf("%s: %v", h.name, err)
	}
}

func (h *host) inside(f func() error) error { return netns.Do(h.path, f) }

func (h *host) link(name string) netlink.Link {
	h.Helper()
	l, err := h.netlink.LinkByName(name)
	h.check(err)
	return l
}

func (h *host) mac() net.HardwareAddr { h.Helper(); return h.link(h.uplink).Attrs().HardwareAddr }

func (h *host) set(sysctl, value string) {
	h.Helper()
	h.check(h.inside(func() error { return os.WriteFile("/proc/sys/"+sysctl, []byte(value), 0) }))
}

// run runs a program inside and returns what it prints.
func (h *host) run(stdin string, name string, arguments ...string) string {
	h.Helper()
	var out []byte
	err := h.inside(func() (err error) {
		cmd := exec.Command(name, arguments...)
		cmd.Stdin = strings.NewReader(stdin)
		out, err = cmd.CombinedOutput()
		return err
	})
	if err != nil {
		h.Fatalf("%s: %s %v: %v\n%s", h.name, name, arguments, err, out)
	}
	return string(out)
}

// plug connects eth0 to the bridge.
func (h *host) plug(bridge *host) {
	h.Helper()
	port := "to-" + h.name
	h.check(bridge.netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: port}, PeerName: "peer"}))
	h.check(bridge.netlink.LinkSetMaster(bridge.link(port), bridge.link("sw0")))
	h.check(bridge.netlink.LinkSetUp(bridge.link(port)))
	ns, err := os.Open(h.path)
	h.check(err)
	defer ns.Close()
	h.check(bridge.netlink.LinkSetNsFd(bridge.link("peer"), int(ns.Fd())))
	h.check(h.netlink.LinkSetName(h.link("peer"), "eth0"))
	h.check(h.netlink.LinkSetUp(h.link("eth0")))
}

// stack puts the uplink on top of eth0: the kinds that nodes have.
func (h *host) stack(kind string) {
	h.Helper()
	switch kind {
	case "veth":
		return
	case "bridge":
		h.run("", "ip", "link", "add", "br0", "type", "bridge")
		h.run("", "ip", "link", "set", "eth0", "master", "br0")
		h.uplink = "br0"
	}
	h.check(h.netlink.LinkSetUp(h.link(h.uplink)))
}

func (h *host) configure(number int) {
	h.Helper()
	for _, prefix := range []string{fmt.Sprintf("10.0.0.%d/24", number), fmt.Sprintf("fd00:1::%d/64", number)} {
		a, err := netlink.ParseAddr(prefix)
		h.check(err)
		if a.IP.To4() == nil {
			a.Flags = unix.IFA_F_NODAD
		}
		h.check(h.netlink.AddrAdd(h.link(h.uplink), a))
	}
}

func newSegment(t *testing.T) *segment { return newSegmentOf(t, "veth") }

func newSegmentOf(t *testing.T, uplinks string) *segment {
	t.Helper()
	s := &segment{T: t, bridge: newHost(t, "bridge")}
	s.bridge.check(s.bridge.netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "sw0"}}))
	s.bridge.check(s.bridge.netlink.LinkSetUp(s.bridge.link("sw0")))
	for i, to := range []**host{&s.client, &s.a, &s.b} {
		h := newHost(t, []string{"client", "a", "b"}[i])
		h.plug(s.bridge)
		h.stack(uplinks)
		h.configure(i + 1)
		*to = h
	}
	for i, h := range []*host{s.a, s.b} {
		h.serve(i + 2)
	}
	return s
}

// serve starts the server of a node, and the translation to it.
func (h *host) serve(number int) {
	h.Helper()
	h.set("net/ipv4/ip_forward", "1")
	h.run(fmt.Sprintf(`
		table inet proxy {
			chain pre {
				type nat hook prerouting priority dstnat
				ip  daddr 10.0.0.200/29    tcp dport 80 dnat ip  to 10.0.0.%[1]d:8080
				ip6 daddr fd00:1::200/125  tcp dport 80 dnat ip6 to [fd00:1::%[1]d]:8080
			}
		}`, number), "nft", "-f", "-")
	var l net.Listener
	h.check(h.inside(func() (err error) { l, err = net.Listen("tcp", "[::]:8080"); return err }))
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%s %d", h.name, n)
	})
	mux.HandleFunc("/sum", sum)
	server := &http.Server{Handler: mux}
	go func() { _ = server.Serve(l) }()
	h.Cleanup(func() { server.Close() })
}

// owns makes the client believe that a node has the VIPs: what an announcement does.
func (s *segment) owns(h *host) {
	s.Helper()
	for _, vip := range vips {
		s.client.check(s.client.netlink.NeighSet(&netlink.Neigh{
			LinkIndex: s.client.link(s.client.uplink).Attrs().Index, IP: vip.AsSlice(), State: netlink.NUD_PERMANENT, HardwareAddr: h.mac(),
		}))
	}
}

// open is an open connection of the client.
type open struct {
	net.Conn
	answers *bufio.Reader
}

func newOpen(c net.Conn) *open { return &open{c, bufio.NewReader(c)} }

func (s *segment) dial(vip netip.Addr) (*open, error) {
	var conn net.Conn
	err := s.client.inside(func() (err error) {
		conn, err = net.DialTimeout("tcp", netip.AddrPortFrom(vip, 80).String(), 5*time.Second)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.Cleanup(func() { conn.Close() })
	return newOpen(conn), nil
}

func (s *segment) mustDial(vip netip.Addr) *open {
	s.Helper()
	c, err := s.dial(vip)
	s.client.check(err)
	return c
}

// ask sends a request on the connection and returns the answer.
func (c *open) ask() (string, error) { return c.post("/", nil, 0) }

func (c *open) post(path string, body io.Reader, length int64) (string, error) {
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return "", err
	}
	r, err := http.NewRequest(http.MethodPost, "http://vip"+path, body)
	if err != nil {
		return "", err
	}
	r.ContentLength = length
	if err := r.Write(c); err != nil {
		return "", err
	}
	response, err := http.ReadResponse(c.answers, r)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	name, _, _ := strings.Cut(string(text), " ")
	return name, err
}

// answeredBy checks who answers on an open connection.
func (c *open) answeredBy(t *testing.T, want *host) {
	t.Helper()
	if got, err := c.ask(); err != nil || got != want.name {
		t.Errorf("the connection from %s is answered by %q, %v; want %s", c.LocalAddr(), got, err, want.name)
	}
}

// to is a want: relay both VIPs to a node.
func (h *host) to(other *host) Want {
	h.Helper()
	return Want{Relays: []Relay{
		{VIP: vip4, Interface: h.uplink, Via: other.mac()},
		{VIP: vip6, Interface: h.uplink, Via: other.mac()},
	}}
}

// relays are those of a node, until the test ends.
func (h *host) relays() *nodeRelays {
	r := &nodeRelays{host: h, relays: New(Options{})}
	h.Cleanup(func() { r.set(Want{}) })
	return r
}

type nodeRelays struct {
	host   *host
	relays *Relays
}

func (r *nodeRelays) try(w Want) error {
	return r.host.inside(func() error { return r.relays.Set(r.host.Context(), w) })
}

func (r *nodeRelays) set(w Want) {
	r.host.Helper()
	r.host.check(r.host.inside(func() error { return r.relays.Set(contextOf(r.host.T), w) }))
}

// ruleset is what nft shows of our table, with handles, empty if there is none.
func (h *host) ruleset() string {
	h.Helper()
	all := h.run("", "nft", "-a", "list", "ruleset")
	i := strings.Index(all, "table netdev "+tableName)
	if i < 0 {
		return ""
	}
	return all[i:]
}
