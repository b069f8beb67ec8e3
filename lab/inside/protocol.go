// Package inside is what runs within the machines of a lab: their PID 1, the
// way in from outside, the echo server that stands for an application, and the
// forwarder to the API server.
//
// It links nothing of Kubernetes, because hundreds of these processes may run
// at once. The lab's own side of the conversation is in package lab.
package inside

import "time"

// Machine tells PID 1 what to make of the namespaces it wakes up in.
type Machine struct {
	Name     string            // host name
	Disk     string            // host directory with everything the machine keeps over a crash
	Config   string            // host directory that the machine sees as /etc/kubernetes
	Logs     string            // host directory for the logs of its processes
	Socket   string            // unix socket for Requests
	Programs map[string]string // host directories, seen as /opt/lab/<key>, all of them in PATH
	Sysctls  map[string]string // of its network namespace, by path below /proc/sys
	Shadows  map[string]string // machine-wide sysctls that programs inside may "set" without effect
}

// Op is what a Request asks of PID 1.
type Op string

const (
	Start  Op = "start"  // Name, Argv, Env
	Signal Op = "signal" // Name, Signal
	Wait   Op = "wait"   // Name; answers when the process has ended
	List   Op = "list"
)

// Request is one JSON value sent over a machine's socket.
type Request struct {
	Op     Op
	Name   string   `json:",omitempty"`
	Argv   []string `json:",omitempty"`
	Env    []string `json:",omitempty"`
	Signal int      `json:",omitempty"`
}

// Reply is the one JSON value that comes back.
type Reply struct {
	Error     string    `json:",omitempty"`
	Processes []Process `json:",omitempty"`
}

// Process is one program that PID 1 was asked to start.
type Process struct {
	Name    string
	Argv    []string
	PID     int // inside the machine
	Started time.Time
	Running bool
	Exit    string `json:",omitempty"` // how it ended
}
