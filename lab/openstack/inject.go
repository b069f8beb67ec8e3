package openstack

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kinds of Octavia's objects, as Inject takes them.
const (
	LoadBalancers  = "loadbalancers"
	Listeners      = "listeners"
	Pools          = "pools"
	Members        = "members"
	HealthMonitors = "healthmonitors"
	L7Policies     = "l7policies"
	L7Rules        = "l7rules"
)

var kinds = []string{LoadBalancers, Listeners, Pools, Members, HealthMonitors, L7Policies, L7Rules}

// Inject gives an object of Octavia another status, as a provider would:
// ERROR, a PENDING state that makes Octavia refuse changes with 409, DELETED,
// an operating status such as DEGRADED. An empty one stays as it is. The
// object's parents and children keep theirs. Amphorae here send no heartbeats,
// so it is also how something of provider amphora becomes ONLINE.
func (c *Cloud) Inject(ctx context.Context, kind, id, provisioningStatus, operatingStatus string) error {
	if !slices.Contains(kinds, kind) {
		return fmt.Errorf("inject into %q: no such kind, there are %s", kind, strings.Join(kinds, ", "))
	}
	// An update of what does not exist is no error to Octavia, but here it is.
	var found json.RawMessage
	err := ask(ctx, filepath.Join(c.Options.Dir, "sock", "octavia-get.sock"), fields{"object": kind, "id": id}, &found)
	if err != nil {
		return fmt.Errorf("find %s %s: %w", kind, id, err)
	}
	if len(found) == 0 || string(found) == "null" || string(found) == "{}" {
		return fmt.Errorf("inject into %s %s: Octavia has no such object", kind, id)
	}
	status := fields{"id": id}
	if provisioningStatus != "" {
		status["provisioning_status"] = provisioningStatus
	}
	if operatingStatus != "" {
		status["operating_status"] = operatingStatus
	}
	var reply struct {
		Code  int    `json:"status_code"`
		Fault string `json:"fault_string"`
	}
	if err := ask(ctx, c.StatusSocket(), fields{kind: []fields{status}}, &reply); err != nil {
		return fmt.Errorf("inject into %s %s: %w", kind, id, err)
	}
	if reply.Code != 200 {
		return fmt.Errorf("inject into %s %s: Octavia says %d: %s", kind, id, reply.Code, reply.Fault)
	}
	return nil
}

// ask sends one question to octavia-driver-agent. Questions and answers are
// JSON after a line with its length.
func ask(ctx context.Context, socket string, question, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	data, err := json.Marshal(question)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "%d\n%s", len(data), data); err != nil {
		return err
	}
	reader := bufio.NewReader(conn)
	line, err := reader.ReadString('\n')
	if err != nil {
		return fmt.Errorf("read answer: %w (see octavia-driver-agent.log)", err)
	}
	n, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || n < 0 || n > 1<<20 {
		return fmt.Errorf("answer has a length of %q", line)
	}
	data = make([]byte, n)
	if _, err := io.ReadFull(reader, data); err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	return json.Unmarshal(data, answer)
}
