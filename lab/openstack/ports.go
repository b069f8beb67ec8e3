package openstack

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// port is a TCP port of the loopback that a cloud needs.
type port struct {
	number int
	owner  string
}

var ports = []port{
	{4369, "epmd"},
	{keystonePort, "keystone"},
	{5672, "rabbitmq"},
	{neutronPort, "neutron-server"},
	{octaviaPort, "octavia-api"},
	{25672, "rabbitmq"},
}

// checkPorts says of every port that is taken who has it and what to do.
func checkPorts() error {
	var errs []error
	for _, p := range ports {
		// To listen finds also what is bound and does not listen yet.
		l, err := net.Listen("tcp4", fmt.Sprintf("127.0.0.1:%d", p.number))
		if err == nil {
			l.Close()
			continue
		}
		errs = append(errs, fmt.Errorf("port %d, which %s needs, is in use by %s", p.number, p.owner, whoHas(p.number)))
	}
	return errors.Join(errs...)
}

// whoHas describes the process that listens on a port, and how to end it.
func whoHas(number int) string {
	pid := listener(number)
	if pid == 0 {
		return fmt.Sprintf("a process outside of this container (try: ss -ltnp sport = :%d)", number)
	}
	name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	who := fmt.Sprintf("%s (pid %d)", strings.TrimSpace(string(name)), pid)
	if dir := cloudOf(pid); dir != "" {
		return fmt.Sprintf("%s of the cloud in %s; use that one, or end it with: %s", who, dir, downCommand(dir))
	}
	return who + "; end it, or start the cloud in a network namespace of its own"
}

// listener finds the process that listens on an IPv4 port; 0 if nobody visible does.
func listener(number int) int {
	table, err := os.ReadFile("/proc/self/net/tcp")
	if err != nil {
		return 0
	}
	inode := listenInode(string(table), number)
	if inode == "" {
		return 0
	}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && target == "socket:["+inode+"]" {
			pid, _ := strconv.Atoi(strings.Split(link, "/")[2])
			return pid
		}
	}
	return 0
}

// listenInode reads /proc/net/tcp, whose columns are: number, local address,
// remote address, state (0A is LISTEN), three of queues and timers, user,
// timeouts, inode.
func listenInode(table string, number int) string {
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) > 9 && f[3] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", number)) {
			return f[9]
		}
	}
	return ""
}

// cloudOf is the directory of the cloud that a process belongs to, if any.
func cloudOf(pid int) string {
	environ, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	if err != nil {
		return ""
	}
	for entry := range bytes.SplitSeq(environ, []byte{0}) {
		if dir, ok := bytes.CutPrefix(entry, []byte(dirVariable+"=")); ok {
			return string(dir)
		}
	}
	return ""
}

func listens(number int) bool {
	conn, err := net.DialTimeout("tcp4", fmt.Sprintf("127.0.0.1:%d", number), time.Second)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}
